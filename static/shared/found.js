// What was found, as a table, and what of it is shown: a least score, and some of the classes.

import { part } from "./dom.js";

/** @import { Detection } from "api" */

/** @param {number} score */
const percent = (score) => `${Math.round(100 * score)} %`;

/**
 * Returns "2 × cat, person", or "nothing".
 * @param {{label: string}[]} detections
 */
export function inWords(detections) {
  const counts = new Map();
  for (const { label } of detections) counts.set(label, (counts.get(label) ?? 0) + 1);
  return [...counts].map(([label, n]) => (n > 1 ? `${n} × ${label}` : label)).join(", ") || "nothing";
}

/**
 * @param {HTMLTableSectionElement} rows
 * @param {Detection[]} detections
 */
export function fillTable(rows, detections) {
  rows.replaceChildren(...detections.map(({ label, score, box }) => {
    const tr = document.createElement("tr");
    const size = [box.x_max - box.x_min, box.y_max - box.y_min].map(Math.round).join(" × ");
    for (const [index, text] of [label, percent(score), size].entries()) {
      const td = tr.insertCell();
      td.textContent = text;
      if (index) td.className = "number";
    }
    return tr;
  }));
}

// The slider and the boxes to tick. Calls changed() when somebody has moved or ticked something.
export class Filter {
  #score = part("score", HTMLInputElement);
  #text = part("score-text");
  #chips = part("classes");
  #all = part("all", HTMLButtonElement);
  #none = part("none", HTMLButtonElement);
  /** @type {Map<string, HTMLInputElement>} */
  #boxes = new Map(); // by label: its checkbox; a label stays, so that none jumps away under the pointer

  /** @param {() => void} changed */
  constructor(changed) {
    this.#score.addEventListener("input", () => { this.#showScore(); changed(); });
    this.#chips.addEventListener("change", changed);
    const tick = (/** @type {boolean} */ isTicked) => {
      for (const box of this.#boxes.values()) box.checked = isTicked;
      changed();
    };
    this.#all.addEventListener("click", () => tick(true));
    this.#none.addEventListener("click", () => tick(false));
    this.#showScore();
  }

  // The least score that can be chosen: the server is asked for all above it, once.
  get lowest() { return Number(this.#score.min) / 100; }

  // The parameters by which the API answers with what is shown here.
  get query() {
    const query = new URLSearchParams({ score_threshold: String(this.#least) });
    const boxes = [...this.#boxes];
    if (boxes.some(([, box]) => !box.checked)) {
      query.set("classes", boxes.filter(([, box]) => box.checked).map(([label]) => label).join(","));
    }
    return query.toString().replaceAll("%2C", ",");
  }

  /**
   * Returns those of `detections` that are to be shown; classes seen for the first time are.
   * @param {Detection[]} detections
   */
  keep(detections) {
    const sure = detections.filter(({ score }) => score >= this.#least);
    const labels = new Set(sure.map(({ label }) => label));
    if ([...labels].some((label) => !this.#boxes.has(label))) this.#add(labels);
    return sure.filter(({ label }) => this.#boxes.get(label)?.checked);
  }

  get #least() { return this.#score.valueAsNumber / 100; }

  #showScore() { this.#text.textContent = percent(this.#least); }

  /** @param {Set<string>} labels */
  #add(labels) {
    for (const label of labels) if (!this.#boxes.has(label)) this.#boxes.set(label, makeBox(label));
    const sorted = [...this.#boxes].sort(([a], [b]) => a.localeCompare(b));
    const chips = sorted.map(([, box]) => box.closest("label") ?? box);
    const focused = document.activeElement;
    this.#chips.replaceChildren(...chips);
    if (focused instanceof HTMLElement && this.#chips.contains(focused)) focused.focus();
    for (const button of [this.#all, this.#none]) button.disabled = false;
  }
}

/** @param {string} label */
function makeBox(label) {
  const chip = Object.assign(document.createElement("label"), { className: "chip" });
  const box = Object.assign(document.createElement("input"), { type: "checkbox", checked: true });
  chip.append(box, label);
  return box;
}
