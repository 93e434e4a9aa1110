import * as geometry from "./regions-geometry.js";
import { History } from "./regions-history.js";
import { LivePicture } from "./regions-picture.js";
import { View, inWords, nameOf } from "./regions-view.js";
import { ask, watch } from "./settings-api.js";

const EVERY_MS = 3000;
const REACH_PX = { mouse: 9, pen: 12, touch: 22 };
const STEP_PX = { small: 1, large: 20 };
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const PURPOSES = { inside: "objects count here", ignore: "nothing counts here" };

const page = document.querySelector(".regions");
const part = (id) => document.getElementById(id);
const buttons = Object.fromEntries([...page.querySelectorAll("[data-do]")].map((button) => [button.dataset.do, button]));
const svg = part("drawing");
const view = new View(svg);
const picture = new LivePicture(part("picture"), page.dataset.picture, page.dataset.detector);
const least = JSON.parse(page.dataset.least);

let ids = 0;
let stored = JSON.parse(page.dataset.regions); // as the server has them
let history = new History(read(stored));
let active = { id: null, index: null }; // the region that is chosen, and which of its points
let draft = null; // {kind, points} of the shape that is being drawn
let cursor = [0.5, 0.5]; // where its next point would be
let drag = null; // of a point or a region: what was there when it began
let obstacle = ""; // why nothing can be saved
let isSaving = false;

function read({ inside, ignore }) {
  const ofKind = (kind) => (points) => ({ id: ++ids, kind, points });
  return [...inside.map(ofKind("inside")), ...ignore.map(ofKind("ignore"))];
}

const written = (regions, kind) => regions.filter((region) => region.kind === kind).map(({ points }) => points);
const chosen = () => history.now.find(({ id }) => id === active.id);

// Showing.

const say = (text) => { part("status").textContent = text; };
const complain = (text) => { if (part("problem").textContent !== text) part("problem").textContent = text; };

function show() {
  const regions = history.now;
  if (active.id !== null && !chosen()) active = { id: null, index: null };
  const found = picture.found.map((object) => ({ ...object, text: object.label, counts: geometry.counts(regions, object.box_relative, least) }));
  view.show({ regions, selected: active.id, draft, cursor, found });
  showTools();
  showList(regions);
  part("seen").textContent = seenInWords(found);
  part("hint").textContent = hint();
}

function showTools() {
  const isDrawing = Boolean(draft);
  const [shown, away] = isDrawing ? ["closing", "editing"] : ["editing", "closing"];
  delete part(shown).dataset.away;
  part(away).dataset.away = "";
  page.querySelector(".picture").toggleAttribute("data-drawing", isDrawing);
  svg.setAttribute("tabindex", isDrawing ? 0 : -1);
  const isPoint = active.index !== null;
  buttons.delete.textContent = isPoint ? "Delete point" : "Delete";
  const isOff = {
    insert: !chosen(), delete: !chosen() || (isPoint && chosen().points.length < 4), undo: !history.canUndo, redo: !history.canRedo,
    close: isDrawing && draft.points.length < 3, back: isDrawing && !draft.points.length,
    save: isDrawing || isSaving || Boolean(obstacle) || history.isSaved, discard: isDrawing || isSaving || history.isSaved,
  };
  for (const [name, value] of Object.entries(isOff)) buttons[name].disabled = value;
}

function hint() {
  if (draft) {
    return "Click or tap the corners one after the other, and the first one again to close the shape. Arrow keys move the cross, Space sets a point, Enter closes.";
  }
  if (chosen()) return "Drag the shape or a point of it. Drag a line to get a new point there.";
  return history.now.length ? "Choose a shape to change it." : "Draw a region where objects are to count, or a mask where they are not.";
}

function seenInWords(found) {
  if (!page.dataset.detector) return "There is no detector that could look.";
  if (picture.problem || picture.blindness) return picture.problem || picture.blindness;
  if (!found.length) return "Nothing is found in the picture.";
  const labels = (counts) => found.filter((object) => object.counts === counts).map(({ label }) => label).join(", ");
  return [["Counts", labels(true)], ["Does not count", labels(false)]].filter(([, text]) => text).map((line) => line.join(": ")).join(". ");
}

function showList(regions) {
  const list = part("list");
  while (list.children.length > regions.length) list.lastElementChild.remove();
  while (list.children.length < regions.length) list.append(part("row").content.cloneNode(true));
  for (const [at, region] of regions.entries()) showRow(list.children[at], region, regions);
  part("none").hidden = regions.length > 0;
}

