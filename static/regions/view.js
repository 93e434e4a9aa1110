// Shows regions on the picture: an SVG as large as the picture is seen, with what the keyboard can reach in it.

const SVG = "http://www.w3.org/2000/svg";
const POINT_PX = 6;

export const KIND_NAMES = { inside: "Region", ignore: "Mask" };

const percent = (value) => `${Math.round(100 * value)} %`;
export const inWords = ([x, y]) => `${percent(x)} from the left, ${percent(y)} from the top`;

// Returns the name of a region among others: "Region 2", "Mask 1".
export function nameOf(region, regions) {
  const alike = regions.filter(({ kind }) => kind === region.kind);
  return `${KIND_NAMES[region.kind]} ${alike.findIndex(({ id }) => id === region.id) + 1}`;
}

// Keeps the elements of a layer, by key, from one drawing to the next: what has the focus keeps it.
class Layer {
  #elements = new Map();

  constructor(parent) {
    this.parent = parent;
  }

  // shapes: [{key, tag, attributes, text}], the last on top.
  show(shapes) {
    const keys = new Set(shapes.map(({ key }) => key));
    for (const [key, element] of this.#elements) if (!keys.has(key)) this.#drop(key, element);
    for (const [at, shape] of shapes.entries()) {
      const element = this.#element(shape);
      if (this.parent.children[at] !== element) this.parent.insertBefore(element, this.parent.children[at] ?? null);
    }
  }

  #drop(key, element) {
    element.remove();
    this.#elements.delete(key);
  }

  #element({ key, tag, attributes, text }) {
    if (!this.#elements.has(key)) this.#elements.set(key, document.createElementNS(SVG, tag));
    const element = this.#elements.get(key);
    for (const [name, value] of Object.entries(attributes)) {
      if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
    }
    if (text !== undefined && element.textContent !== text) element.textContent = text;
    return element;
  }
}

export class View {
  #svg;
  #layers;

  // svg: has a group for each layer, by data-layer; its `.dimmed` covers what does not count.
  constructor(svg) {
    this.#svg = svg;
    this.#layers = Object.fromEntries([...svg.querySelectorAll("[data-layer]")].map((group) => [group.dataset.layer, new Layer(group)]));
  }

  get size() {
    return [this.#svg.clientWidth, this.#svg.clientHeight];
  }

  // Returns where on the picture, 0..1, a pointer is.
  at({ clientX, clientY }) {
    const { left, top, width, height } = this.#svg.getBoundingClientRect();
    return [(clientX - left) / width, (clientY - top) / height];
  }

  // drawing: {regions, selected: its id, draft: {kind, points}, cursor: [x, y], found: [{box_relative, text, counts}]}.
  show({ regions, selected, draft, cursor, found }) {
    const inside = regions.filter(({ kind }) => kind === "inside");
    this.#svg.querySelector(".dimmed").toggleAttribute("hidden", !inside.length);
    this.#layers.holes.show(inside.map((region) => this.#polygon(`hole${region.id}`, region.points, {})));
    this.#layers.found.show(found.flatMap((object, at) => this.#object(object, at)));
    this.#layers.regions.show(regions.flatMap((region) => this.#region(region, regions, region.id === selected, !draft)));
    this.#layers.draft.show(draft ? this.#draft(draft, cursor) : []);
  }

  #scaled([x, y]) {
    const [width, height] = this.size;
    return [x * width, y * height].map((value) => Math.round(10 * value) / 10);
  }

  #polygon(key, points, attributes, tag = "polygon") {
    return { key, tag, attributes: { points: points.map((point) => this.#scaled(point).join(",")).join(" "), ...attributes } };
  }

  #region(region, regions, isSelected, isReachable) {
    const name = nameOf(region, regions);
    const shape = this.#polygon(`region${region.id}`, region.points, {
      class: `region ${region.kind}`, "data-key": region.id, "data-selected": isSelected, role: "button", "aria-pressed": isSelected,
      tabindex: isReachable ? 0 : -1, "aria-label": `${name}, ${region.points.length} points`,
    });
    if (!isSelected || !isReachable) return [shape];
    return [shape, ...region.points.flatMap((point, index) => this.#handle(region, name, point, index))];
  }

  #handle(region, name, point, index) {
    const [cx, cy] = this.#scaled(point);
    const label = `Point ${index + 1} of ${region.points.length} of ${name}, ${inWords(point)}`;
    return [{ key: `point${region.id}:${index}`, tag: "circle", attributes: {
      class: `point ${region.kind}`, cx, cy, r: POINT_PX, "data-key": `${region.id}:${index}`, tabindex: 0, role: "button", "aria-label": label,
    } }];
  }

  #draft({ kind, points }, cursor) {
    const shapes = [this.#polygon("line", [...points, cursor], { class: `draft ${kind}` }, "polyline")];
    for (const [index, point] of points.entries()) {
      const [cx, cy] = this.#scaled(point);
      shapes.push({ key: `set${index}`, tag: "circle", attributes: { class: `point ${kind}`, cx, cy, r: index ? POINT_PX - 2 : POINT_PX + 2 } });
    }
    const [x, y] = this.#scaled(cursor);
    shapes.push({ key: "cross", tag: "path", attributes: { class: "cross", d: `M${x - 12} ${y}h24M${x} ${y - 12}v24` } });
    return shapes;
  }

  #object({ box_relative: box, text, counts }, at) {
    const [x, y] = this.#scaled([box.x_min, box.y_min]);
    const [right, bottom] = this.#scaled([box.x_max, box.y_max]);
    const state = { class: "found", "data-counts": counts };
    return [
      { key: `box${at}`, tag: "rect", attributes: { ...state, x, y, width: right - x, height: bottom - y } },
      { key: `foot${at}`, tag: "circle", attributes: { ...state, cx: (x + right) / 2, cy: Math.min(bottom, this.size[1]), r: 4 } },
      { key: `text${at}`, tag: "text", attributes: { ...state, x: x + 4, y: Math.max(15, y - 5) }, text },
    ];
  }
}
