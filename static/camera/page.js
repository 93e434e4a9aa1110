// The page of one camera. The boxes are drawn here, over the picture, from what the server follows: so they
// can be switched at once, and the stream itself needs nothing drawn into it.

import { drawBoxes } from "../shared/boxes.js";
import { Charts } from "./charts.js";
import { Filter } from "./filter.js";
import { follow } from "./live.js";
import { Memory } from "./memory.js";
import { Table } from "./table.js";
import { Tracks } from "./tracks.js";
import { find, part, pen, setText } from "../shared/dom.js";
import { poll, showState } from "../shared/poll.js";

/** @import { CameraInfo, DetectionList } from "api" */
/** @import { Found } from "../shared/boxes.js" */

const EMPTY_MS = 150; // for so long the last boxes stay where those of a picture are not known yet
/** @type {Record<string, Record<string, string>>} */
const WAYS = { // what is asked of the server for each kind of boxes; all are drawn here
  live: { overlay: "none" }, exact: { overlay: "exact" }, none: { overlay: "none" },
};
/** @type {Record<string, string>} */
const TROUBLE = { // what a state means to who looks
  idle: "The camera rests until somebody watches.",
  connecting: "The server connects to the camera.",
  waiting: "Nobody sends pictures to this camera; they are shown as soon as they come.",
  stalled: "The camera sends nothing new. The server tries to reach it by itself.",
  offline: "The server tries to reach the camera again and again, by itself.",
  auth_failed: "The camera refuses its user name or password. They stand in the settings of the camera.",
  ended: "There is nothing more to come.",
};

const page = find(document, ".camera");
const { api = "", history = "", live = "", detections = "" } = page.dataset;
const player = find(page, "stream-camera");
const image = part("picture", HTMLImageElement);
const stage = part("stage");
const detects = page.dataset.detects === "true";
const colours = (page.dataset.colours ?? "").split(",");
const memory = new Memory(`camera ${api}`);
const tracks = new Tracks();
const filter = detects ? new Filter(memory, colours, filterChanged) : null;
const table = detects ? new Table(colours, choose) : null;
const charts = new Charts(history, colours, filter);
/** @type {number | null} */
let takenAt = null; // when the picture that is shown was taken
/** @type {Found[]} */
let drawn = []; // what was drawn last
/** @type {number | null} */
let chosen = null; // the track that is pointed out
let isOnline = true;
let emptyTimer = 0;

function overlay() {
  const checked = page.querySelector("input[name=overlay]:checked");
  return checked instanceof HTMLInputElement ? checked.value : "none";
}

// Boxes.

/**
 * Returns what is to be drawn on the picture that is shown; null: not known yet.
 * @returns {Found[] | null}
 */
function wanted() {
  if (!isOnline || overlay() === "none") return [];
  return overlay() === "exact" ? tracks.in(takenAt) : tracks.at(takenAt);
}

function draw() {
  if (!filter) return;
  clearTimeout(emptyTimer);
  const found = wanted();
  if (found === null) emptyTimer = setTimeout(() => paint([]), EMPTY_MS);
  else paint(filter.keep(found));
}

/** @param {Found[]} found */
function paint(found) {
  drawn = found;
  const canvas = part("boxes", HTMLCanvasElement);
  const ratio = devicePixelRatio;
  const [width, height] = [canvas.clientWidth * ratio, canvas.clientHeight * ratio].map(Math.round);
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = pen(canvas);
  context.clearRect(0, 0, width, height);
  const place = placeOf(ratio);
  context.save();
  context.translate(place.left, place.top);
  context.beginPath();
  context.rect(0, 0, place.width, place.height);
  context.clip();
  const style = { line: 2 * ratio, text: 13 * ratio, chosen };
  drawBoxes(context, place.width, place.height, found, colours, style);
  context.restore();
}

// Returns where the picture is inside its element: in the middle, as large as fits.
function placeOf(ratio = 1) {
  const [width, height] = [image.clientWidth * ratio, image.clientHeight * ratio];
  const scale = Math.min(width / (image.naturalWidth || 1), height / (image.naturalHeight || 1));
  const size = { width: image.naturalWidth * scale, height: image.naturalHeight * scale };
  return { left: (width - size.width) / 2, top: (height - size.height) / 2, ...size };
}

/**
 * Returns the smallest box under the pointer, null where there is none.
 * @param {MouseEvent} event
 */
