// A camera's last minutes as charts: the server keeps them, this asks for what is new.

import { swatch } from "./filter.js";
import { Chart } from "../shared/chart.js";
import { find } from "../shared/dom.js";
import { poll } from "../shared/poll.js";

/** @import { CameraHistory, HistorySample } from "api" */
/** @import { Line } from "../shared/chart.js" */
/** @import { Filter } from "./filter.js" */
/** @typedef {{from: number, stepMs: number}} View in ms: where the time axis begins, and its step */

const MOST_LINES = 6; // more cannot be told apart
const [BRIGHT, PALE] = ["#7db8f5", "#c9a86a"]; // on the dark ground of a chart

/** @param {string} name */
const figure = (name) => find(document, `#chart-${name}`);

export class Charts {
  #fps = new Chart(figure("fps"));
  #objects;
  #latency;
  /** @type {HistorySample[]} */
  #samples = [];
  /** @type {Record<string, number>} */
  #classes = {}; // by label the class id
  #colours;
  #shows = { stepMs: 0, keptMs: 0 };
  #filter;

  /**
   * @param {string} address
   * @param {string[]} colours by class id
   * @param {Filter | null} filter is offered the classes seen; null where nothing is looked for
   */
  constructor(address, colours, filter) {
    this.#colours = colours;
    this.#filter = filter;
    this.#objects = filter && new Chart(figure("objects"), { isStepped: true });
    this.#latency = filter && new Chart(figure("latency"), { unit: " ms" });
    const next = () => {
      const newest = this.#samples.at(-1);
      return newest ? `${address}?since=${encodeURIComponent(newest.at)}` : address;
    };
    poll(next, 2000, (/** @type {CameraHistory} */ history) => this.#take(history), () => {});
  }

  // Draws them anew: the filter has changed.
  draw() {
    this.#show();
  }

  /** @param {CameraHistory} history */
  #take({ samples, classes, step_s, kept_s }) {
    this.#samples.push(...samples);
    Object.assign(this.#classes, classes);
    this.#filter?.offer(classes);
    const newest = Date.parse(this.#samples.at(-1)?.at ?? "");
    this.#samples = this.#samples.filter(({ at }) => newest - Date.parse(at) <= 1000 * kept_s);
    this.#shows = { stepMs: 1000 * step_s, keptMs: 1000 * kept_s };
    this.#show();
  }

  #show() {
    const newest = this.#samples.at(-1);
    if (!newest) return;
    const times = this.#samples.map(({ at }) => Date.parse(at));
    const { stepMs, keptMs } = this.#shows;
    const to = Date.parse(newest.at);
    // As long as there is little to be seen, what there is fills at least a minute's width.
    const view = { from: to - Math.min(keptMs, Math.max(60000, to - times[0])), stepMs };
    /** @param {"fps" | "detection_fps" | "latency_ms"} name */
    const values = (name) => this.#samples.map((sample) => sample[name]);
    const rates = [{ name: "Pictures", colour: BRIGHT, values: values("fps") }];
    if (this.#latency) {
      rates.push({ name: "Analysed", colour: PALE, values: values("detection_fps") });
      this.#latency.show(times, [{ name: "Delay", colour: BRIGHT, values: values("latency_ms") }], view);
      say(figure("latency"), rounded(newest.latency_ms, 0), " ms");
      this.#showObjects(times, view);
    }
    this.#fps.show(times, rates, view);
    say(figure("fps"), rounded(newest.fps, 1), "");
    tellLegend(figure("fps"), rates);
  }

  /**
   * @param {number[]} times
   * @param {View} view
   */
  #showObjects(times, view) {
    const classes = Object.entries(this.#classes).filter(([label]) => this.#filter?.shows(label));
    const most = classes.map(([name, id]) => {
      const values = this.#samples.map(({ objects }) => objects[name] ?? 0);
      const sum = values.reduce((a, b) => a + b);
      return { name, colour: this.#colours[id % this.#colours.length], values, sum };
    }).filter(({ sum }) => sum > 0).sort((a, b) => b.sum - a.sum);
    const lines = most.slice(0, MOST_LINES);
    this.#objects?.show(times, lines, view);
    tellLegend(figure("objects"), lines, most.length - lines.length);
    say(figure("objects"), String(lines.reduce((all, { values }) => all + (values.at(-1) ?? 0), 0)), "");
  }
}

/**
 * @param {HTMLElement} figure
 * @param {Line[]} lines
 * @param {number} more how many are not shown
 */
function tellLegend(figure, lines, more = 0) {
  const items = lines.map(({ name, colour }) => {
    const item = document.createElement("li");
    item.append(swatch([colour], 0), name);
    return item;
  });
  if (more) items.push(Object.assign(document.createElement("li"), { textContent: `and ${more} more` }));
  find(figure, ".legend").replaceChildren(...items);
}

/**
 * @param {number | null} value
 * @param {number} digits
 */
const rounded = (value, digits) => value?.toFixed(digits) ?? null;

/**
 * @param {HTMLElement} figure
 * @param {string | null} value
 * @param {string} unit
 */
const say = (figure, value, unit) => {
  find(figure, ".chart-now").textContent = value === null ? "–" : `${value}${unit}`;
};