function showRow(row, region, regions) {
  const name = nameOf(region, regions);
  const fault = geometry.fault(region.points);
  const facts = fault || `${region.points.length} points, ${Math.round(100 * geometry.area(region.points))} % of the picture, ${PURPOSES[region.kind]}`;
  const [pick, kind, remove] = row.querySelectorAll(".pick, select, .remove");
  const key = `${name}|${facts}|${region.kind}`;
  row.dataset.region = region.id;
  pick.setAttribute("aria-pressed", region.id === active.id);
  if (row.dataset.shown === key) return;
  row.dataset.shown = key;
  const small = Object.assign(document.createElement("small"), { textContent: facts, className: fault && "wrong" });
  pick.replaceChildren(name, small);
  kind.value = region.kind;
  kind.setAttribute("aria-label", `What is in ${name}`);
  remove.setAttribute("aria-label", `Delete ${name}`);
}

// Changing.

function change(region, points, step = null) {
  history.go(history.now.map((other) => (other === region ? { ...region, points } : other)), step);
  complain("");
  show();
}

function choose(id, index = null) {
  if (active.id === id && active.index === index) return;
  active = { id, index };
  history.endStep();
  show();
}

// Chooses a region, or a point of it, and gives it the focus.
function reach(id, index = null) {
  choose(id, index);
  view.focus(index === null ? id : `${id}:${index}`);
}

function insert(region, index, point) {
  change(region, geometry.withPoint(region.points, index + 1, point));
  reach(region.id, index + 1);
  say(`A new point, ${inWords(point)}.`);
}

function insertAfterActive() {
  const region = chosen();
  if (!region) return;
  const index = active.index ?? geometry.longestEdge(region.points, view.size);
  insert(region, index, geometry.middle(region.points, index));
}

function removeActive() {
  const region = chosen();
  if (!region) return;
  if (active.index === null) return removeRegion(region);
  if (region.points.length < 4) return say("Of three points none can go. Delete the shape instead.");
  change(region, geometry.withoutPoint(region.points, active.index));
  reach(region.id, Math.min(active.index, chosen().points.length - 1));
  say("The point is gone.");
}

function removeRegion(region) {
  const name = nameOf(region, history.now);
  history.go(history.now.filter((other) => other !== region));
  active = { id: null, index: null };
  complain("");
  show();
  buttons["draw-inside"].focus({ preventScroll: true });
  say(`${name} is deleted. Undo brings it back.`);
}

function moveActive([right, down], isFar) {
  const region = chosen();
  const [width, height] = view.size;
  const px = isFar ? STEP_PX.large : STEP_PX.small;
  const [deltaX, deltaY] = [(right * px) / width, (down * px) / height];
  if (active.index === null) return change(region, geometry.moved(region.points, deltaX, deltaY), `keys ${active.id}`);
  const [x, y] = region.points[active.index];
  change(region, geometry.withPointMoved(region.points, active.index, [x + deltaX, y + deltaY]), `keys ${active.id}:${active.index}`);
}

function turn(direction) {
  history[direction]();
  complain("");
  show();
  say(direction === "undo" ? "Undone." : "Done again.");
}

// Drawing.

function startDraft(kind) {
  draft = { kind, points: [] };
  cursor = [0.5, 0.5];
  active = { id: null, index: null };
  complain("");
  show();
  svg.focus({ preventScroll: true });
}

function setPoint(point) {
  const [first] = draft.points;
  const px = ([x, y]) => [x * view.size[0], y * view.size[1]];
  const isFirst = first && Math.hypot(px(first)[0] - px(point)[0], px(first)[1] - px(point)[1]) <= REACH_PX.pen;
  if (isFirst && draft.points.length > 2) return closeDraft();
  draft = { ...draft, points: [...draft.points, geometry.pointAt(...point)] };
  cursor = draft.points.at(-1);
  show();
  say(`Point ${draft.points.length} is set, ${inWords(cursor)}.`);
}

function takeBack() {
  draft = { ...draft, points: draft.points.slice(0, -1) };
  complain("");
  show();
  say(`${draft.points.length} points are set.`);
}

function closeDraft() {
  const fault = geometry.fault(draft.points);
  if (fault) return complain(`The shape ${fault}. Take points back, or cancel.`);
  const region = { id: ++ids, ...draft };
  draft = null;
  history.go([...history.now, region]);
  complain("");
  reach(region.id);
  say(`${nameOf(region, history.now)} is drawn. Save to let it take effect.`);
}

function cancelDraft() {
  const { kind } = draft;
  draft = null;
  complain("");
  show();
  buttons[`draw-${kind}`].focus({ preventScroll: true });
  say("Nothing was drawn.");
}

