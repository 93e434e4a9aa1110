// The pictures that were sent, to choose one from.

import { find, part } from "../shared/dom.js";

/** @import { Problem } from "../shared/detect.js" */
/** @import { ImageDetections } from "api" */

const MOST = 32; // the oldest go: each keeps its file in memory

// One picture: its file, and what became of it; `problem` or `result` once the server has answered.
export class Picture {
  /** @type {ImageDetections | null} */
  result = null;
  /** @type {Problem | null} */
  problem = null;
  /** @type {ImageBitmap | HTMLCanvasElement | null} */
  image = null; // decoded, while it is the one that is shown
  latencyMs = 0;

  /** @param {File} file */
  constructor(file) {
    this.file = file;
    this.name = file.name || "picture";
  }

  // Decodes it, upright; null where the browser cannot.
  async load() {
    this.image ??= await createImageBitmap(this.file).catch(() => null);
  }

  unload() {
    if (this.image instanceof ImageBitmap) this.image.close();
    this.image = null;
  }
}

export class Strip {
  #list = part("strip");
  /** @type {Map<Picture, HTMLButtonElement>} */
  #items = new Map();
  #choose;

  /** @param {(picture: Picture) => void} choose */
  constructor(choose) { this.#choose = choose; }

  /** @param {Picture} picture */
  add(picture) {
    const button = Object.assign(document.createElement("button"), { type: "button", className: "thumb" });
    const image = new Image(64, 48);
    Object.assign(image, { alt: "", src: URL.createObjectURL(picture.file), loading: "lazy" });
    const name = Object.assign(document.createElement("span"), { className: "thumb-name" });
    name.textContent = picture.name;
    const found = Object.assign(document.createElement("span"), { className: "muted" });
    button.append(image, name, found);
    button.addEventListener("click", () => this.#choose(picture));
    const item = document.createElement("li");
    item.append(button);
    this.#list.append(item);
    this.#items.set(picture, button);
    for (const oldest of [...this.#items.keys()].slice(0, -MOST)) this.#remove(oldest);
    this.#list.hidden = this.#items.size < 2;
  }

  /**
   * Says of a picture in a few words what became of it.
   * @param {Picture} picture
   * @param {string} text
   */
  say(picture, text) {
    const words = this.#items.get(picture)?.lastChild;
    if (words) words.textContent = text;
  }

  /**
   * Marks the picture that is shown, if it is one of these.
   * @param {Picture | null} picture
   */
  mark(picture) {
    for (const [each, button] of this.#items) button.setAttribute("aria-pressed", String(each === picture));
  }

  /** @param {Picture} picture */
  #remove(picture) {
    const button = this.#items.get(picture);
    if (!button) return;
    URL.revokeObjectURL(find(button, "img", HTMLImageElement).src);
    button.closest("li")?.remove();
    this.#items.delete(picture);
  }
}
