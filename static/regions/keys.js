// The keyboard: on the picture, its regions and their points, and everywhere on the page for undo and redo.

/** @import { Point } from "./geometry.js" */
/** @import { Editor } from "./editor.js" */
/** @import { View } from "./view.js" */
/** @typedef {Record<string, () => void>} Acts by key */

const STEP_PX = { point: 1, cursor: 5, far: 20 };
/** @type {Record<string, Point>} */
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/**
 * @param {HTMLElement} page
 * @param {SVGSVGElement} svg
 * @param {View} view
 * @param {Editor} editor
 */
export function listenToKeys(page, svg, view, editor) {
  /** @param {KeyboardEvent} event */
  function take(event) {
    const act = editor.draft ? drawing(event) : changing(event);
    if (!act) return;
    event.preventDefault();
    act();
  }

  /** @type {(direction: Point, px: number) => Point} */
  const parts = ([right, down], px) => [(right * px) / view.size[0], (down * px) / view.size[1]];

  /** @param {KeyboardEvent} event */
  function drawing({ key, shiftKey }) {
    if (key in ARROWS) return () => moveCursor(parts(ARROWS[key], shiftKey ? STEP_PX.far : STEP_PX.cursor));
    /** @type {Acts} */
    const acts = {
      " ": () => editor.setPoint(),
      Enter: () => editor.close(),
      Escape: () => editor.cancel(),
      Backspace: takeBack,
    };
    return acts[key];
  }

  /** @param {Point} delta */
  function moveCursor([deltaX, deltaY]) {
    const [x, y] = editor.cursor;
    editor.moveCursor([x + deltaX, y + deltaY], true);
  }

  function takeBack() {
    if (editor.draft?.points.length) editor.takeBack();
  }

  /** @param {KeyboardEvent} event */
  function changing({ key, shiftKey }) {
    if (!editor.chosen) return null;
    const remove = () => editor.removeActive();
    if (key in ARROWS) return () => move(parts(ARROWS[key], shiftKey ? STEP_PX.far : STEP_PX.point));
    /** @type {Acts} */
    const acts = {
      Delete: remove, Backspace: remove, Insert: () => editor.insert(), Escape: () => editor.choose(null),
    };
    return acts[key];
  }

  /** @param {Point} delta */
  function move(delta) {
    const { id, index } = editor.active;
    if (editor.chosen) editor.moveBy(delta, editor.chosen.points, `keys ${id}:${index}`);
  }

  /** @param {FocusEvent} event */
  function takeFocus({ target }) {
    const key = target instanceof SVGElement ? target.dataset.key : null;
    if (!key || editor.draft) return;
    const [id, index = null] = key.split(":").map(Number);
    if (editor.active.id !== id || editor.active.index !== index) editor.choose(id, index, true);
  }

  /** @param {KeyboardEvent} event */
  function takeShortcut(event) {
    const key = event.key.toLowerCase();
    if (!(event.ctrlKey || event.metaKey) || event.altKey || !"zy".includes(key)) return;
    event.preventDefault();
    const isRedo = key === "y" || event.shiftKey;
    if (editor.draft) {
      if (!isRedo) takeBack();
    } else if (isRedo ? editor.canRedo : editor.canUndo) editor[isRedo ? "redo" : "undo"]();
  }

  svg.addEventListener("keydown", take);
  svg.addEventListener("focusin", takeFocus);
  page.addEventListener("keydown", takeShortcut);
}
