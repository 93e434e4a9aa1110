// The page of all cameras: which there are, how they are doing, and the grid that shows them largest.
import { poll, showState } from "../shared/poll.js";
import { chooseGrid } from "./layout.js";
import { makeSortable, restoreOrder } from "./order.js";
import { makeFullScreen } from "./full-screen.js";

const LABELS_SHOWN = 3;
const LINE_REM = { compact: 3.5, beside: 2.25 };
const wall = document.querySelector(".wall");
const summary = document.getElementById("summary");

const tileOf = (name) => [...wall.children].find(({ dataset }) => dataset.camera === name);

// What is seen now, most first: "2 person, 1 car".
function counts(objects) {
  const found = Object.entries(objects).sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).map(([label, n]) => `${n} ${label}`);
  const more = found.length - LABELS_SHOWN;
  return { all: found.join(", "), short: found.slice(0, LABELS_SHOWN).join(", ") + (more > 0 ? `, ${more} more` : "") };
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text; // the same again would be read out again
}

function showTitle(tile, title) {
  const name = tile.querySelector(".name");
  if (name.title === title) return;
  Object.assign(name, { textContent: title, title });
  tile.querySelector("canvas").setAttribute("aria-label", `Live picture of ${title}`);
  tile.querySelector(".move").setAttribute("aria-label", `Move ${title}`);
  tile.querySelector(".enlarge").setAttribute("aria-label", `Full screen: ${title}`);
}

function showCamera(tile, { title, state, reason, objects, width, height }) {
  showTitle(tile, title);
  showState(tile.querySelector(".state"), state, "");
  const { all, short } = counts(objects);
  const found = tile.querySelector(".found");
  const isReason = state !== "online";
  found.classList.toggle("reason", isReason);
  write(found, isReason ? reason : short);
  found.title = isReason ? reason : all;
  if (width && height) tile.dataset.ratio = width / height;
}

async function show({ cameras }) {
  const names = new Set(cameras.map(({ name }) => name));
  for (const tile of [...wall.children]) if (!names.has(tile.dataset.camera)) tile.remove();
  if (cameras.some(({ name }) => !tileOf(name)) || !cameras.length) await addTiles(names);
  for (const camera of cameras) {
    const tile = tileOf(camera.name);
    if (tile) showCamera(tile, camera);
  }
  arrange();
  const online = cameras.filter(({ state }) => state === "online").length;
  write(summary, `${online} of ${cameras.length} online`);
}

// Takes the tiles of cameras that are new from the page as the server makes it now.
async function addTiles(names) {
  const answer = await fetch(location.href);
  if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const tiles = [...page.querySelectorAll(".wall > .tile")];
  if (!tiles.length) location.reload(); // there is no camera left, and another page to show
  for (const tile of tiles) {
    const { camera } = tile.dataset;
    if (names.has(camera) && !tileOf(camera)) wall.append(document.importNode(tile, true));
  }
  restoreOrder(wall);
}

function failed() {
  write(summary, "The server does not answer");
  for (const state of wall.querySelectorAll(".state")) showState(state, "offline", "");
}

let arranged = "";

function arrange() {
  const style = getComputedStyle(wall);
  const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
  const lines = { compact: LINE_REM.compact * rem, beside: LINE_REM.beside * rem };
  const padding = parseFloat(style.paddingTop) + parseFloat(style.paddingBottom);
  const isWhole = document.fullscreenElement === wall;
  const room = isWhole ? wall.clientHeight : innerHeight - wall.getBoundingClientRect().top - scrollY - below();
  const width = wall.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
  const ratios = [...wall.children].map(({ dataset }) => Number(dataset.ratio) || 16 / 9);
  if (!ratios.length || document.fullscreenElement?.matches(".tile")) return;
  const grid = chooseGrid({ width, height: room - padding, ratios, gap: parseFloat(style.columnGap), lines });
  if (JSON.stringify(grid) === arranged) return;
  arranged = JSON.stringify(grid);
  wall.classList.toggle("compact", grid.isCompact);
  wall.style.setProperty("--columns", grid.columns);
  wall.style.setProperty("--tile-width", `${grid.tileWidth}px`);
  wall.style.setProperty("--picture-height", `${grid.pictureHeight}px`);
  wall.style.setProperty("--words", `${grid.isCompact ? LINE_REM.compact : LINE_REM.beside}rem`);
  wall.dataset.arranged = "";
}

// What stands below the wall: the padding of the page.
function below() {
  return parseFloat(getComputedStyle(wall.parentElement).paddingBottom);
}

function start() {
  const announcement = document.getElementById("announcement");
  restoreOrder(wall);
  makeSortable(wall, (text) => { announcement.textContent = text; });
  makeFullScreen(wall, document.getElementById("full-screen"));
  new ResizeObserver(arrange).observe(wall);
  addEventListener("resize", arrange);
  document.addEventListener("fullscreenchange", arrange);
  arrange();
  poll(wall.dataset.api, 1000, show, failed);
}

if (wall) start();
