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

// Plays a stream in an <img>, and lets go of its connection while the page is hidden or left.
// Browsers keep the connection of an <img> that is only removed, and allow six to a server.
export function play(image, url) {
  image.dataset.playing = url;
  image.src = document.hidden ? "" : url;
}

const images = () => document.querySelectorAll("img[data-playing]");
document.addEventListener("visibilitychange", () => {
  for (const image of images()) image.src = document.hidden ? "" : image.dataset.playing;
});
addEventListener("pagehide", () => { for (const image of images()) image.src = ""; });
addEventListener("pageshow", (event) => {
  if (event.persisted) for (const image of images()) image.src = image.dataset.playing;
});
