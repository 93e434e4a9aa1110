import { find, findAll, part, setText } from "../shared/dom.js";
import { counts } from "./geometry.js";
import { Editor } from "./editor.js";
import { listenToKeys } from "./keys.js";
import { RegionList } from "./list.js";
import { LivePicture } from "./picture.js";
import { listenToPointer } from "./pointer.js";
import { Store } from "./store.js";
import { View } from "./view.js";

/** @import { Polygons } from "./editor.js" */
/** @import { SeenObject } from "./view.js" */

const page = find(document, ".regions");
const { camera = "", picture: snapshot = "", detector = "", settings = "", section = "" } = page.dataset;
const doing = findAll(page, "[data-do]", HTMLButtonElement);
const buttons = Object.fromEntries(doing.map((button) => [button.dataset.do, button]));
const least = JSON.parse(page.dataset.least ?? "");
const svg = part("drawing", SVGSVGElement);
const image = part("picture", HTMLImageElement);

const view = new View(svg);
const store = new Store(camera, JSON.parse(page.dataset.regions ?? ""), { settings, section });
const editor = new Editor(store.stored, () => view.size);
const list = new RegionList(part("list"), part("row", HTMLTemplateElement), editor);
const picture = new LivePicture(image, snapshot, detector);
let isSaving = false;
let trouble = ""; // what went wrong last, until something is done about it

// Showing.

/** @param {string} text */
function complain(text) {
  trouble = text;
  setText(part("problem"), trouble || store.problem);
}

function show() {
  const { regions, active, draft, cursor } = editor;
  const found = picture.found.map((object) => (
    { ...object, text: object.label, counts: counts(regions, object.box_relative, least) }
  ));
  view.show({ regions, selected: active.id, draft, cursor, found });
  list.show(regions, active.id);
  part("none").hidden = regions.length > 0;
  showTools();
  setText(part("seen"), seenInWords(found));
  setText(part("hint"), hint());
}

function showTools() {
  const { draft, chosen, active } = editor;
  const isDrawing = Boolean(draft);
  part("editing").toggleAttribute("data-away", isDrawing);
  part("closing").toggleAttribute("data-away", !isDrawing);
  find(page, ".picture").toggleAttribute("data-drawing", isDrawing);
  svg.setAttribute("tabindex", isDrawing ? "0" : "-1");
  buttons.delete.textContent = active.index === null ? "Delete" : "Delete point";
  const cannotSave = isDrawing || isSaving || editor.isSaved;
  const isOff = {
    insert: !chosen, delete: !editor.canRemove, undo: !editor.canUndo, redo: !editor.canRedo,
    close: draft !== null && draft.points.length < 3, back: !draft?.points.length,
    save: cannotSave || Boolean(store.obstacle), discard: cannotSave,
  };
  for (const [name, value] of Object.entries(isOff)) buttons[name].disabled = value;
}

function hint() {
  if (editor.draft) {
    return "Click or tap the corners one after the other, and the first one again to close the shape. "
      + "Arrow keys move the cross, Space sets a point, Enter closes.";
  }
  if (editor.chosen) return "Drag the shape or a point of it. Drag a line to get a new point there.";
  if (editor.regions.length) return "Choose a shape to change it.";
  return "Draw a region where objects are to count, or a mask where they are not.";
}

/** @param {(SeenObject & {label: string})[]} found */
function seenInWords(found) {
  if (!detector) return "There is no detector that could look.";
  if (picture.problem || picture.blindness) return picture.problem || picture.blindness;
  if (!found.length) return "Nothing is found in the picture.";
  /** @param {boolean} isCounted */
  const labels = (isCounted) => (
    found.filter((object) => object.counts === isCounted).map(({ label }) => label).join(", ")
  );
  const lines = [["Counts", labels(true)], ["Does not count", labels(false)]].filter(([, text]) => text);
  return lines.map((line) => line.join(": ")).join(". ");
}

function showStep() {
  show();
  setText(part("status"), editor.said);
  complain(editor.complaint);
  if (editor.focus) focus(editor.focus);
  if (store.isFixed) showObstacle();
}

/** @param {string} key of a button, a part of the page or a shape */
function focus(key) {
  const element = buttons[key] ?? page.querySelector(`#${CSS.escape(key)}, [data-key="${key}"]`);
  element?.focus({ preventScroll: true });
}

function showPicture() {
  const { naturalWidth: width, naturalHeight: height } = image;
  if (width) find(page, ".picture").style.setProperty("--ratio", `${width} / ${height}`);
  setText(part("no-picture"), width ? "" : picture.problem);
  show();
}

// The server.

/** @returns {Polygons} */
const drawn = () => ({ inside: editor.written("inside"), ignore: editor.written("ignore") });

async function save() {
  const fault = editor.check();
  if (fault) return complain(fault);
  const { regions } = editor;
  isSaving = true;
  setText(part("status"), "Saving …");
  show();
  try {
    await store.save(drawn());
    isSaving = false;
    editor.saved(regions);
  } catch (refusal) {
    isSaving = false;
    show();
    setText(part("status"), "");
    complain(`Not saved: ${refusal.message}`);
  }
}

// Takes what somebody else saved meanwhile, but not over what was drawn here.
function takeStored() {
  if (editor.isSaved && !editor.draft) {
    return editor.load(store.stored, "The regions were changed elsewhere; these are the new ones.");
  }
  complain("The regions were changed elsewhere meanwhile. Save replaces them; Discard changes shows them.");
}

// Shows why nothing can be saved; for a camera of the command line, with the arguments that would keep what
// is drawn.
function showObstacle() {
  const kept = Object.entries(drawn()).filter(([, shapes]) => shapes.length);
  const lines = kept.map(([kind, shapes]) => (
    `--set 'cameras.${camera}.detect.${kind}=${JSON.stringify(shapes)}'`
  ));
  part("fixed").hidden = !store.obstacle;
  setText(part("why"), store.obstacle);
  setText(part("arguments"), store.isFixed ? lines.join(" ") || "(nothing is drawn yet)" : "");
  show();
}

// Wiring.

const ACTIONS = {
  "draw-inside": () => editor.start("inside"),
  "draw-ignore": () => editor.start("ignore"),
  insert: () => editor.insert(),
  delete: () => editor.removeActive(),
  undo: () => editor.undo(),
  redo: () => editor.redo(),
  close: () => editor.close(),
  back: () => editor.takeBack(),
  set: () => editor.setPoint(),
  cancel: () => editor.cancel(),
  save,
  discard: () => editor.load(store.stored, "The drawing is as it is on the server."),
  refresh: () => picture.refresh(),
};

for (const [name, action] of Object.entries(ACTIONS)) buttons[name].addEventListener("click", action);
listenToPointer(svg, view, editor);
listenToKeys(page, svg, view, editor);
editor.addEventListener("change", showStep);
picture.addEventListener("change", showPicture);
store.addEventListener("obstacle", showObstacle);
store.addEventListener("stored", takeStored);
store.addEventListener("problem", () => complain(trouble));
const live = part("live", HTMLInputElement);
live.addEventListener("change", () => picture.setLive(live.checked));
addEventListener("beforeunload", (event) => {
  if (!editor.isSaved || editor.draft?.points.length) event.preventDefault();
});
new ResizeObserver(show).observe(svg);
picture.refresh();
