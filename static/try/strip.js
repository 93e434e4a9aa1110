// The pictures that were sent, to choose one from.

const MOST = 32; // the oldest go: each keeps its file in memory

// One picture: its file, and what became of it; `problem` or `result` once the server has answered.
export class Picture {
  result = null;
  problem = null;
  image = null; // decoded, while it is the one that is shown
  latencyMs = null;

  constructor(file) {
    this.file = file;
    this.name = file.name || "picture";
  }

  // Decodes it, upright; null where the browser cannot.
  async load() {
    this.image ??= await createImageBitmap(this.file).catch(() => null);
  }

  unload() {
    this.image?.close();
    this.image = null;
  }
}

export class Strip {
  #list = document.getElementById("strip");
  #items = new Map(); // by picture: its button
  #choose;

  constructor(choose) { this.#choose = choose; }

  add(picture) {
    const button = Object.assign(document.createElement("button"), { type: "button", className: "thumb" });
    const image = Object.assign(new Image(64, 48), { alt: "", src: URL.createObjectURL(picture.file), loading: "lazy" });
    const name = Object.assign(document.createElement("span"), { textContent: picture.name, className: "thumb-name" });
    const found = Object.assign(document.createElement("span"), { className: "muted" });
    button.append(image, name, found);
    button.addEventListener("click", () => this.#choose(picture));
    const item = document.createElement("li");
    item.append(button);
    this.#list.append(item);
    this.#items.set(picture, button);
    if (this.#items.size > MOST) this.#remove(this.#items.keys().next().value);
    this.#list.hidden = this.#items.size < 2;
  }

  // Says of a picture in a few words what became of it.
  say(picture, text) {
    const words = this.#items.get(picture)?.lastChild;
    if (words) words.textContent = text;
  }

  // Marks the picture that is shown, if it is one of these.
  mark(picture) {
    for (const [each, button] of this.#items) button.setAttribute("aria-pressed", each === picture);
  }

  #remove(picture) {
    const button = this.#items.get(picture);
    URL.revokeObjectURL(button.querySelector("img").src);
    button.parentElement.remove();
    this.#items.delete(picture);
  }
}
