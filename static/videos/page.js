import { poll } from "../shared/poll.js";
import { send } from "./upload.js";

const page = document.querySelector(".videos");
const api = page.dataset.api;
const form = document.getElementById("new");
const problem = document.getElementById("problem");
const list = document.getElementById("videos");
const template = document.getElementById("video");
const shown = new Map();

function options() {
  const fields = new FormData(form);
  const said = { side: fields.getAll("side").join(",") };
  for (const name of ["model", "classes", "blur", "every", "format", "trails"]) said[name] = fields.get(name)?.trim();
  return Object.fromEntries(Object.entries(said).filter(([, value]) => value));
}

async function ask(url, request) {
  const answer = await fetch(url, request);
  if (!answer.ok) {
    const said = await answer.json().catch(() => ({}));
    throw new Error(said.detail || `the server answered ${answer.status}`);
  }
  return answer;
}

async function start(event) {
  event.preventDefault();
  problem.textContent = "";
  const files = document.getElementById("files");
  const path = document.getElementById("path");
  const kept = files.files;
  const chosen = [...kept];
  const asked = options();
  try {
    if (path?.value) {
      const body = JSON.stringify({ ...asked, path: path.value });
      await ask(api, { method: "POST", headers: { "Content-Type": "application/json" }, body });
      path.value = "";
    } else if (!chosen.length) {
      throw new Error("choose a video first");
    }
    files.value = "";
    const { videos } = await (await ask(api)).json();
    for (const file of chosen) await send(api, file, asked, videos, ask);
  } catch (error) {
    if (!files.files.length) files.files = kept;
    problem.textContent = error.message;
  }
}

const size = (bytes) => (bytes < 2 ** 20 ? `${Math.ceil(bytes / 2 ** 10)} KiB` : `${(bytes / 2 ** 20).toFixed(1)} MiB`);
const seconds = (value) => `${Math.floor(value / 60)}:${String(Math.round(value) % 60).padStart(2, "0")}`;

const day = new Intl.DateTimeFormat([], { dateStyle: "medium", timeStyle: "short" });
const keptUntil = (until) => (until === null ? [] : [`kept until ${day.format(new Date(until))}`]);

function facts({ state, reason, bytes, received, progress, summary, kept_until }) {
  if (state === "uploading") return `${Math.floor((100 * received) / bytes)} % of ${size(bytes)} are here`;
  if (state === "failed") return reason;
  if (summary) {
    const objects = Object.entries(summary.objects).map(([label, count]) => `${count} ${label}`).join(", ");
    return [`${summary.frames} frames`, objects || "nothing found", ...summary.notes, ...keptUntil(kept_until)].join(" · ");
  }
  if (!progress?.frames) return state === "queued" ? "waits for its turn" : "is being prepared";
  const { frames, expected, fps, left_s, objects, waits_for } = progress;
  const left = left_s === null ? [] : [`${seconds(left_s)} left`];
  return [`${frames} of ${expected ?? "?"} frames`, `${fps.toFixed(1)} fps`, ...left, `${objects} object${objects === 1 ? "" : "s"}`, ...(waits_for ? [waits_for] : [])].join(" · ");
}

function link({ name, url, bytes }) {
  const a = document.createElement("a");
  a.href = url;
  a.download = name.split("/").pop();
  a.textContent = `${name} (${size(bytes)})`;
  return a;
}

function watch(url) {
  const a = document.createElement("a");
  a.href = url;
  a.textContent = "Watch";
  return a;
}

function card(video) {
  const item = template.content.cloneNode(true).firstElementChild;
  item.dataset.video = video.id;
  item.querySelector(".name").textContent = video.name;
  item.querySelector(".delete").addEventListener("click", async () => {
    try {
      await ask(`${api}/${video.id}`, { method: "DELETE" });
      item.remove();
    } catch (error) {
      problem.textContent = error.message;
    }
  });
  return item;
}

function show(item, video) {
  const state = item.querySelector(".state");
  const bar = item.querySelector("progress");
  const { progress, received, bytes } = video;
  state.dataset.state = state.textContent = video.state;
  bar.hidden = !["uploading", "running"].includes(video.state);
  bar.removeAttribute("value");
  if (video.state === "uploading") bar.value = received / bytes;
  else if (progress?.expected && progress.frames) bar.value = progress.frames / progress.expected;
  item.querySelector(".facts").textContent = facts(video);
  if (video.state === "done" && !item.querySelector("a")) item.querySelector(".files").replaceChildren(watch(video.result), ...video.files.map(link));
  item.querySelector(".delete").textContent = ["done", "failed"].includes(video.state) ? "Delete" : "Cancel";
}

function showAll({ videos }) {
  const ids = new Set(videos.map((video) => video.id));
  for (const [id, item] of shown) {
    if (!ids.has(id)) {
      item.remove();
      shown.delete(id);
    }
  }
  for (const [index, video] of videos.entries()) {
    if (!shown.has(video.id)) shown.set(video.id, card(video));
    const item = shown.get(video.id);
    show(item, video);
    if (list.children[index] !== item) list.insertBefore(item, list.children[index] ?? null);
  }
  document.getElementById("none").hidden = videos.length > 0;
}

form.addEventListener("submit", start);
poll(api, 1000, showAll, (error) => { problem.textContent = error.message; });
