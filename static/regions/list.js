// The regions as a list: for who does not see the picture, and to say what each is for.
import { around, copyOf, find, findAll } from "../shared/dom.js";
import { area, fault } from "./geometry.js";
import { nameOf } from "./view.js";

/** @import { Editor } from "./editor.js" */
/** @import { Kind, Region } from "./geometry.js" */

const PURPOSES = { inside: "objects count here", ignore: "nothing counts here" };

export class RegionList {
  #list;
  #template;

  /**
   * @param {HTMLElement} list
   * @param {HTMLTemplateElement} template of a row
   * @param {Editor} editor
   */
  constructor(list, template, editor) {
    this.#list = list;
    this.#template = template;
    /** @param {Event} event */
    const regionOf = (event) => {
      const shown = Number(around(event, "li")?.dataset.region);
      return editor.regions.find(({ id }) => id === shown);
    };
    list.addEventListener("click", (event) => {
      const region = regionOf(event);
      if (!region || editor.draft) return;
      if (around(event, ".remove")) editor.remove(region);
      else if (around(event, ".pick")) editor.choose(region.id);
    });
    list.addEventListener("change", (event) => {
      const region = regionOf(event);
      if (!region || !(event.target instanceof HTMLSelectElement)) return;
      editor.setKind(region, /** @type {Kind} */ (event.target.value));
    });
  }

  /**
   * @param {Region[]} regions
   * @param {number | null} chosenId
   */
  show(regions, chosenId) {
    const rows = findAll(this.#list, "li");
    for (const row of rows.splice(regions.length)) row.remove();
    while (rows.length < regions.length) rows.push(copyOf(this.#template));
    this.#list.append(...rows.slice(this.#list.children.length));
    for (const [at, region] of regions.entries()) {
      this.#showRow(rows[at], region, nameOf(region, regions), region.id === chosenId);
    }
  }

  /**
   * @param {HTMLElement} row
   * @param {Region} region
   * @param {string} name
   * @param {boolean} isChosen
   */
  #showRow(row, { id, kind, points }, name, isChosen) {
    const wrong = fault(points);
    const share = Math.round(100 * area(points));
    const facts = `${points.length} points, ${share} % of the picture, ${PURPOSES[kind]}`;
    const [pick, remove] = [find(row, ".pick"), find(row, ".remove")];
    const choice = find(row, "select", HTMLSelectElement);
    row.dataset.region = String(id);
    pick.setAttribute("aria-pressed", String(isChosen));
    const key = `${name}|${facts}|${wrong}`;
    if (row.dataset.shown === key) return; // what did not change is not read out again
    row.dataset.shown = key;
    const small = document.createElement("small");
    Object.assign(small, { textContent: wrong || facts, className: wrong && "wrong" });
    pick.replaceChildren(name, small);
    choice.value = kind;
    choice.setAttribute("aria-label", `What is in ${name}`);
    remove.setAttribute("aria-label", `Delete ${name}`);
  }
}
