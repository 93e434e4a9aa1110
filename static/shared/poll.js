const WITHIN_MS = 10000;

// Asks an address, or what a function names, for JSON again and again while the page is visible; the next question
// waits for the answer. What fails gets an error that has the status of the answer, if there was one.
export function poll(url, everyMs, show, failed) {
  let isAsking = false;
  let timer;

  async function ask() {
    if (isAsking || document.hidden) return; // when it is shown again, it is asked at once
    isAsking = true;
    clearTimeout(timer);
    try {
      const answer = await fetch(typeof url === "function" ? url() : url, { signal: AbortSignal.timeout(WITHIN_MS) });
      if (!answer.ok) throw Object.assign(new Error(`the server answered ${answer.status}`), { status: answer.status });
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

// Shows a camera's state with its reason.
export function showState(element, state, reason) {
  element.dataset.state = state;
  element.textContent = state.replace("_", " ") + (reason ? `: ${reason}` : "");
}