function under(event) {
  const place = placeOf();
  const { left, top } = image.getBoundingClientRect();
  const x = (event.clientX - left - place.left) / place.width;
  const y = (event.clientY - top - place.top) / place.height;
  /** @param {Found} found */
  const area = ({ box_relative: box }) => (box.x_max - box.x_min) * (box.y_max - box.y_min);
  const hit = drawn.filter(({ track_id, box_relative: box }) => (
    track_id && x >= box.x_min && x <= box.x_max && y >= box.y_min && y <= box.y_max
  ));
  return hit.sort((a, b) => area(a) - area(b))[0] ?? null;
}

/** @param {number | null} trackId */
function choose(trackId) {
  chosen = trackId === chosen ? null : trackId;
  table?.mark(chosen);
  draw();
}

// What is heard, chosen and switched.

/** @param {DetectionList} list */
function hear(list) {
  tracks.hear(list);
  filter?.offer(Object.fromEntries((list.tracks ?? []).map(({ label, class_id }) => [label, class_id])));
  draw();
  showNumbers();
}

function showNumbers() {
  if (!filter || !table) return;
  const all = isOnline ? tracks.all() : [];
  const kept = filter.keep(all);
  table.show(kept, tracks.newestAt, all.length - kept.length);
  /** @type {Record<string, number>} */
  const counts = {};
  for (const { label } of all) counts[label] = (counts[label] ?? 0) + 1;
  filter.count(counts);
}

function filterChanged() {
  draw();
  showNumbers();
  charts.draw();
}

function playOverlay() {
  for (const [name, value] of Object.entries(WAYS[overlay()])) {
    if (player.getAttribute(name) !== value) player.setAttribute(name, value); // a change reloads the stream
  }
  draw();
}

// What is said of the camera.

/** @param {CameraInfo} info */
function showFacts(info) {
  showState(part("state"), info.state, info.reason);
  setText(find(page, "h1"), info.title);
  const facts = {
    description: info.description || "–",
    size: info.width ? `${info.width} × ${info.height}` : "–",
    fps: info.fps.toFixed(1),
    detection_fps: info.detects ? info.detection_fps.toFixed(1) : "off",
    latency: info.latency_ms === null ? "–" : `${Math.round(info.latency_ms)} ms`,
    viewers: String(info.viewers),
  };
  for (const [name, text] of Object.entries(facts)) setText(find(page, `[data-fact=${name}]`), text);
  setOnline(info.state === "online");
  const { age_s: age } = info;
  const newest = age === null ? "No picture yet." : `Newest picture ${clock(Date.now() - 1000 * age)}.`;
  setText(part("newest"), info.state === "online" ? newest : `${newest} ${TROUBLE[info.state]}`);
}

function failed() {
  showState(part("state"), "offline", "the server does not answer");
  setText(part("newest"), "This page tries to reach the server again and again, by itself.");
  setOnline(false);
}

/** @param {boolean} value */
function setOnline(value) {
  if (isOnline === value) return;
  isOnline = value;
  if (!detects) return;
  if (!value) tracks.forget();
  draw();
  showNumbers();
}

/** @param {number} ms */
const clock = (ms) => new Date(ms).toLocaleTimeString([], {
  hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short",
});

// The whole screen.

function switchFullScreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else stage.requestFullscreen();
}

function rememberedOverlay() {
  const value = CSS.escape(memory.get("overlay", ""));
  const input = page.querySelector(`input[name=overlay][value="${value}"]`);
  if (input instanceof HTMLInputElement) input.checked = true;
}

page.addEventListener("change", ({ target }) => {
  if (!(target instanceof HTMLInputElement) || target.name !== "overlay") return;
  memory.set("overlay", target.value);
  playOverlay();
});
player.addEventListener("picture", (event) => {
  ({ takenAt } = /** @type {CustomEvent<{takenAt: number | null}>} */ (event).detail);
  draw();
});
part("full").hidden = !document.fullscreenEnabled;
part("full").addEventListener("click", switchFullScreen);
stage.addEventListener("dblclick", switchFullScreen);
if (detects) {
  stage.addEventListener("click", (event) => {
    const found = under(event);
    if (found || chosen) choose(found?.track_id ?? chosen);
  });
  stage.addEventListener("pointermove", (event) => stage.toggleAttribute("data-over", Boolean(under(event))));
  new ResizeObserver(draw).observe(part("boxes"));
  rememberedOverlay();
  follow(live, detections, hear);
}
playOverlay();
poll(api, 1000, showFacts, failed);
