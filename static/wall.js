import { play, poll, showState } from "./poll.js";

// Six connections to a server is what browsers allow; some must stay free for the page itself.
const MAX_STREAMS = 4;
const SNAPSHOT_EVERY_MS = 1000;

const wall = document.querySelector(".wall");
const summary = document.getElementById("summary");

const list = (objects) => Object.entries(objects).map(([label, n]) => (n > 1 ? `${n} × ${label}` : label)).join(", ");

function showSnapshots(image) {
  const next = () => {
    if (!document.hidden) image.src = `${image.dataset.snapshot}&${Date.now()}`;
    else setTimeout(next, SNAPSHOT_EVERY_MS);
  };
  image.onload = image.onerror = () => setTimeout(next, SNAPSHOT_EVERY_MS);
  next();
}

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

if (wall) {
  [...wall.querySelectorAll("img")].forEach((image, index) => {
    if (index < MAX_STREAMS) play(image, image.dataset.stream);
    else showSnapshots(image);
  });
  poll(wall.dataset.api, 1000, show, () => { summary.textContent = "The server does not answer"; });
}