// Mouse, pen and finger.

function grab(event) {
  if (event.button > 0) return;
  const pointer = view.at(event);
  if (draft) {
    event.preventDefault();
    return setPoint(pointer);
  }
  const reachPx = REACH_PX[event.pointerType] ?? REACH_PX.mouse;
  const held = handleAt(pointer, reachPx) ?? shapeAt(pointer);
  if (!held) return choose(null);
  event.preventDefault(); // the focus goes where reach() says
  svg.setPointerCapture(event.pointerId);
  if (held.edge) insert(chosen(), held.edge.index, held.edge.point);
  else reach(held.id, held.index);
  drag = { pointer, points: chosen().points, step: held.edge ? null : {}, isMoved: false };
}

// Returns what of the chosen region is there: a point, or an edge; null for neither.
function handleAt(pointer, reachPx) {
  const region = chosen();
  if (!region) return null;
  const index = geometry.pointNear(region.points, pointer, view.size, reachPx);
  if (index >= 0) return { id: region.id, index };
  const edge = geometry.edgeNear(region.points, pointer, view.size, reachPx / 1.5);
  return edge && { edge };
}

// Returns the region that is there, of several the last drawn, but the chosen one before others.
function shapeAt(pointer) {
  const there = history.now.filter(({ points }) => geometry.contains(points, pointer));
  const region = there.find(({ id }) => id === active.id) ?? there.at(-1);
  return region && { id: region.id, index: null };
}

function pull(event) {
  const pointer = view.at(event);
  if (draft) {
    cursor = geometry.pointAt(...pointer);
    return show();
  }
  if (!drag) return;
  const [deltaX, deltaY] = [pointer[0] - drag.pointer[0], pointer[1] - drag.pointer[1]];
  const isFar = Math.hypot(deltaX * view.size[0], deltaY * view.size[1]) > 3; // else a click would move things
  if (!drag.isMoved && !isFar) return;
  drag.isMoved = true;
  const [x, y] = drag.points[active.index] ?? [];
  const points = active.index === null
    ? geometry.moved(drag.points, deltaX, deltaY)
    : geometry.withPointMoved(drag.points, active.index, [x + deltaX, y + deltaY]);
  change(chosen(), points, drag.step);
}

function release() {
  if (drag) history.endStep();
  drag = null;
}

// Keys.

function takeFocus({ target }) {
  const key = target.dataset?.key;
  if (!key || draft) return;
  const [id, index] = key.split(":").map(Number);
  choose(id, index ?? null);
}

function takeKey(event) {
  const act = draft ? draftKey(event) : regionKey(event);
  if (!act) return;
  event.preventDefault();
  act();
}

function draftKey({ key, shiftKey }) {
  if (key in ARROWS) return () => moveCursor(ARROWS[key], shiftKey);
  return { " ": () => setPoint(cursor), Enter: closeDraft, Escape: cancelDraft, Backspace: () => draft.points.length && takeBack() }[key];
}

function moveCursor([right, down], isFar) {
  const [width, height] = view.size;
  const px = isFar ? STEP_PX.large : 5;
  cursor = geometry.pointAt(cursor[0] + (right * px) / width, cursor[1] + (down * px) / height);
  show();
  say(inWords(cursor));
}

function regionKey({ key, shiftKey, target }) {
  if (!chosen() || target === svg) return null;
  if (key in ARROWS) return () => moveActive(ARROWS[key], shiftKey);
  return { Delete: removeActive, Backspace: removeActive, Insert: insertAfterActive, Escape: () => choose(null) }[key];
}

function takeShortcut(event) {
  if (!(event.ctrlKey || event.metaKey) || event.altKey) return;
  const key = event.key.toLowerCase();
  const direction = key === "y" || (key === "z" && event.shiftKey) ? "redo" : key === "z" ? "undo" : null;
  if (!direction) return;
  event.preventDefault();
  if (draft) {
    if (direction === "undo" && draft.points.length) takeBack();
  } else if (history[direction === "undo" ? "canUndo" : "canRedo"]) turn(direction);
}

// The server.

async function save() {
  const regions = history.now;
  const faulty = regions.find(({ points }) => geometry.fault(points));
  if (faulty) {
    reach(faulty.id);
    return complain(`${nameOf(faulty, regions)} ${geometry.fault(faulty.points)}.`);
  }
  isSaving = true;
  complain("");
  say("Saving …");
  show();
  const detect = Object.fromEntries(["inside", "ignore"].map((kind) => [kind, written(regions, kind)]));
  try {
    await ask(page.dataset.section, "PATCH", { detect: { inside: orNull(detect.inside), ignore: orNull(detect.ignore) } });
    stored = detect;
    history.save(regions);
    say("Saved. It is in effect.");
  } catch (refusal) {
    say("");
    complain(`Not saved: ${refusal.message}`);
  }
  isSaving = false;
  show();
  refresh();
}

