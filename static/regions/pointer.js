// Mouse, pen and finger on the picture.
import * as geometry from "./geometry.js";

const REACH_PX = { mouse: 9, pen: 12, touch: 22 };
const CLICK_PX = 3; // a pointer that moves no further clicks, it does not drag

export function listenToPointer(svg, view, editor) {
  let drag = null; // {from, points, step, isMoved}: where it began, and what was there

  function grab(event) {
    if (event.button > 0) return;
    const at = view.at(event);
    if (editor.draft) {
      event.preventDefault();
      return editor.setPoint(at);
    }
    const held = handleAt(at, REACH_PX[event.pointerType] ?? REACH_PX.mouse) ?? shapeAt(at);
    if (!held) return editor.choose(null);
    event.preventDefault(); // the focus goes to what was grabbed
    svg.setPointerCapture(event.pointerId);
    if (held.edge) editor.insert(held.edge.index, held.edge.point);
    else editor.choose(held.id, held.index);
    drag = { from: at, points: editor.chosen.points, step: {}, isMoved: false };
  }

  // Returns what of the chosen region is there: a point, or an edge; null for neither.
  function handleAt(at, reachPx) {
    const region = editor.chosen;
    if (!region) return null;
    const index = geometry.pointNear(region.points, at, view.size, reachPx);
    if (index >= 0) return { id: region.id, index };
    const edge = geometry.edgeNear(region.points, at, view.size, reachPx / 1.5);
    return edge && { edge };
  }

  // Returns the region that is there, of several the chosen one, else the last drawn.
  function shapeAt(at) {
    const there = editor.regions.filter(({ points }) => geometry.contains(points, at));
    const region = there.find(({ id }) => id === editor.active.id) ?? there.at(-1);
    return region && { id: region.id, index: null };
  }

  function pull(event) {
    const at = view.at(event);
    if (editor.draft) return editor.moveCursor(at);
    if (!drag) return;
    const delta = [at[0] - drag.from[0], at[1] - drag.from[1]];
    drag.isMoved ||= Math.hypot(delta[0] * view.size[0], delta[1] * view.size[1]) > CLICK_PX;
    if (drag.isMoved) editor.moveBy(delta, drag.points, drag.step);
  }

  function release() {
    if (drag) editor.endStep();
    drag = null;
  }

  for (const [name, take] of Object.entries({ pointerdown: grab, pointermove: pull, pointerup: release, pointercancel: release })) {
    svg.addEventListener(name, take);
  }
}
