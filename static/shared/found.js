// What was found, as a table, and what of it is shown: a least score, and some of the classes.

const percent = (score) => `${Math.round(100 * score)} %`;

// Returns "2 × cat, person", or "nothing".
export function inWords(detections) {
  const counts = new Map();
  for (const { label } of detections) counts.set(label, (counts.get(label) ?? 0) + 1);
  return [...counts].map(([label, n]) => (n > 1 ? `${n} × ${label}` : label)).join(", ") || "nothing";
}

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
  #score = document.getElementById("score");
  #text = document.getElementById("score-text");
  #chips = document.getElementById("classes");
  #boxes = new Map(); // by label: its checkbox; a label stays, so that none jumps away under the pointer

  constructor(changed) {
    this.#score.addEventListener("input", () => { this.#showScore(); changed(); });
    this.#chips.addEventListener("change", changed);
    for (const [id, ticked] of [["all", true], ["none", false]]) {
      document.getElementById(id).addEventListener("click", () => {
        for (const box of this.#boxes.values()) box.checked = ticked;
        changed();
      });
    }
    this.#showScore();
  }

  // The least score that can be chosen: the server is asked for all above it, once.
  get lowest() { return Number(this.#score.min) / 100; }

  // The parameters by which the API answers with what is shown here.
  get query() {
    const query = new URLSearchParams({ score_threshold: this.#least });
    const boxes = [...this.#boxes];
    if (boxes.some(([, box]) => !box.checked)) {
      query.set("classes", boxes.filter(([, box]) => box.checked).map(([label]) => label).join(","));
    }
    return query.toString().replaceAll("%2C", ",");
  }

  // Returns those of `detections` that are to be shown; classes seen for the first time are.
  keep(detections) {
    const sure = detections.filter(({ score }) => score >= this.#least);
    const labels = new Set(sure.map(({ label }) => label));
    if ([...labels].some((label) => !this.#boxes.has(label))) this.#add(labels);
    return sure.filter(({ label }) => this.#boxes.get(label).checked);
  }

  get #least() { return this.#score.valueAsNumber / 100; }

  #showScore() { this.#text.textContent = percent(this.#least); }

  #add(labels) {
    for (const label of labels) if (!this.#boxes.has(label)) this.#boxes.set(label, makeBox(label));
    const sorted = [...this.#boxes].sort(([a], [b]) => a.localeCompare(b)).map(([, box]) => box.parentElement);
    const focused = document.activeElement;
    this.#chips.replaceChildren(...sorted);
    if (this.#chips.contains(focused)) focused.focus();
    for (const id of ["all", "none"]) document.getElementById(id).disabled = false;
  }
}

function makeBox(label) {
  const chip = Object.assign(document.createElement("label"), { className: "chip" });
  const box = Object.assign(document.createElement("input"), { type: "checkbox", checked: true });
  chip.append(box, label);
  return box;
}
