// A camera's last minutes as charts: the server keeps them, this asks for what is new.

import { swatch } from "./filter.js";
import { Chart } from "../shared/chart.js";
import { poll } from "../shared/poll.js";

const MOST_LINES = 6; // more cannot be told apart
const [BRIGHT, PALE] = ["#7db8f5", "#c9a86a"]; // on the dark ground of a chart

const find = (name) => document.getElementById(`chart-${name}`);

export class Charts {
  #fps = new Chart(find("fps"));
  #objects = find("objects") && new Chart(find("objects"), { isStepped: true });
  #latency = find("latency") && new Chart(find("latency"), { unit: " ms" });
  #samples = [];
  #classes = {}; // by label the class id
  #colours;
  #shows;
  #filter;

  // filter: a Filter, which is offered the classes seen; null where nothing is looked for.
  constructor(address, colours, filter) {
    this.#colours = colours;
    this.#filter = filter;
    const next = () => (this.#samples.length ? `${address}?since=${encodeURIComponent(this.#samples.at(-1).at)}` : address);
    poll(next, 2000, (history) => this.#take(history), () => {});
  }

  // Draws them anew: the filter has changed.
  draw() {
    if (this.#shows) this.#show();
  }

  #take({ samples, classes, step_s, kept_s }) {
    this.#samples.push(...samples);
    Object.assign(this.#classes, classes);
    this.#filter?.offer(classes);
    const newest = Date.parse(this.#samples.at(-1)?.at);
    this.#samples = this.#samples.filter(({ at }) => newest - Date.parse(at) <= 1000 * kept_s);
    this.#shows = { stepMs: 1000 * step_s, keptMs: 1000 * kept_s };
    this.#show();
  }

  #show() {
    if (!this.#samples.length) return;
    const times = this.#samples.map(({ at }) => Date.parse(at));
    const ago = times.at(-1) - times[0];
    // As long as there is little to be seen, what there is fills at least a minute's width.
    const view = { from: times.at(-1) - Math.min(this.#shows.keptMs, Math.max(60000, ago)), stepMs: this.#shows.stepMs };
    const values = (name) => this.#samples.map((sample) => sample[name]);
    const rates = [{ name: "Pictures", colour: BRIGHT, values: values("fps") }];
    if (this.#latency) {
      rates.push({ name: "Analysed", colour: PALE, values: values("detection_fps") });
      this.#latency.show(times, [{ name: "Delay", colour: BRIGHT, values: values("latency_ms") }], view);
      say(find("latency"), rounded(this.#samples.at(-1).latency_ms, 0), " ms");
      this.#showObjects(times, view);
    }
    this.#fps.show(times, rates, view);
    say(find("fps"), rounded(this.#samples.at(-1).fps, 1), "");
    this.#tellLegend(find("fps"), rates);
  }

  #showObjects(times, view) {
    const most = Object.keys(this.#classes).filter((label) => this.#filter.shows(label)).map((label) => {
      const values = this.#samples.map(({ objects }) => objects[label] ?? 0);
      return { name: label, colour: this.#colours[this.#classes[label] % this.#colours.length], values, sum: values.reduce((a, b) => a + b) };
    }).filter(({ sum }) => sum > 0).sort((a, b) => b.sum - a.sum);
    const lines = most.slice(0, MOST_LINES);
    this.#objects.show(times, lines, view);
    this.#tellLegend(find("objects"), lines, most.length - lines.length);
    say(find("objects"), lines.reduce((all, { values }) => all + values.at(-1), 0), "");
  }

  #tellLegend(figure, lines, more = 0) {
    const items = lines.map(({ name, colour }) => {
      const item = document.createElement("li");
      item.append(swatch([colour], 0), name);
      return item;
    });
    if (more) items.push(Object.assign(document.createElement("li"), { textContent: `and ${more} more` }));
    figure.querySelector(".legend").replaceChildren(...items);
  }
}

const rounded = (value, digits) => value?.toFixed(digits) ?? null;

const say = (figure, value, unit) => {
  figure.querySelector(".chart-now").textContent = value === null ? "–" : `${value}${unit}`;
};
