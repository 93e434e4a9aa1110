// Which of what is found is shown: a least score, and a switch for each class that was seen. Remembered in
// the browser.
import { part, setText } from "../shared/dom.js";

/** @import { Memory } from "./memory.js" */

export class Filter {
  #score = part("score", HTMLInputElement);
  #text = part("score-text");
  #chips = part("classes");
  /** @type {Map<string, {chip: Element, box: HTMLInputElement, count: Element, classId: number}>} */
  #switches = new Map(); // by label
  #memory;
  #colours;

  /**
   * @param {Memory} memory
   * @param {string[]} colours by class id
   * @param {() => void} changed called when somebody has moved or switched something
   */
  constructor(memory, colours, changed) {
    this.#memory = memory;
    this.#colours = colours;
    this.#score.value = String(memory.get("score", 0));
    this.#showScore();
    /** @type {Record<string, number>} */
    const hidden = memory.get("hidden", {});
    for (const [label, classId] of Object.entries(hidden)) this.#add(label, classId, false);
    this.#score.addEventListener("input", () => { this.#showScore(); this.#remember(); changed(); });
    this.#chips.addEventListener("change", () => { this.#remember(); changed(); });
  }

  /**
   * Returns those of `found` that are to be shown.
   * @template {{label: string, score: number}} T
   * @param {T[]} found
   */
  keep(found) {
    const least = this.#score.valueAsNumber / 100;
    return found.filter(({ label, score }) => score >= least && this.shows(label));
  }

  /** @param {string} label */
  shows(label) { return this.#switches.get(label)?.box.checked ?? true; }

  /**
   * Offers switches for these classes too.
   * @param {Record<string, number>} classes by label the class id
   */
  offer(classes) {
    for (const [label, classId] of Object.entries(classes)) {
      if (!this.#switches.has(label)) this.#add(label, classId, true);
    }
  }

  /**
   * Shows how many there are of each class now.
   * @param {Record<string, number>} objects by label
   */
  count(objects) {
    for (const [label, { count }] of this.#switches) setText(count, String(objects[label] ?? 0));
  }

  #showScore() { this.#text.textContent = `${this.#score.value} %`; }

  /**
   * @param {string} label
   * @param {number} classId
   * @param {boolean} isOn
   */
  #add(label, classId, isOn) {
    const chip = Object.assign(document.createElement("label"), { className: "chip" });
    const box = Object.assign(document.createElement("input"), { type: "checkbox", checked: isOn });
    const count = Object.assign(document.createElement("span"), { className: "muted count" });
    count.textContent = "0";
    chip.append(box, swatch(this.#colours, classId), label, count);
    this.#switches.set(label, { chip, box, count, classId });
    document.getElementById("no-classes")?.remove();
    // Where it belongs by the alphabet, and nothing else moves in the tree: what has the focus keeps it.
    const later = [...this.#switches].filter(([each]) => each.localeCompare(label) > 0);
    const [after] = later.sort(([a], [b]) => a.localeCompare(b));
    this.#chips.insertBefore(chip, after ? after[1].chip : null);
  }

  #remember() {
    const off = [...this.#switches].filter(([, { box }]) => !box.checked);
    this.#memory.set("hidden", Object.fromEntries(off.map(([label, { classId }]) => [label, classId])));
    this.#memory.set("score", this.#score.valueAsNumber);
  }
}

/**
 * A square in the colour of a class.
 * @param {string[]} colours
 * @param {number} classId
 */
export function swatch(colours, classId) {
  const square = Object.assign(document.createElement("span"), { className: "swatch" });
  square.style.backgroundColor = colours[classId % colours.length];
  return square;
}
