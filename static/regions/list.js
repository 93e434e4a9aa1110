// The regions as a list: for who does not see the picture, and to say what each is for.
import { area, fault } from "./geometry.js";
import { nameOf } from "./view.js";

const PURPOSES = { inside: "objects count here", ignore: "nothing counts here" };

export class RegionList {
  #list;
  #template;

  constructor(list, template, editor) {
    this.#list = list;
    this.#template = template;
    const regionOf = ({ target }) => editor.regions.find(({ id }) => id === Number(target.closest("li")?.dataset.region));
    list.addEventListener("click", (event) => {
      const region = regionOf(event);
      if (!region || editor.draft) return;
      if (event.target.closest(".remove")) editor.remove(region);
      else if (event.target.closest(".pick")) editor.choose(region.id);
    });
    list.addEventListener("change", (event) => editor.setKind(regionOf(event), event.target.value));
  }

  show(regions, chosenId) {
    const rows = this.#list.children;
    while (rows.length > regions.length) this.#list.lastElementChild.remove();
    while (rows.length < regions.length) this.#list.append(this.#template.content.cloneNode(true));
    for (const [at, region] of regions.entries()) this.#showRow(rows[at], region, nameOf(region, regions), chosenId);
  }

  #showRow(row, { id, kind, points }, name, chosenId) {
    const wrong = fault(points);
    const facts = `${points.length} points, ${Math.round(100 * area(points))} % of the picture, ${PURPOSES[kind]}`;
    const [pick, choice, remove] = row.querySelectorAll(".pick, select, .remove");
    row.dataset.region = id;
    pick.setAttribute("aria-pressed", id === chosenId);
    const key = `${name}|${facts}|${wrong}`;
    if (row.dataset.shown === key) return; // what did not change is not read out again
    row.dataset.shown = key;
    pick.replaceChildren(name, Object.assign(document.createElement("small"), { textContent: wrong || facts, className: wrong && "wrong" }));
    choice.value = kind;
    choice.setAttribute("aria-label", `What is in ${name}`);
    remove.setAttribute("aria-label", `Delete ${name}`);
  }
}
