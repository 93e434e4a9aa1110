// Asks the server what is in a picture.

/** @import { DetectAnswer, ProblemDetails } from "api" */

const ANSWERS_WITHIN_MS = 60000;

// What went wrong, in words for people; `mayPass`: trying again may help.
export class Problem extends Error {
  /** @param {string} text */
  constructor(text, mayPass = false) {
    super(text);
    this.mayPass = mayPass;
  }
}

/**
 * Returns what was found in a picture. Throws a Problem.
 * @param {string} url
 * @param {File} file
 * @param {number} maxBytes
 */
export async function detect(url, file, maxBytes) {
  if (file.size > maxBytes) {
    const [size, most] = [file.size, maxBytes].map(megabytes);
    throw new Problem(`The file is too large: ${size}, at most ${most} are taken.`);
  }
  const answer = await send(url, file);
  if (!answer.ok) throw await refusal(answer);
  /** @type {DetectAnswer} */
  const { images } = await answer.json();
  return images[0];
}

/**
 * @param {string} url
 * @param {File} file
 */
async function send(url, file) {
  try {
    const type = file.type.startsWith("image/") ? file.type : "application/octet-stream";
    return await fetch(url, {
      method: "POST", body: file, headers: { "Content-Type": type, Accept: "application/json" },
      signal: AbortSignal.timeout(ANSWERS_WITHIN_MS),
    });
  } catch (error) {
    const isLate = error.name === "TimeoutError";
    throw new Problem(isLate ? "The server took too long." : "The server does not answer.", true);
  }
}

/** @param {Response} answer */
async function refusal(answer) {
  /** @type {Partial<ProblemDetails>} */
  const problem = await answer.json().catch(() => ({})); // a proxy's own answer is no JSON
  const why = problem.detail ? `: ${problem.detail}` : "";
  const ofFile = /^body: ((?:is|has|cannot) .*)$/s.exec(problem.detail ?? "");
  if (ofFile) return new Problem(`The file ${ofFile[1]}.`);
  if (answer.status === 401) return new Problem("Your login has ended. Load the page again to log in.");
  if (answer.status === 413) return new Problem(`The file is too large${why}.`);
  if ([429, 503, 504].includes(answer.status)) return new Problem(`The server is busy${why}.`, true);
  return new Problem(`The server answered “${problem.title ?? (answer.statusText || answer.status)}”${why}.`);
}

/** @param {number} bytes */
const megabytes = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
