// What is drawn on a picture, and all that can be done to it. Its event "change" comes after each step, with
// `said` and `complaint` for people and `focus`: the key of what is to have the focus then, null to leave it
// where it is.
import * as geometry from "./geometry.js";
import { History } from "./undo-history.js";
import { inWords, nameOf } from "./view.js";

/** @import { Kind, Point, Region, Size } from "./geometry.js" */
/** @typedef {Record<Kind, Point[][]>} Polygons as the configuration has them */

const CLOSING_PX = 12; // so near the first point a next one closes the shape

let ids = 0;

/**
 * @param {Polygons} stored
 * @returns {Region[]}
 */
function read({ inside, ignore }) {
  /** @type {(kind: Kind, shapes: Point[][]) => Region[]} */
  const ofKind = (kind, shapes) => shapes.map((points) => ({ id: ++ids, kind, points }));
  return [...ofKind("inside", inside), ...ofKind("ignore", ignore)];
}

export class Editor extends EventTarget {
  #history;
  #size;
  /** @type {{id: number | null, index: number | null}} */
  active = { id: null, index: null }; // the region that is chosen, and which of its points
  /** @type {{kind: Kind, points: Point[]} | null} */
  draft = null; // the shape that is being drawn
  /** @type {Point} */
  cursor = [0.5, 0.5]; // where its next point would be
  said = "";
  complaint = "";
  /** @type {string | null} */
  focus = null;

  /**
   * @param {Polygons} stored
   * @param {() => Size} size
   */
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
  get canRemove() {
    return Boolean(this.chosen && (this.active.index === null || this.chosen.points.length > 3));
  }

  /**
   * Returns the polygons of a kind, as the configuration has them.
   * @param {Kind} kind
   */
  written(kind) {
    return this.regions.filter((region) => region.kind === kind).map(({ points }) => points);
  }

