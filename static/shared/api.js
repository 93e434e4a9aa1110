// The settings of the server, as its API has them. What it refuses is thrown, in words.

const ANSWERS_WITHIN_MS = 60000;

/** @import { ProblemDetails } from "api" */

/** @typedef {{key: string, text: string}} Line what is wrong with one setting, by its key as in the file */

export class Refusal extends Error {
  /**
   * @param {string} text
   * @param {number} status 0 where there was no answer
   * @param {Line[]} lines one for each setting that is wrong; empty where it is about another thing
   */
  constructor(text, status = 0, lines = []) {
    super(text);
    this.status = status;
    this.lines = lines;
  }
}

/**
 * Returns the answer of an address, null where it has no body. Throws a Refusal.
 * @param {string} url
 * @param {unknown} body sent as JSON
 */
export async function ask(url, method = "GET", body = undefined) {
  let answer;
  try {
    answer = await fetch(url, {
      method,
      body: body === undefined ? undefined : JSON.stringify(body),
      headers: { Accept: "application/json", ...(body !== undefined && { "Content-Type": typeOf(method) }) },
      signal: AbortSignal.timeout(ANSWERS_WITHIN_MS),
    });
  } catch (error) {
    const isLate = error.name === "TimeoutError";
    throw new Refusal(isLate ? "The server took too long to answer." : "The server does not answer.");
  }
  if (!answer.ok) throw await refusal(answer);
  return answer.status === 204 ? null : answer.json();
}

/** @param {string} method */
const typeOf = (method) => (method === "PATCH" ? "application/merge-patch+json" : "application/json");

/** @param {Response} answer */
async function refusal(answer) {
  /** @type {Partial<ProblemDetails>} */
  const { title, detail = "" } = await answer.json().catch(() => ({})); // a proxy's own answer is no JSON
  if (answer.status === 401) return new Refusal("Your login has ended. Load the page again to log in.", 401);
  const text = detail || `The server answered “${title ?? (answer.statusText || answer.status)}”.`;
  return new Refusal(text, answer.status, detail.split("\n").flatMap(keyed));
}

const OF_CAMERA = /(?:^|: )cameras\.[\w-]+(?:\.(?<key>[\w.-]+))?: (?<text>.*)$/;
const OF_SETTING = /^(?<key>[a-z_.]+): (?<text>.*)$/;

/**
 * Takes "cameras.front.stream.fps: got 0, expected 1 to 120" apart; the file's name may come first, the
 * camera's may be missing.
 * @param {string} line
 * @returns {Line[]} one or none
 */
function keyed(line) {
  const { key = "", text } = (OF_CAMERA.exec(line) ?? OF_SETTING.exec(line))?.groups ?? {};
  return text === undefined ? [] : [{ key, text }];
}

/**
 * Asks an address again and again while the page is visible. What came of a question from before refresh() is
 * not shown.
 * @template T
 * @param {string} url
 * @param {number} everyMs
 * @param {(answer: T) => void} show
 * @param {(refusal: Refusal) => void} failed
 * @returns {() => void} refresh: asks at once
 */
export function watch(url, everyMs, show, failed) {
  let timer = 0;
  let newest = 0;

  async function refresh() {
    const number = ++newest;
    clearTimeout(timer);
    let outcome;
    try {
      /** @type {T} */
      const answer = await ask(url);
      outcome = () => show(answer);
    } catch (refusal) {
      outcome = () => failed(refusal);
    }
    if (number !== newest) return;
    outcome();
    timer = setTimeout(next, everyMs);
  }

  const next = () => { if (!document.hidden) refresh(); };
  document.addEventListener("visibilitychange", next);
  refresh();
  return refresh;
}
