// Full screen for the wall and for one tile: by their buttons, or by F for the tile that has the focus, else the wall.

export function makeFullScreen(wall, wallButton) {
  if (!document.fullscreenEnabled) {
    document.documentElement.dataset.noFullScreen = "";
    return;
  }
  wallButton.hidden = false;
  wallButton.addEventListener("click", () => toggle(wall));
  wall.addEventListener("click", ({ target }) => {
    const button = target.closest(".enlarge");
    if (button) toggle(button.closest(".tile"));
  });
  addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() !== "f" || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches("input, select, textarea")) return;
    toggle(document.fullscreenElement ?? event.target.closest(".tile") ?? wall);
  });
}

async function toggle(element) {
  try {
    if (document.fullscreenElement === element) await document.exitFullscreen();
    else await element.requestFullscreen();
  } catch {
    // The browser does not let this page, as in a frame that may not.
  }
}