  /**
   * @param {string} said
   * @param {{complaint?: string, focus?: string | null}} more
   */
  #tell(said, { complaint = "", focus = null } = {}) {
    Object.assign(this, { said, complaint, focus });
    if (this.active.id !== null && !this.chosen) this.active = { id: null, index: null };
    this.dispatchEvent(new Event("change"));
    this.focus = null;
  }

  // The whole.

  /**
   * @param {Polygons} stored
   * @param {string} said
   */
  load(stored, said) {
    this.#history = new History(read(stored));
    this.#tell(said);
  }

  /**
   * Takes what was drawn at a time for what the server has.
   * @param {Region[]} regions
   */
  saved(regions) {
    this.#history.save(regions);
    this.#tell("Saved. It is in effect.");
  }

  undo() { this.#turn("undo", "Undone."); }
  redo() { this.#turn("redo", "Done again."); }

  /**
   * @param {"undo" | "redo"} direction
   * @param {string} said
   */
  #turn(direction, said) {
    this.#history[direction]();
    this.#tell(said);
  }

  // Regions and their points.

  /**
   * Chooses a region, or a point of it.
   * @param {number | null} id null: none
   * @param {number | null} index
   * @param {boolean} hasFocus it has the focus already, or is not to have it
   */
  choose(id, index = null, hasFocus = false) {
    if (this.active.id !== id || this.active.index !== index) this.#history.endStep();
    this.active = { id, index };
    const key = id === null || hasFocus ? null : index === null ? `${id}` : `${id}:${index}`;
    this.#tell("", { focus: key });
  }

  /**
   * @param {Region} region
   * @param {Point[]} points
   * @param {unknown} step
   */
  #change(region, points, step = null) {
    this.#history.go(this.regions.map((other) => (other === region ? { ...region, points } : other)), step);
  }

  /**
   * Puts a point on an edge of the chosen region.
   * @param {number | null} edge the index of the point it begins at; null: at the chosen point, else the
   *   longest
   * @param {Point | null} point null: the middle of the edge
   */
  insert(edge = null, point = null) {
    const region = this.chosen;
    if (!region) return;
    const index = edge ?? this.active.index ?? geometry.longestEdge(region.points, this.#size());
    const at = point ?? geometry.middle(region.points, index);
    this.#change(region, geometry.withPoint(region.points, index + 1, at));
    this.active = { id: region.id, index: index + 1 };
    this.#tell(`A new point, ${inWords(at)}.`, { focus: `${region.id}:${index + 1}` });
  }

  removeActive() {
    const region = this.chosen;
    const { index } = this.active;
    if (!region) return;
    if (index === null) return this.remove(region);
    if (!this.canRemove) {
      const complaint = "A shape has three points at least. Delete the whole shape instead.";
      return this.#tell("", { complaint });
    }
    const points = geometry.withoutPoint(region.points, index);
    this.#change(region, points);
    this.active = { id: region.id, index: Math.min(index, points.length - 1) };
    this.#tell("The point is gone.", { focus: `${region.id}:${this.active.index}` });
  }

  /** @param {Region} region */
  remove(region) {
    const name = nameOf(region, this.regions);
    this.#history.go(this.regions.filter((other) => other !== region));
    this.active = { id: null, index: null };
    this.#tell(`${name} is deleted. Undo brings it back.`, { focus: "draw-inside" });
  }

  /**
   * @param {Region} region
   * @param {Kind} kind
   */
  setKind(region, kind) {
    this.#history.go(this.regions.map((other) => (other === region ? { ...region, kind } : other)));
    this.#tell("");
  }

  /**
   * Moves what is chosen.
   * @param {Point} delta
   * @param {Point[]} points from where these had it
   * @param {unknown} step moves of one are undone at once
   */
  moveBy([deltaX, deltaY], points, step) {
    if (this.chosen) this.#change(this.chosen, this.#moved(points, deltaX, deltaY), step);
    this.#tell("");
  }

  /**
   * @param {Point[]} points
   * @param {number} deltaX
   * @param {number} deltaY
   */
  #moved(points, deltaX, deltaY) {
    const { index } = this.active;
    if (index === null) return geometry.moved(points, deltaX, deltaY);
    const [x, y] = points[index];
    return geometry.withPointMoved(points, index, [x + deltaX, y + deltaY]);
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

  /** @param {Kind} kind */
  start(kind) {
    this.draft = { kind, points: [] };
    this.cursor = [0.5, 0.5];
    this.active = { id: null, index: null };
    this.#tell("", { focus: "drawing" });
  }

  /** @param {Point} point */
  moveCursor([x, y], isTold = false) {
    this.cursor = geometry.pointAt(x, y);
    this.#tell(isTold ? inWords(this.cursor) : this.said, { complaint: this.complaint });
  }

  setPoint(point = this.cursor) {
    if (!this.draft) return;
    const { kind, points } = this.draft;
    const isAtFirst = geometry.pointNear(points.slice(0, 1), point, this.#size(), CLOSING_PX) === 0;
    if (points.length > 2 && isAtFirst) return this.close();
    this.cursor = geometry.pointAt(...point);
    this.draft = { kind, points: [...points, this.cursor] };
    this.#tell(`Point ${points.length + 1} is set, ${inWords(this.cursor)}.`);
  }

  takeBack() {
    if (!this.draft) return;
    const points = this.draft.points.slice(0, -1);
    this.draft = { ...this.draft, points };
    this.#tell(`${points.length} point${points.length === 1 ? " is" : "s are"} set.`);
  }

  close() {
    if (!this.draft) return;
    const fault = geometry.fault(this.draft.points);
    if (fault) return this.#tell("", { complaint: `The shape ${fault}. Take points back, or cancel.` });
    const region = { id: ++ids, ...this.draft };
    this.draft = null;
    this.#history.go([...this.regions, region]);
    this.active = { id: region.id, index: null };
    const name = nameOf(region, this.regions);
    this.#tell(`${name} is drawn. Save to let it take effect.`, { focus: `${region.id}` });
  }

  cancel() {
    if (!this.draft) return;
    const { kind } = this.draft;
    this.draft = null;
    this.#tell("Nothing was drawn.", { focus: `draw-${kind}` });
  }
}
