// Asks an address for JSON again and again while the page is visible; the next question waits for the answer.
export function poll(url, everyMs, show, failed) {
  async function ask() {
    if (!document.hidden) {
      try {
        const answer = await fetch(url);
        if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
        show(await answer.json());
      } catch (error) {
        failed(error);
      }
    }
    setTimeout(ask, everyMs);
  }
  ask();
}

// Shows a camera's state with its reason.
export function showState(element, state, reason) {
  element.dataset.state = state;
  element.textContent = state.replace("_", " ") + (reason ? `: ${reason}` : "");
}
