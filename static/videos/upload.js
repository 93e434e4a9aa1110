// Sends a file in pieces by tus 1.0.0 (https://tus.io/protocols/resumable-upload), and goes on where it was broken off.
const PIECE_BYTES = 8 * 2 ** 20;
const RETRY_MS = 2000;
const MAX_TRIES = 30;
const TUS = { "Tus-Resumable": "1.0.0" };

const pause = (ms) => new Promise((next) => setTimeout(next, ms));
const base64 = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));

async function create(api, file, options, ask) {
  const metadata = Object.entries({ ...options, filename: file.name }).map(([key, value]) => `${key} ${base64(value)}`);
  const headers = { ...TUS, "Upload-Length": file.size, "Upload-Metadata": metadata.join(",") };
  const { id } = await (await ask(api, { method: "POST", headers })).json();
  return `${api}/${id}`;
}

async function offsetOf(url, ask) {
  return Number((await ask(url, { method: "HEAD", headers: TUS })).headers.get("Upload-Offset"));
}

// Sends `file` with `options`; one of `videos` that is this file, and not whole, is gone on with. `ask` fetches, and
// throws what the server says is wrong.
export async function send(api, file, options, videos, ask) {
  const begun = videos.find(({ state, name, bytes }) => state === "uploading" && name === file.name && bytes === file.size);
  const url = begun ? `${api}/${begun.id}` : await create(api, file, options, ask);
  let offset = begun ? await offsetOf(url, ask) : 0;
  for (let tries = 0; offset < file.size;) {
    const headers = { ...TUS, "Upload-Offset": offset, "Content-Type": "application/offset+octet-stream" };
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