const orNull = (list) => (list.length ? list : null);

function discard() {
  history = new History(read(stored));
  complain("");
  show();
  say("The drawing is as it is on the server.");
}

function takeSettings({ cameras, fixed, is_writable: isWritable, reason }) {
  const section = cameras[page.dataset.camera];
  const isFixed = fixed.includes(page.dataset.camera);
  obstacle = whyNot(section, isFixed, isWritable, reason);
  showObstacle(isFixed);
  if (section && !isFixed && !isSaving) takeStored({ inside: section.detect?.inside ?? [], ignore: section.detect?.ignore ?? [] });
  show();
}

function whyNot(section, isFixed, isWritable, reason) {
  if (isFixed) return "This camera comes from the command line, so nothing drawn here can be saved. To keep it, start the server with:";
  if (!section) return "This camera is not in the configuration any more.";
  return isWritable ? "" : `Nothing can be saved: ${reason || "the configuration file cannot be written"}.`;
}

// Shows why nothing can be saved, and for the command line what would keep what is drawn.
function showObstacle(isFixed) {
  part("fixed").hidden = !obstacle;
  const kept = ["inside", "ignore"].map((kind) => [kind, written(history.now, kind)]).filter(([, shapes]) => shapes.length);
  const lines = kept.map(([kind, shapes]) => `--set 'cameras.${page.dataset.camera}.detect.${kind}=${JSON.stringify(shapes)}'`);
  const code = Object.assign(document.createElement("code"), { textContent: lines.join(" ") || "(nothing is drawn)" });
  const text = [obstacle, ...(isFixed ? [code.textContent] : [])].join(" ");
  if (part("fixed").textContent.trim() !== text.trim()) part("fixed").replaceChildren(obstacle, " ", ...(isFixed ? [code] : []));
}

// Takes what somebody else saved meanwhile, but not over what was drawn here.
function takeStored(regions) {
  if (JSON.stringify(regions) === JSON.stringify(stored)) return;
  stored = regions;
  if (history.isSaved && !draft) return discard();
  complain("The regions were changed elsewhere meanwhile. Saving replaces them; Discard changes shows them.");
}

// Wiring.

const ACTIONS = {
  "draw-inside": () => startDraft("inside"), "draw-ignore": () => startDraft("ignore"), insert: insertAfterActive, delete: removeActive,
  undo: () => turn("undo"), redo: () => turn("redo"), close: closeDraft, back: takeBack, cancel: cancelDraft,
  set: () => setPoint(cursor), save, discard, refresh: () => picture.refresh(),
};

const rowOf = ({ target }) => history.now.find(({ id }) => id === Number(target.closest("li")?.dataset.region));

function takeListClick(event) {
  const region = rowOf(event);
  if (!region || draft) return;
  if (event.target.closest(".remove")) removeRegion(region);
  else if (event.target.closest(".pick")) reach(region.id);
}

function takeKind(event) {
  const region = rowOf(event);
  history.go(history.now.map((other) => (other === region ? { ...region, kind: event.target.value } : other)));
  show();
}

function takePicture() {
  const { naturalWidth: width, naturalHeight: height } = part("picture");
  if (width) page.querySelector(".picture").style.setProperty("--ratio", `${width} / ${height}`);
  part("no-picture").textContent = width ? "" : picture.problem;
  show();
}

for (const [name, action] of Object.entries(ACTIONS)) buttons[name].addEventListener("click", action);
for (const [name, take] of Object.entries({ pointerdown: grab, pointermove: pull, pointerup: release, pointercancel: release, keydown: takeKey, focusin: takeFocus })) {
  svg.addEventListener(name, take);
}
page.addEventListener("keydown", takeShortcut);
part("list").addEventListener("click", takeListClick);
part("list").addEventListener("change", takeKind);
part("live").addEventListener("change", ({ target }) => picture.setLive(target.checked));
picture.addEventListener("change", takePicture);
addEventListener("beforeunload", (event) => { if (!history.isSaved || draft?.points.length) event.preventDefault(); });
new ResizeObserver(show).observe(svg);
show();
picture.refresh();
const refresh = watch(page.dataset.settings, EVERY_MS, takeSettings, (refusal) => complain(refusal.message));
