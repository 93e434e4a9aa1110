// Hears what is found in a camera, frame by frame, while the page can be seen: over a WebSocket, and asking
// again and again where that is not to be had.

/** @import { DetectionList } from "api" */
/** @typedef {(list: DetectionList) => void} Heard */

const ANSWERS_WITHIN_MS = 5000;
const WORKED_MS = 5000;
const WAIT_MS = [1000, 8000]; // before the next try: doubling from the first to the last

/**
 * Calls heard(list) with each answer of /api/v1/cameras/<camera>/detections.
 * @param {string} live the address of the WebSocket
 * @param {string} detections the address to ask
 * @param {Heard} heard
 */
export function follow(live, detections, heard) {
  const url = new URL(live, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  /** @type {AbortController | null} */
  let current = null; // the AbortController of what goes on now

  function update() {
    const isWanted = !document.hidden;
    if (isWanted === Boolean(current)) return;
    current?.abort();
    current = isWanted ? new AbortController() : null;
    if (current) run(url, detections, heard, current.signal);
  }

  document.addEventListener("visibilitychange", update);
  addEventListener("pagehide", () => { current?.abort(); current = null; });
  addEventListener("pageshow", update);
  update();
}

/**
 * @param {URL} url
 * @param {string} detections
 * @param {Heard} heard
 * @param {AbortSignal} signal
 */
async function run(url, detections, heard, signal) {
  let waitMs = WAIT_MS[0];
  while (!signal.aborted) {
    const startedAt = performance.now();
    await listen(url, heard, signal);
    if (performance.now() - startedAt > WORKED_MS) waitMs = WAIT_MS[0];
    for (const until = performance.now() + waitMs; performance.now() < until && !signal.aborted;) {
      await ask(detections, heard, signal);
      await pause(WAIT_MS[0], signal);
    }
    waitMs = Math.min(2 * waitMs, WAIT_MS[1]);
  }
}

/**
 * Hears until the connection ends; never rejects.
 * @param {URL} url
 * @param {Heard} heard
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
function listen(url, heard, signal) {
  return new Promise((resolve) => {
    const socket = new WebSocket(url);
    const close = () => socket.close();
    signal.addEventListener("abort", close, { once: true });
    socket.onmessage = ({ data }) => { if (!signal.aborted) heard(JSON.parse(data)); };
    socket.onclose = () => {
      signal.removeEventListener("abort", close);
      resolve();
    };
  });
}

/**
 * @param {string} address
 * @param {Heard} heard
 * @param {AbortSignal} signal
 */
async function ask(address, heard, signal) {
  try {
    const within = AbortSignal.timeout(ANSWERS_WITHIN_MS);
    const answer = await fetch(address, { signal: AbortSignal.any([signal, within]) });
    if (answer.ok) heard(await answer.json());
  } catch {
    // The page says elsewhere that the server does not answer.
  }
}

/**
 * @param {number} ms
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
const pause = (ms, signal) => new Promise((resolve) => {
  const timer = setTimeout(resolve, ms);
  signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
});
