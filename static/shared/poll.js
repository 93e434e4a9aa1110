const WITHIN_MS = 10000;

/**
 * Asks an address, or what a function names, for JSON again and again while the page is visible; the next
 * question waits for the answer.
 * @template T
 * @param {string | (() => string)} url
 * @param {number} everyMs
 * @param {(answer: T) => unknown} show
 * @param {(error: Error & {status?: number}) => void} failed status: of the answer, if there was one
 */
export function poll(url, everyMs, show, failed) {
  let isAsking = false;
  let timer = 0;

  async function ask() {
    if (isAsking || document.hidden) return; // when it is shown again, it is asked at once
    isAsking = true;
    clearTimeout(timer);
    try {
      const address = typeof url === "function" ? url() : url;
      const answer = await fetch(address, { signal: AbortSignal.timeout(WITHIN_MS) });
      const { status } = answer;
      if (!answer.ok) throw Object.assign(new Error(`the server answered ${status}`), { status });
      show(await answer.json());
    } catch (error) {
      failed(error);
    }
    isAsking = false;
    timer = setTimeout(ask, everyMs);
  }

  document.addEventListener("visibilitychange", ask);
  ask();
}

/**
 * Shows a camera's state with its reason.
 * @param {HTMLElement} element
 * @param {string} state
 * @param {string} reason
 */
export function showState(element, state, reason) {
  element.dataset.state = state;
  element.textContent = state.replace("_", " ") + (reason ? `: ${reason}` : "");
}
