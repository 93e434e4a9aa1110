// Full screen for the wall and for one tile: by their buttons, or by F for the tile that has the focus, else
// the wall.
import { around } from "../shared/dom.js";

/**
 * @param {HTMLElement} wall
 * @param {HTMLElement} wallButton
 */
export function makeFullScreen(wall, wallButton) {
  if (!document.fullscreenEnabled) {
    document.documentElement.dataset.noFullScreen = "";
    return;
  }
  wallButton.hidden = false;
  wallButton.addEventListener("click", () => toggle(wall));
  wall.addEventListener("click", (event) => {
    const tile = around(event, ".enlarge") && around(event, ".tile");
    if (tile) toggle(tile);
  });
  addEventListener("keydown", (event) => {
    const isModified = event.ctrlKey || event.metaKey || event.altKey;
    if (event.key.toLowerCase() !== "f" || event.repeat || isModified) return;
    if (event.target instanceof Element && event.target.matches("input, select, textarea")) return;
    toggle(document.fullscreenElement ?? around(event, ".tile") ?? wall);
  });
}

/** @param {Element} element */
async function toggle(element) {
  try {
    if (document.fullscreenElement === element) await document.exitFullscreen();
    else await element.requestFullscreen();
  } catch {
    // The browser does not let this page, as in a frame that may not.
  }
}
