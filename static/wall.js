import { poll, showState } from "./poll.js";

const wall = document.querySelector(".wall");
const summary = document.getElementById("summary");

const list = (objects) => Object.entries(objects).map(([label, n]) => (n > 1 ? `${n} × ${label}` : label)).join(", ");

function show({ cameras }) {
  for (const camera of cameras) {
    const tile = wall.querySelector(`[data-camera="${camera.name}"]`);
    if (!tile) continue;
    showState(tile.querySelector(".state"), camera.state, "");
    tile.title = camera.reason;
    tile.querySelector(".found").textContent = camera.state === "online" ? list(camera.objects) : camera.reason;
  }
  const online = cameras.filter(({ state }) => state === "online").length;
  summary.textContent = `${online} of ${cameras.length} online`;
}

function failed() {
  summary.textContent = "The server does not answer";
  for (const state of wall.querySelectorAll(".state")) showState(state, "offline", "");
}

if (wall) {
  poll(wall.dataset.api, 1000, show, failed);
}
