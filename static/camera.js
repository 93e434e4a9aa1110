import { poll, showState } from "./poll.js";

const camera = document.querySelector(".camera");
const player = camera.querySelector("stream-camera");
const state = document.getElementById("state");
const rows = document.getElementById("detections");
const nothing = document.getElementById("nothing");
const save = document.getElementById("save");

function playOverlay() {
  const overlay = camera.querySelector("input[name=overlay]:checked").value;
  player.setAttribute("overlay", overlay);
  save.search = `?overlay=${overlay}`;
}

function row({ label, score, track_id }) {
  const cells = [label, `${Math.round(100 * score)} %`, track_id ? `#${track_id}` : ""];
  const tr = document.createElement("tr");
  for (const [index, text] of cells.entries()) {
    const td = tr.insertCell();
    td.textContent = text;
    if (index) td.className = "number";
  }
  return tr;
}

function showDetections({ detections }) {
  rows.replaceChildren(...detections.map(row));
  nothing.hidden = detections.length > 0;
}

function showFacts(info) {
  showState(state, info.state, info.reason);
  const facts = {
    description: info.description || "–",
    size: info.width ? `${info.width} × ${info.height}` : "–",
    fps: info.fps.toFixed(1),
    detection_fps: info.detects ? info.detection_fps.toFixed(1) : "off",
    latency: info.latency_ms === null ? "–" : `${Math.round(info.latency_ms)} ms`,
    viewers: info.viewers,
  };
  for (const [name, text] of Object.entries(facts)) {
    camera.querySelector(`[data-fact=${name}]`).textContent = text;
  }
}

const failed = () => showState(state, "offline", "the server does not answer");
camera.addEventListener("change", (event) => { if (event.target.name === "overlay") playOverlay(); });
for (const input of camera.querySelectorAll(".copy")) input.addEventListener("focus", () => input.select());
playOverlay();
poll(camera.dataset.api, 1000, showFacts, failed);
poll(camera.dataset.detections, 500, showDetections, failed);
