import { milliseconds, number } from "./format.js";

/** @import { StageStatus } from "api" */

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 10;
const HEIGHT = 28;
const MEANING = {
  capture: "from arrival to being taken up",
  turn: "waiting for a detector",
  decode: "JPEG to pixels",
  detect: "at the detector",
  draw: "boxes and labels",
  encode: "pixels to JPEG",
  send: "until all viewers have it",
};
const ORDER = Object.keys(MEANING);
/** @type {Map<string, SVGElement>} */
const charts = new Map(); // by stage

/** @param {number} bars */
function makeChart(bars) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${WIDTH * bars} ${HEIGHT}`);
  svg.setAttribute("role", "img");
  svg.classList.add("spread");
  for (let index = 0; index < bars; index += 1) {
    const bar = document.createElementNS(SVG, "rect");
    bar.setAttribute("x", String(WIDTH * index + 1));
    bar.setAttribute("width", String(WIDTH - 2));
    svg.append(bar);
  }
  return svg;
}

/**
 * Draws how many frames took how long, the quick ones left; each bar stands for a bucket of the histogram.
 * @param {StageStatus} status
 */
function chart({ stage, counts, p50_ms, p99_ms }) {
  const svg = charts.get(stage) ?? makeChart(counts.length);
  charts.set(stage, svg);
  const most = Math.max(...counts);
  for (const [index, bar] of [...svg.children].entries()) {
    const share = most ? counts[index] / most : 0;
    const height = share ? Math.max(2, share * HEIGHT) : 1;
    bar.setAttribute("y", String(HEIGHT - height));
    bar.setAttribute("height", String(height));
  }
  const text = `half within ${milliseconds(p50_ms)}, 99 % within ${milliseconds(p99_ms)}`;
  svg.setAttribute("aria-label", most ? text : "no frames");
  return svg;
}

/** @param {StageStatus["stage"]} stage */
const name = (stage) => `${stage[0].toUpperCase()}${stage.slice(1)}: ${MEANING[stage]}`;

/**
 * Returns the rows of the table of stages, in the order in which frames pass them.
 * @param {StageStatus[]} stages
 */
export function stageRows(stages) {
  const sorted = stages.toSorted((a, b) => ORDER.indexOf(a.stage) - ORDER.indexOf(b.stage));
  return sorted.map((each) => {
    const [half, most] = [each.p50_ms, each.p99_ms].map(milliseconds);
    return { key: each.stage, cells: [name(each.stage), number(each.frames), half, most, chart(each)] };
  });
}
