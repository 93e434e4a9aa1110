// Sends a file in pieces by tus 1.0.0 (https://tus.io/protocols/resumable-upload), and goes on where it was
// broken off.

/** @import { VideoInfo } from "api" */
/**
 * @typedef {(url: string, request?: RequestInit) => Promise<Response>} Ask throws what the server says is
 *   wrong
 */

const PIECE_BYTES = 8 * 2 ** 20;
const RETRY_MS = 2000;
const MAX_TRIES = 30;
const TUS = { "Tus-Resumable": "1.0.0" };

const pause = (/** @type {number} */ ms) => new Promise((next) => setTimeout(next, ms));
const base64 = (/** @type {string} */ text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));

/**
 * @param {string} api
 * @param {File} file
 * @param {Record<string, string>} options
 * @param {Ask} ask
 */
async function create(api, file, options, ask) {
  const said = Object.entries({ ...options, filename: file.name });
  const metadata = said.map(([key, value]) => `${key} ${base64(value)}`).join(",");
  const headers = { ...TUS, "Upload-Length": String(file.size), "Upload-Metadata": metadata };
  const { id } = await (await ask(api, { method: "POST", headers })).json();
  return `${api}/${id}`;
}

/**
 * @param {string} url
 * @param {Ask} ask
 */
async function offsetOf(url, ask) {
  return Number((await ask(url, { method: "HEAD", headers: TUS })).headers.get("Upload-Offset"));
}

/**
 * Sends a file with `options`; one of `videos` that is this file, and not whole, is gone on with.
 * @param {string} api
 * @param {File} file
 * @param {Record<string, string>} options
 * @param {VideoInfo[]} videos
 * @param {Ask} ask
 */
export async function send(api, file, options, videos, ask) {
  const begun = videos.find(({ state, name, bytes }) => (
    state === "uploading" && name === file.name && bytes === file.size
  ));
  const url = begun ? `${api}/${begun.id}` : await create(api, file, options, ask);
  let offset = begun ? await offsetOf(url, ask) : 0;
  for (let tries = 0; offset < file.size;) {
    const type = "application/offset+octet-stream";
    const headers = { ...TUS, "Upload-Offset": String(offset), "Content-Type": type };
    const body = file.slice(offset, offset + PIECE_BYTES);
    try {
      const answer = await ask(url, { method: "PATCH", headers, body });
      offset = Number(answer.headers.get("Upload-Offset"));
      tries = 0;
    } catch (error) {
      // A lost connection is a TypeError; what the server says will be so the next time, too.
      if (!(error instanceof TypeError) || ++tries > MAX_TRIES) throw error;
      await pause(RETRY_MS);
      offset = await offsetOf(url, ask).catch(() => offset);
    }
  }
}
