// The page of all cameras: which there are, how they are doing, and the grid that shows them largest.
import { find, findAll, part, setText } from "../shared/dom.js";
import { poll, showState } from "../shared/poll.js";
import { chooseGrid } from "./layout.js";
import { makeSortable, restoreOrder } from "./order.js";
import { makeFullScreen } from "./full-screen.js";

/** @import { CameraInfo, CameraList } from "api" */

const LABELS_SHOWN = 3;
const LINE_REM = { compact: 3.5, beside: 2.25 };
// Neither is there, and nothing starts, where there is no camera.
const wall = /** @type {HTMLElement} */ (document.querySelector(".wall"));
const summary = /** @type {HTMLElement} */ (document.getElementById("summary"));

const tiles = () => findAll(wall, ":scope > .tile");
/** @param {string} name */
const tileOf = (name) => tiles().find(({ dataset }) => dataset.camera === name);

/**
 * What is seen now, most first: "2 person, 1 car".
 * @param {Record<string, number>} objects
 */
function counts(objects) {
  const sorted = Object.entries(objects).sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
  const found = sorted.map(([label, n]) => `${n} ${label}`);
  const more = found.length - LABELS_SHOWN;
  const short = found.slice(0, LABELS_SHOWN).join(", ") + (more > 0 ? `, ${more} more` : "");
  return { all: found.join(", "), short };
}

/**
 * @param {HTMLElement} tile
 * @param {string} title
 */
function showTitle(tile, title) {
  const name = find(tile, ".name");
  if (name.title === title) return;
  Object.assign(name, { textContent: title, title });
  find(tile, "canvas").setAttribute("aria-label", `Live picture of ${title}`);
  find(tile, ".move").setAttribute("aria-label", `Move ${title}`);
  find(tile, ".enlarge").setAttribute("aria-label", `Full screen: ${title}`);
}

/**
 * @param {HTMLElement} tile
 * @param {CameraInfo} camera
 */
function showCamera(tile, { title, state, reason, objects, width, height }) {
  showTitle(tile, title);
  showState(find(tile, ".state"), state, "");
  const { all, short } = counts(objects);
  const found = find(tile, ".found");
  const isReason = state !== "online";
  found.classList.toggle("reason", isReason);
  setText(found, isReason ? reason : short);
  found.title = isReason ? reason : all;
  if (width && height) tile.dataset.ratio = String(width / height);
}

/** @param {CameraList} list */
async function show({ cameras }) {
  const names = new Set(cameras.map(({ name }) => name));
  for (const tile of tiles()) if (!names.has(tile.dataset.camera ?? "")) tile.remove();
  if (cameras.some(({ name }) => !tileOf(name)) || !cameras.length) await addTiles(names);
  for (const camera of cameras) {
    const tile = tileOf(camera.name);
    if (tile) showCamera(tile, camera);
  }
  arrange();
  const online = cameras.filter(({ state }) => state === "online").length;
  setText(summary, `${online} of ${cameras.length} online`);
}

/**
 * Takes the tiles of cameras that are new from the page as the server makes it now.
 * @param {Set<string>} names
 */
async function addTiles(names) {
  const answer = await fetch(location.href);
  if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const made = findAll(page, ".wall > .tile");
  if (!made.length) location.reload(); // there is no camera left, and another page to show
  for (const tile of made) {
    const { camera = "" } = tile.dataset;
    if (names.has(camera) && !tileOf(camera)) wall.append(document.importNode(tile, true));
  }
  restoreOrder(wall);
}

function failed() {
  setText(summary, "The server does not answer");
  for (const state of findAll(wall, ".state")) showState(state, "offline", "");
}

let arranged = "";

function arrange() {
  const style = getComputedStyle(wall);
  const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
  const lines = { compact: LINE_REM.compact * rem, beside: LINE_REM.beside * rem };
  const padding = parseFloat(style.paddingTop) + parseFloat(style.paddingBottom);
  const isWhole = document.fullscreenElement === wall;
  const { top } = wall.getBoundingClientRect();
  const room = isWhole ? wall.clientHeight : innerHeight - top - scrollY - below();
  const width = wall.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
  const ratios = tiles().map(({ dataset }) => Number(dataset.ratio) || 16 / 9);
  if (!ratios.length || document.fullscreenElement?.matches(".tile")) return;
  const grid = chooseGrid({ width, height: room - padding, ratios, gap: parseFloat(style.columnGap), lines });
  if (JSON.stringify(grid) === arranged) return;
  arranged = JSON.stringify(grid);
  wall.classList.toggle("compact", grid.isCompact);
  wall.style.setProperty("--columns", String(grid.columns));
  wall.style.setProperty("--tile-width", `${grid.tileWidth}px`);
  wall.style.setProperty("--picture-height", `${grid.pictureHeight}px`);
  wall.style.setProperty("--words", `${grid.isCompact ? LINE_REM.compact : LINE_REM.beside}rem`);
  wall.dataset.arranged = "";
}

// What stands below the wall: the padding of the page.
function below() {
  return parseFloat(getComputedStyle(/** @type {Element} */ (wall.parentElement)).paddingBottom);
}

function start() {
  const announcement = part("announcement");
  restoreOrder(wall);
  makeSortable(wall, (text) => { announcement.textContent = text; });
  makeFullScreen(wall, part("full-screen"));
  new ResizeObserver(arrange).observe(wall);
  addEventListener("resize", arrange);
  document.addEventListener("fullscreenchange", arrange);
  arrange();
  poll(wall.dataset.api ?? "", 1000, show, failed);
}

if (wall) start();
