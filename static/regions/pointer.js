// Mouse, pen and finger on the picture.
import * as geometry from "./geometry.js";

/** @import { Editor } from "./editor.js" */
/** @import { Point } from "./geometry.js" */
/** @import { View } from "./view.js" */
/**
 * @typedef {{from: Point, points: Point[], step: object, isMoved: boolean}} Drag where it began, what was
 *   there
 */

/** @type {Record<string, number>} */
const REACH_PX = { mouse: 9, pen: 12, touch: 22 };
const CLICK_PX = 3; // a pointer that moves no further clicks, it does not drag

/**
 * @param {SVGSVGElement} svg
 * @param {View} view
 * @param {Editor} editor
 */
export function listenToPointer(svg, view, editor) {
  /** @type {Drag | null} */
  let drag = null;

  /** @param {PointerEvent} event */
  function grab(event) {
    if (event.button > 0) return;
    const at = view.at(event);
    if (editor.draft) {
      event.preventDefault();
      return editor.setPoint(at);
    }
    const choose = handleAt(at, REACH_PX[event.pointerType] ?? REACH_PX.mouse) ?? shapeAt(at);
    if (!choose) return editor.choose(null);
    event.preventDefault(); // the focus goes to what was grabbed
    svg.setPointerCapture(event.pointerId);
    choose();
    drag = { from: at, points: editor.chosen?.points ?? [], step: {}, isMoved: false };
  }

  /**
   * Returns what grabs what of the chosen region is there: a point, or an edge; null for neither.
   * @param {Point} at
   * @param {number} reachPx
   */
  function handleAt(at, reachPx) {
    const region = editor.chosen;
    if (!region) return null;
    const index = geometry.pointNear(region.points, at, view.size, reachPx);
    if (index >= 0) return () => editor.choose(region.id, index);
    const edge = geometry.edgeNear(region.points, at, view.size, reachPx / 1.5);
    return edge && (() => editor.insert(edge.index, edge.point));
  }

  /**
   * Returns what grabs the region that is there, of several the chosen one, else the last drawn.
   * @param {Point} at
   */
  function shapeAt(at) {
    const there = editor.regions.filter(({ points }) => geometry.contains(points, at));
    const region = there.find(({ id }) => id === editor.active.id) ?? there.at(-1);
    return region && (() => editor.choose(region.id));
  }

  /** @param {PointerEvent} event */
  function pull(event) {
    const at = view.at(event);
    if (editor.draft) return editor.moveCursor(at);
    if (!drag) return;
    /** @type {Point} */
    const delta = [at[0] - drag.from[0], at[1] - drag.from[1]];
    drag.isMoved ||= Math.hypot(delta[0] * view.size[0], delta[1] * view.size[1]) > CLICK_PX;
    if (drag.isMoved) editor.moveBy(delta, drag.points, drag.step);
  }

  function release() {
    if (drag) editor.endStep();
    drag = null;
  }

  svg.addEventListener("pointerdown", grab);
  svg.addEventListener("pointermove", pull);
  svg.addEventListener("pointerup", release);
  svg.addEventListener("pointercancel", release);
}
