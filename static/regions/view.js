// Shows regions on the picture: an SVG as large as the picture is seen, with what the keyboard can reach in
// it.
import { find, setText } from "../shared/dom.js";

/** @import { Detection } from "api" */
/** @import { Kind, Point, Region, Size } from "./geometry.js" */
/** @typedef {Record<string, string | number | boolean>} Attributes */
/** @typedef {{key: string, tag: string, attributes: Attributes, text?: string}} Shape */
/** @typedef {Pick<Detection, "box_relative"> & {text: string, counts: boolean}} SeenObject */

const SVG = "http://www.w3.org/2000/svg";
const POINT_PX = 6;

export const KIND_NAMES = { inside: "Region", ignore: "Mask" };

const percent = (/** @type {number} */ value) => `${Math.round(100 * value)} %`;
/** @param {Point} point */
export const inWords = ([x, y]) => `${percent(x)} from the left, ${percent(y)} from the top`;

/**
 * Returns the name of a region among others: "Region 2", "Mask 1".
 * @param {Region} region
 * @param {Region[]} regions
 */
export function nameOf(region, regions) {
  const alike = regions.filter(({ kind }) => kind === region.kind);
  return `${KIND_NAMES[region.kind]} ${alike.findIndex(({ id }) => id === region.id) + 1}`;
}

// Keeps the elements of a layer, by key, from one drawing to the next: what has the focus keeps it.
class Layer {
  /** @type {Map<string, SVGElement>} */
  #elements = new Map();

  /** @param {Element} parent */
  constructor(parent) {
    this.parent = parent;
  }

  /** @param {Shape[]} shapes the last on top */
  show(shapes) {
    const keys = new Set(shapes.map(({ key }) => key));
    for (const [key, element] of this.#elements) if (!keys.has(key)) this.#drop(key, element);
    for (const [at, shape] of shapes.entries()) {
      const element = this.#element(shape);
      const there = this.parent.children[at];
      if (there !== element) this.parent.insertBefore(element, there ?? null);
    }
  }

  /**
   * @param {string} key
   * @param {Element} element
   */
  #drop(key, element) {
    element.remove();
    this.#elements.delete(key);
  }

  /** @param {Shape} shape */
  #element({ key, tag, attributes, text }) {
    const element = this.#elements.get(key) ?? document.createElementNS(SVG, tag);
    this.#elements.set(key, element);
    for (const [name, value] of Object.entries(attributes)) {
      if (element.getAttribute(name) !== String(value)) element.setAttribute(name, String(value));
    }
    if (text !== undefined) setText(element, text);
    return element;
  }
}

export class View {
  #svg;
  #layers;

