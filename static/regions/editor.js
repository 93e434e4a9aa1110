// What is drawn on a picture, and all that can be done to it. Its event "change" comes after each step, with `said` and
// `complaint` for people and `focus`: the key of what is to have the focus then, null to leave it where it is.
import * as geometry from "./geometry.js";
import { History } from "./undo-history.js";
import { inWords, nameOf } from "./view.js";

const CLOSING_PX = 12; // so near the first point a next one closes the shape

let ids = 0;

// Returns the regions, [{id, kind, points}], of the configuration's lists of polygons by kind.
function read({ inside, ignore }) {
  const ofKind = (kind) => (points) => ({ id: ++ids, kind, points });
  return [...inside.map(ofKind("inside")), ...ignore.map(ofKind("ignore"))];
}

export class Editor extends EventTarget {
  #history;
  #size;
  active = { id: null, index: null }; // the region that is chosen, and which of its points
  draft = null; // {kind, points} of the shape that is being drawn
  cursor = [0.5, 0.5]; // where its next point would be
  said = "";
  complaint = "";
  focus = null;

  // stored: polygons by kind, as the server has them. size: returns [width, height] of the picture as it is seen.
  constructor(stored, size) {
    super();
    this.#history = new History(read(stored));
    this.#size = size;
  }

  get regions() { return this.#history.now; }
  get chosen() { return this.regions.find(({ id }) => id === this.active.id); }
  get canUndo() { return this.#history.canUndo; }
  get canRedo() { return this.#history.canRedo; }
  get isSaved() { return this.#history.isSaved; }
  get canRemove() { return Boolean(this.chosen) && (this.active.index === null || this.chosen.points.length > 3); }

  // Returns the polygons of a kind, as the configuration has them.
  written(kind) {
    return this.regions.filter((region) => region.kind === kind).map(({ points }) => points);
  }

  #tell(said, { complaint = "", focus = null } = {}) {
    Object.assign(this, { said, complaint, focus });
    if (this.active.id !== null && !this.chosen) this.active = { id: null, index: null };
    this.dispatchEvent(new Event("change"));
    this.focus = null;
  }

  // The whole.

  load(stored, said) {
    this.#history = new History(read(stored));
    this.#tell(said);
  }

  // Takes what was drawn at a time, `regions`, for what the server has.
  saved(regions) {
    this.#history.save(regions);
    this.#tell("Saved. It is in effect.");
  }

  undo() { this.#turn("undo", "Undone."); }
  redo() { this.#turn("redo", "Done again."); }

  #turn(direction, said) {
    this.#history[direction]();
    this.#tell(said);
  }

  // Regions and their points.

  // Chooses a region, or a point of it. hasFocus: it has the focus already, or is not to have it.
  choose(id, index = null, hasFocus = false) {
    if (this.active.id !== id || this.active.index !== index) this.#history.endStep();
    this.active = { id, index };
    const key = id === null || hasFocus ? null : index === null ? `${id}` : `${id}:${index}`;
    this.#tell("", { focus: key });
  }

  #change(region, points, step = null) {
    this.#history.go(this.regions.map((other) => (other === region ? { ...region, points } : other)), step);
  }

  // Puts a point on the edge that begins at the point `index`; by default where the edge of the chosen point has its middle.
  insert(index = this.active.index ?? geometry.longestEdge(this.chosen.points, this.#size()), point = null) {
    const region = this.chosen;
    const at = point ?? geometry.middle(region.points, index);
    this.#change(region, geometry.withPoint(region.points, index + 1, at));
    this.active = { id: region.id, index: index + 1 };
    this.#tell(`A new point, ${inWords(at)}.`, { focus: `${region.id}:${index + 1}` });
  }

  removeActive() {
    const region = this.chosen;
    const { index } = this.active;
    if (index === null) return this.remove(region);
    if (!this.canRemove) return this.#tell("", { complaint: "A shape has three points at least. Delete the whole shape instead." });
    const points = geometry.withoutPoint(region.points, index);
    this.#change(region, points);
    this.active = { id: region.id, index: Math.min(index, points.length - 1) };
    this.#tell("The point is gone.", { focus: `${region.id}:${this.active.index}` });
  }

  remove(region) {
    const name = nameOf(region, this.regions);
    this.#history.go(this.regions.filter((other) => other !== region));
    this.active = { id: null, index: null };
    this.#tell(`${name} is deleted. Undo brings it back.`, { focus: "draw-inside" });
  }

  setKind(region, kind) {
    this.#history.go(this.regions.map((other) => (other === region ? { ...region, kind } : other)));
    this.#tell("");
  }

  // Moves what is chosen, from where `points` had it; moves of one `step` are undone at once.
  moveBy([deltaX, deltaY], points, step) {
    const { index } = this.active;
    const [x, y] = points[index] ?? [];
    const moved = index === null ? geometry.moved(points, deltaX, deltaY) : geometry.withPointMoved(points, index, [x + deltaX, y + deltaY]);
    this.#change(this.chosen, moved, step);
    this.#tell("");
  }

  endStep() { this.#history.endStep(); }

  // Returns why a region cannot be kept, after choosing the first such; empty where all can.
  check() {
    const faulty = this.regions.find(({ points }) => geometry.fault(points));
    if (!faulty) return "";
    this.choose(faulty.id);
    return `${nameOf(faulty, this.regions)} ${geometry.fault(faulty.points)}.`;
  }

  // The shape that is being drawn.

  start(kind) {
    this.draft = { kind, points: [] };
    this.cursor = [0.5, 0.5];
    this.active = { id: null, index: null };
    this.#tell("", { focus: "drawing" });
  }

  moveCursor([x, y], isTold = false) {
    this.cursor = geometry.pointAt(x, y);
    this.#tell(isTold ? inWords(this.cursor) : this.said, { complaint: this.complaint });
  }

  setPoint(point = this.cursor) {
    const { points } = this.draft;
    if (points.length > 2 && geometry.pointNear(points.slice(0, 1), point, this.#size(), CLOSING_PX) === 0) return this.close();
    this.draft = { ...this.draft, points: [...points, geometry.pointAt(...point)] };
    this.cursor = this.draft.points.at(-1);
    this.#tell(`Point ${points.length + 1} is set, ${inWords(this.cursor)}.`);
  }

  takeBack() {
    const points = this.draft.points.slice(0, -1);
    this.draft = { ...this.draft, points };
    this.#tell(`${points.length} point${points.length === 1 ? " is" : "s are"} set.`);
  }

  close() {
    const fault = geometry.fault(this.draft.points);
    if (fault) return this.#tell("", { complaint: `The shape ${fault}. Take points back, or cancel.` });
    const region = { id: ++ids, ...this.draft };
    this.draft = null;
    this.#history.go([...this.regions, region]);
    this.active = { id: region.id, index: null };
    this.#tell(`${nameOf(region, this.regions)} is drawn. Save to let it take effect.`, { focus: `${region.id}` });
  }

  cancel() {
    const { kind } = this.draft;
    this.draft = null;
    this.#tell("Nothing was drawn.", { focus: `draw-${kind}` });
  }
}
