// A small chart of values over time, as SVG, with the same in words for who does not see it.

const NAMESPACE = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT] = [600, 100]; // of the viewBox; it is stretched to whatever the page gives it
const NUDGE = 2.5; // between lines of counts, which often are the same
const GAP_STEPS = 3; // a line is broken where so many steps are missing

const draw = (name, attributes) => {
  const element = document.createElementNS(NAMESPACE, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
};

export class Chart {
  #figure;
  #svg;
  #name;
  #unit;
  #isStepped;

  // figure: with the parts that the page's template gives a chart. unit: behind a number, e.g. " ms".
  // isStepped: a value holds until the next one, as counts do.
  constructor(figure, { unit = "", isStepped = false } = {}) {
    this.#figure = figure;
    this.#svg = figure.querySelector("svg");
    this.#name = figure.querySelector("h3").textContent;
    this.#unit = unit;
    this.#isStepped = isStepped;
  }

  // Shows lines, each { name, colour, values }, a value a time; null where there is none.
  // times: in ms since 1970, one each stepMs; the chart ends at the last and goes back to `from`.
  show(times, lines, { from, stepMs }) {
    const to = times.at(-1) ?? from + 1;
    const highest = Math.max(0, ...lines.flatMap(({ values }) => values));
    const most = niceCeiling(this.#isStepped ? highest + 1 : highest);
    const x = (time) => (WIDTH * (time - from)) / (to - from);
    const y = (value, index) => 1 + (HEIGHT - 2) * (1 - value / most) - (this.#isStepped ? NUDGE * index : 0);
    const grid = draw("line", { class: "grid", x1: 0, x2: WIDTH, y1: HEIGHT / 2, y2: HEIGHT / 2 });
    const curves = lines.map(({ colour, values }, index) => {
      const tops = values.map((value) => (value === null ? null : y(value, index)));
      const d = outline(times.map(x), tops, { gap: x(from + GAP_STEPS * stepMs), isStepped: this.#isStepped });
      return draw("path", { class: "curve", stroke: colour, d });
    });
    this.#svg.replaceChildren(grid, ...curves.reverse()); // the first on top
    this.#tell(lines, most, from, to);
  }

  #tell(lines, most, from, to) {
    this.#figure.querySelector(".chart-most").textContent = `${most}${this.#unit}`;
    const [first, last] = this.#figure.querySelectorAll(".chart-times span");
    first.textContent = clock(from);
    last.textContent = clock(to, true);
    const told = lines.map(({ name, values }) => `${name} ${this.#inWords(values)}`).join("; ");
    this.#svg.setAttribute("aria-label", `${this.#name}, ${clock(from)} to ${clock(to, true)}: ${told || "nothing"}`);
  }

  #inWords(values) {
    const known = values.filter((value) => value !== null);
    if (!known.length) return "no values";
    const text = (value) => `${Math.round(10 * value) / 10}${this.#unit}`;
    return `now ${text(known.at(-1))}, least ${text(Math.min(...known))}, most ${text(Math.max(...known))}`;
  }
}

// Returns the path of a line through points, broken where one is missing (its top is null) or far from the one before.
function outline(lefts, tops, { gap, isStepped }) {
  let path = "";
  let before = -Infinity;
  lefts.forEach((left, index) => {
    if (tops[index] === null) {
      before = -Infinity;
      return;
    }
    const [x, y] = [left.toFixed(1), tops[index].toFixed(1)];
    if (left - before > gap) path += `M${x} ${y}h.1`; // a point alone is seen, too
    else path += isStepped ? `H${x}V${y}` : `L${x} ${y}`;
    before = left;
  });
  return path;
}

// Returns the least of 1, 2, 5, 10, 20, 50 … that is no less than the value.
function niceCeiling(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, value)));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value);
}

const clock = (ms, withZone = false) => new Date(ms).toLocaleTimeString([], {
  hour: "2-digit", minute: "2-digit", ...(withZone && { timeZoneName: "short" }),
});
