// A small chart of values over time, as SVG, with the same in words for who does not see it.

import { find, findAll } from "./dom.js";

/**
 * @typedef {{name: string, colour: string, values: (number | null)[]}} Line a value a time; null: none then
 */

const NAMESPACE = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT] = [600, 100]; // of the viewBox; it is stretched to whatever the page gives it
const NUDGE = 2.5; // between lines of counts, which often are the same
const GAP_STEPS = 3; // a line is broken where so many steps are missing

/**
 * @param {string} name
 * @param {Record<string, string | number>} attributes
 */
const draw = (name, attributes) => {
  const element = document.createElementNS(NAMESPACE, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  return element;
};

export class Chart {
  #figure;
  #svg;
  #name;
  #unit;
  #isStepped;

  /**
   * @param {HTMLElement} figure with the parts that the page's template gives a chart
   * @param {object} [style]
   * @param {string} [style.unit] behind a number, e.g. " ms"
   * @param {boolean} [style.isStepped] a value holds until the next one, as counts do
   */
  constructor(figure, { unit = "", isStepped = false } = {}) {
    this.#figure = figure;
    this.#svg = find(figure, "svg", SVGElement);
    this.#name = find(figure, "h3").textContent;
    this.#unit = unit;
    this.#isStepped = isStepped;
  }

  /**
   * Shows lines.
   * @param {number[]} times in ms since 1970, one each stepMs; the chart ends at the last and goes back to
   *   `from`
   * @param {Line[]} lines
   * @param {{from: number, stepMs: number}} view
   */
  show(times, lines, { from, stepMs }) {
    const to = times.at(-1) ?? from + 1;
    const highest = Math.max(0, ...lines.flatMap(({ values }) => values.filter((value) => value !== null)));
    const most = niceCeiling(this.#isStepped ? highest + 1 : highest);
    const x = (/** @type {number} */ time) => (WIDTH * (time - from)) / (to - from);
    const nudge = this.#isStepped ? NUDGE : 0;
    /** @type {(value: number, index: number) => number} */
    const y = (value, index) => 1 + (HEIGHT - 2) * (1 - value / most) - nudge * index;
    const grid = draw("line", { class: "grid", x1: 0, x2: WIDTH, y1: HEIGHT / 2, y2: HEIGHT / 2 });
    const curves = lines.map(({ colour, values }, index) => {
      const tops = values.map((value) => (value === null ? null : y(value, index)));
      const gap = x(from + GAP_STEPS * stepMs);
      const d = outline(times.map(x), tops, { gap, isStepped: this.#isStepped });
      return draw("path", { class: "curve", stroke: colour, d });
    });
    this.#svg.replaceChildren(grid, ...curves.reverse()); // the first on top
    this.#tell(lines, most, from, to);
  }

  /**
   * @param {Line[]} lines
   * @param {number} most
   * @param {number} from
   * @param {number} to
   */
  #tell(lines, most, from, to) {
    find(this.#figure, ".chart-most").textContent = `${most}${this.#unit}`;
    const [first, last] = findAll(this.#figure, ".chart-times span");
    first.textContent = clock(from);
    last.textContent = clock(to, true);
    const told = lines.map(({ name, values }) => `${name} ${this.#inWords(values)}`).join("; ");
    const span = `${clock(from)} to ${clock(to, true)}`;
    this.#svg.setAttribute("aria-label", `${this.#name}, ${span}: ${told || "nothing"}`);
  }

  /** @param {(number | null)[]} values */
  #inWords(values) {
    const known = values.filter((value) => value !== null);
    const now = known.at(-1);
    if (now === undefined) return "no values";
    const text = (/** @type {number} */ value) => `${Math.round(10 * value) / 10}${this.#unit}`;
    return `now ${text(now)}, least ${text(Math.min(...known))}, most ${text(Math.max(...known))}`;
  }
}

/**
 * Returns the path of a line through points, broken where one is missing or far from the one before.
 * @param {number[]} lefts
 * @param {(number | null)[]} tops null: the point is missing
 * @param {{gap: number, isStepped: boolean}} style gap: how far is far
 */
function outline(lefts, tops, { gap, isStepped }) {
  let path = "";
  let before = -Infinity;
  lefts.forEach((left, index) => {
    const top = tops[index];
    if (top === null) {
      before = -Infinity;
      return;
    }
    const [x, y] = [left.toFixed(1), top.toFixed(1)];
    if (left - before > gap) path += `M${x} ${y}h.1`; // a point alone is seen, too
    else path += isStepped ? `H${x}V${y}` : `L${x} ${y}`;
    before = left;
  });
  return path;
}

/**
 * Returns the least of 1, 2, 5, 10, 20, 50 … that is no less than the value.
 * @param {number} value
 */
function niceCeiling(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, value)));
  return [1, 2, 5].map((step) => step * power).find((step) => step >= value) ?? 10 * power;
}

/** @param {number} ms */
const clock = (ms, withZone = false) => new Date(ms).toLocaleTimeString([], {
  hour: "2-digit", minute: "2-digit", ...(withZone && { timeZoneName: "short" }),
});
