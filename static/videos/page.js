import { copyOf, find, findAll, part } from "../shared/dom.js";
import { poll } from "../shared/poll.js";
import { send } from "./upload.js";

/** @import { VideoFile, VideoInfo, VideoList } from "api" */

const page = find(document, ".videos");
const { api = "" } = page.dataset;
const form = part("new", HTMLFormElement);
const problem = part("problem");
const list = part("videos");
const template = part("video", HTMLTemplateElement);
/** @type {Map<string, HTMLElement>} */
const shown = new Map(); // by the video's id

function options() {
  const fields = new FormData(form);
  /** @type {Record<string, string>} */
  const said = { side: fields.getAll("side").join(",") };
  for (const name of ["model", "classes", "blur", "every", "format", "trails"]) {
    said[name] = String(fields.get(name) ?? "").trim();
  }
  return Object.fromEntries(Object.entries(said).filter(([, value]) => value));
}

/** @type {import("./upload.js").Ask} */
async function ask(url, request) {
  const answer = await fetch(url, request);
  if (!answer.ok) {
    const said = await answer.json().catch(() => ({}));
    throw new Error(said.detail || `the server answered ${answer.status}`);
  }
  return answer;
}

/** @param {SubmitEvent} event */
async function start(event) {
  event.preventDefault();
  problem.textContent = "";
  const files = part("files", HTMLInputElement);
  const path = findAll(form, "#path", HTMLInputElement).at(0); // there for administrators
  const kept = files.files;
  const chosen = [...kept ?? []];
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
    if (!files.files?.length) files.files = kept;
    problem.textContent = error.message;
  }
}

/** @param {number} bytes */
function size(bytes) {
  return bytes < 2 ** 20 ? `${Math.ceil(bytes / 2 ** 10)} KiB` : `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}

/** @param {number} value */
const seconds = (value) => `${Math.floor(value / 60)}:${String(Math.round(value) % 60).padStart(2, "0")}`;

const day = new Intl.DateTimeFormat([], { dateStyle: "medium", timeStyle: "short" });
/** @param {string | null} until */
const keptUntil = (until) => (until === null ? [] : [`kept until ${day.format(new Date(until))}`]);

/** @param {VideoInfo} video */
function facts({ state, reason, bytes, received, progress, summary, kept_until }) {
  if (state === "uploading") return `${Math.floor((100 * received) / bytes)} % of ${size(bytes)} are here`;
  if (state === "failed") return reason;
  if (summary) {
    const objects = Object.entries(summary.objects).map(([label, count]) => `${count} ${label}`).join(", ");
    const found = objects || "nothing found";
    return [`${summary.frames} frames`, found, ...summary.notes, ...keptUntil(kept_until)].join(" · ");
  }
  if (!progress?.frames) return state === "queued" ? "waits for its turn" : "is being prepared";
  const { frames, expected, fps, left_s, objects, waits_for } = progress;
  const left = left_s === null ? [] : [`${seconds(left_s)} left`];
  const found = `${objects} object${objects === 1 ? "" : "s"}`;
  const waits = waits_for ? [waits_for] : [];
  const done = `${frames} of ${expected ?? "?"} frames`;
  return [done, `${fps.toFixed(1)} fps`, ...left, found, ...waits].join(" · ");
}

/** @param {VideoFile} file */
function link({ name, url, bytes }) {
  const a = document.createElement("a");
  a.href = url;
  a.download = name.split("/").at(-1) ?? "";
  a.textContent = `${name} (${size(bytes)})`;
  return a;
}

/** @param {string} url */
function watch(url) {
  const a = document.createElement("a");
  a.href = url;
  a.textContent = "Watch";
  return a;
}

/** @param {VideoInfo} video */
function card(video) {
  const item = copyOf(template);
  item.dataset.video = video.id;
  find(item, ".name").textContent = video.name;
  find(item, ".delete").addEventListener("click", async () => {
    try {
      await ask(`${api}/${video.id}`, { method: "DELETE" });
      item.remove();
    } catch (error) {
      problem.textContent = error.message;
    }
  });
  return item;
}

/**
 * @param {HTMLElement} item
 * @param {VideoInfo} video
 */
function show(item, video) {
  const state = find(item, ".state");
  const bar = find(item, "progress", HTMLProgressElement);
  const { progress, received, bytes } = video;
  state.dataset.state = state.textContent = video.state;
  bar.hidden = !["uploading", "running"].includes(video.state);
  bar.removeAttribute("value");
  if (video.state === "uploading") bar.value = received / bytes;
  else if (progress?.expected && progress.frames) bar.value = progress.frames / progress.expected;
  find(item, ".facts").textContent = facts(video);
  if (video.result !== null && video.state === "done" && !item.querySelector("a")) {
    find(item, ".files").replaceChildren(watch(video.result), ...video.files.map(link));
  }
  find(item, ".delete").textContent = ["done", "failed"].includes(video.state) ? "Delete" : "Cancel";
}

/** @param {VideoList} list */
function showAll({ videos }) {
  const ids = new Set(videos.map((video) => video.id));
  for (const [id, item] of shown) {
    if (!ids.has(id)) {
      item.remove();
      shown.delete(id);
    }
  }
  for (const [index, video] of videos.entries()) {
    const item = shown.get(video.id) ?? card(video);
    shown.set(video.id, item);
    show(item, video);
    if (list.children[index] !== item) list.insertBefore(item, list.children[index] ?? null);
  }
  part("none").hidden = videos.length > 0;
}

form.addEventListener("submit", start);
poll(api, 1000, showAll, (error) => { problem.textContent = error.message; });