  /** @param {SVGSVGElement} svg has a group for each layer; its `.dimmed` covers what does not count */
  constructor(svg) {
    this.#svg = svg;
    const layer = (/** @type {string} */ name) => new Layer(find(svg, `[data-layer=${name}]`, SVGElement));
    this.#layers = {
      holes: layer("holes"), found: layer("found"), regions: layer("regions"), draft: layer("draft"),
    };
  }

  /** @returns {Size} */
  get size() {
    return [this.#svg.clientWidth, this.#svg.clientHeight];
  }

  /**
   * Returns where on the picture a pointer is.
   * @param {PointerEvent} event
   * @returns {Point}
   */
  at({ clientX, clientY }) {
    const { left, top, width, height } = this.#svg.getBoundingClientRect();
    return [(clientX - left) / width, (clientY - top) / height];
  }

  /**
   * @param {object} drawing
   * @param {Region[]} drawing.regions
   * @param {number | null} drawing.selected the id of one
   * @param {{kind: Kind, points: Point[]} | null} drawing.draft
   * @param {Point} drawing.cursor
   * @param {SeenObject[]} drawing.found
   */
  show({ regions, selected, draft, cursor, found }) {
    const inside = regions.filter(({ kind }) => kind === "inside");
    find(this.#svg, ".dimmed", SVGElement).toggleAttribute("hidden", !inside.length);
    this.#layers.holes.show(inside.map((region) => this.#polygon(`hole${region.id}`, region.points, {})));
    this.#layers.found.show(found.flatMap((object, at) => this.#object(object, at)));
    this.#layers.regions.show(regions.flatMap((region) => (
      this.#region(region, regions, region.id === selected, !draft)
    )));
    this.#layers.draft.show(draft ? this.#draft(draft, cursor) : []);
  }

  /** @param {Point} point */
  #scaled([x, y]) {
    const [width, height] = this.size;
    return [x * width, y * height].map((value) => Math.round(10 * value) / 10);
  }

  /**
   * @param {string} key
   * @param {Point[]} points
   * @param {Attributes} attributes
   * @returns {Shape}
   */
  #polygon(key, points, attributes, tag = "polygon") {
    const scaled = points.map((point) => this.#scaled(point).join(",")).join(" ");
    return { key, tag, attributes: { points: scaled, ...attributes } };
  }

  /**
   * @param {Region} region
   * @param {Region[]} regions
   * @param {boolean} isSelected
   * @param {boolean} isReachable
   * @returns {Shape[]}
   */
  #region(region, regions, isSelected, isReachable) {
    const name = nameOf(region, regions);
    const shape = this.#polygon(`region${region.id}`, region.points, {
      class: `region ${region.kind}`, "data-key": region.id, "data-selected": isSelected,
      role: "button", "aria-pressed": isSelected, tabindex: isReachable ? 0 : -1,
      "aria-label": `${name}, ${region.points.length} points`,
    });
    if (!isSelected || !isReachable) return [shape];
    return [shape, ...region.points.map((point, index) => this.#handle(region, name, point, index))];
  }

  /**
   * @param {Region} region
   * @param {string} name
   * @param {Point} point
   * @param {number} index
   * @returns {Shape}
   */
  #handle(region, name, point, index) {
    const [cx, cy] = this.#scaled(point);
    const key = `${region.id}:${index}`;
    const label = `Point ${index + 1} of ${region.points.length} of ${name}, ${inWords(point)}`;
    return { key: `point${key}`, tag: "circle", attributes: {
      class: `point ${region.kind}`, cx, cy, r: POINT_PX,
      "data-key": key, tabindex: 0, role: "button", "aria-label": label,
    } };
  }

  /**
   * @param {{kind: Kind, points: Point[]}} draft
   * @param {Point} cursor
   */
  #draft({ kind, points }, cursor) {
    const shapes = [this.#polygon("line", [...points, cursor], { class: `draft ${kind}` }, "polyline")];
    for (const [index, point] of points.entries()) {
      const [cx, cy] = this.#scaled(point);
      const r = index ? POINT_PX - 2 : POINT_PX + 2;
      shapes.push({ key: `set${index}`, tag: "circle", attributes: { class: `point ${kind}`, cx, cy, r } });
    }
    const [x, y] = this.#scaled(cursor);
    const d = `M${x - 12} ${y}h24M${x} ${y - 12}v24`;
    shapes.push({ key: "cross", tag: "path", attributes: { class: "cross", d } });
    return shapes;
  }

  /**
   * @param {SeenObject} object
   * @param {number} at
   * @returns {Shape[]}
   */
  #object({ box_relative: box, text, counts }, at) {
    const [x, y] = this.#scaled([box.x_min, box.y_min]);
    const [right, bottom] = this.#scaled([box.x_max, box.y_max]);
    const state = { class: "found", "data-counts": counts };
    const foot = { cx: (x + right) / 2, cy: Math.min(bottom, this.size[1]), r: 4 };
    return [
      { key: `box${at}`, tag: "rect", attributes: { ...state, x, y, width: right - x, height: bottom - y } },
      { key: `foot${at}`, tag: "circle", attributes: { ...state, ...foot } },
      { key: `text${at}`, tag: "text", attributes: { ...state, x: x + 4, y: Math.max(15, y - 5) }, text },
    ];
  }
}
