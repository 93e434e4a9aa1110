// The order of the tiles: dragged by mouse or finger, or moved by arrow keys; kept in this browser.

const KEPT = "wall-order";
const DRAG_FROM = 6; // pixels until a press is a drag
const EDGE = 60; // pixels from the window's edge where a drag scrolls
const SCROLL_STEP = 10;

// Puts tiles into the order kept; cameras that were not there when it was made come after, in the server's order.
export function restoreOrder(wall) {
  const places = new Map(keptNames().map((name, place) => [name, place]));
  const tiles = [...wall.children];
  const place = ({ dataset: { camera } }) => places.get(camera) ?? Infinity;
  const sorted = tiles.toSorted((a, b) => place(a) - place(b) || 0); // Infinity - Infinity is no number
  if (sorted.some((tile, i) => tile !== tiles[i])) for (const tile of sorted) move(wall, tile, null);
}

// What people call the camera of a tile.
const nameOf = (tile) => tile.querySelector(".name").textContent;

function keptNames() {
  try {
    const names = JSON.parse(localStorage.getItem(KEPT));
    return Array.isArray(names) ? names : [];
  } catch {
    return []; // somebody else's, or the browser keeps nothing
  }
}

function keepOrder(wall) {
  try {
    localStorage.setItem(KEPT, JSON.stringify([...wall.children].map(({ dataset }) => dataset.camera)));
  } catch {
    // The browser keeps nothing: it holds until the page is left.
  }
}

// Lets the tiles of `wall` be moved; say(text) tells who cannot see it.
export function makeSortable(wall, say) {
  new Keys(wall, say);
  wall.addEventListener("pointerdown", (event) => {
    const tile = event.target.closest(".tile");
    const handle = event.target.closest(".move");
    const isDrag = handle || (event.pointerType === "mouse" && !event.target.closest("button"));
    if (tile && isDrag && event.button === 0 && !document.fullscreenElement?.matches(".tile")) new Drag(wall, tile, event);
  });
  wall.addEventListener("dragstart", (event) => event.preventDefault()); // the browser's own, of links
}

// A tile plays on while it is moved, where the browser can; the focus stays.
function move(wall, tile, before) {
  if (wall.moveBefore) {
    wall.moveBefore(tile, before);
    return;
  }
  const focused = tile.contains(document.activeElement) ? document.activeElement : null;
  wall.insertBefore(tile, before);
  focused?.focus({ preventScroll: true });
}

function moveTo(wall, tile, place) {
  const others = [...wall.children].filter((other) => other !== tile);
  move(wall, tile, others[place] ?? null);
}

class Drag {
  constructor(wall, tile, { pointerId, clientX, clientY }) {
    Object.assign(this, { wall, tile, pointerId, x: clientX, y: clientY, fromX: clientX, fromY: clientY });
    this.order = [...wall.children];
    this.listening = new AbortController();
    const { signal } = this.listening;
    const listen = (name, take) => addEventListener(name, take, { signal });
    listen("pointermove", (event) => { if (event.pointerId === pointerId) this.#follow(event); });
    listen("pointerup", (event) => { if (event.pointerId === pointerId) this.#end(); });
    listen("pointercancel", () => this.#cancel());
    listen("keydown", (event) => { if (event.key === "Escape") this.#cancel(); });
  }

  #follow({ clientX, clientY }) {
    [this.x, this.y] = [clientX, clientY];
    if (!this.isDragging && Math.hypot(this.x - this.fromX, this.y - this.fromY) >= DRAG_FROM) this.#begin();
    if (this.isDragging) this.#show();
  }

  #begin() {
    this.isDragging = true;
    const place = this.tile.getBoundingClientRect();
    this.grip = [this.fromX - place.left, this.fromY - place.top];
    this.tile.classList.add("dragged");
    this.wall.setPointerCapture(this.pointerId);
    addEventListener("click", (event) => { event.preventDefault(); event.stopPropagation(); }, { capture: true, once: true, signal: this.listening.signal });
    this.#scroll();
  }

  #show() {
    const { left, top } = this.wall.getBoundingClientRect();
    const over = this.#tileAt(this.x - left + this.wall.scrollLeft, this.y - top + this.wall.scrollTop);
    if (over && over !== this.tile) moveTo(this.wall, this.tile, [...this.wall.children].indexOf(over));
    const { offsetLeft, offsetTop } = this.tile;
    const dx = this.x - left + this.wall.scrollLeft - this.grip[0] - offsetLeft;
    const dy = this.y - top + this.wall.scrollTop - this.grip[1] - offsetTop;
    this.tile.style.translate = `${dx}px ${dy}px`;
  }

  #tileAt(x, y) {
    return [...this.wall.children].find(({ offsetLeft, offsetTop, offsetWidth, offsetHeight }) =>
      x >= offsetLeft && x < offsetLeft + offsetWidth && y >= offsetTop && y < offsetTop + offsetHeight);
  }

  #scroll() {
    if (!this.isDragging) return;
    const step = this.y < EDGE ? -SCROLL_STEP : this.y > innerHeight - EDGE ? SCROLL_STEP : 0;
    if (step) {
      (document.fullscreenElement === this.wall ? this.wall : window).scrollBy(0, step);
      this.#show();
    }
    requestAnimationFrame(() => this.#scroll());
  }

  #cancel() {
    if (this.isDragging) for (const tile of this.order) if (tile.isConnected) move(this.wall, tile, null);
    this.#end();
  }

  #end() {
    if (this.isDragging) keepOrder(this.wall);
    this.isDragging = false;
    this.tile.classList.remove("dragged");
    this.tile.style.translate = "";
    setTimeout(() => this.listening.abort()); // after the click that ends a drag
  }
}

// The keys of the buttons that move: Enter or space takes up and puts down, arrows move, Escape puts back.
class Keys {
  constructor(wall, say) {
    Object.assign(this, { wall, say, held: null });
    wall.addEventListener("click", ({ target, detail }) => {
      const button = target.closest(".move");
      if (button && detail === 0) this.#toggle(button); // by a key, or by what reads the screen
    });
    wall.addEventListener("keydown", (event) => this.#take(event));
    wall.addEventListener("focusout", ({ target, relatedTarget }) => {
      if (this.held && target === this.held.button && relatedTarget && relatedTarget !== target) this.#drop();
    });
  }

  #toggle(button) {
    if (this.held) {
      this.#drop();
      return;
    }
    const tile = button.closest(".tile");
    this.held = { button, tile, from: this.#place(tile) };
    button.setAttribute("aria-pressed", "true");
    this.say(`${nameOf(tile)} is taken up, at place ${this.#of(tile)}. Arrow keys move it, Enter puts it down, Escape puts it back.`);
  }

  #take(event) {
    if (!this.held) return;
    const { tile, from } = this.held;
    const place = this.#target(event.key, this.#place(tile), from);
    if (place === undefined) return;
    event.preventDefault();
    moveTo(this.wall, tile, Math.max(0, Math.min(this.wall.children.length - 1, place)));
    tile.scrollIntoView({ block: "nearest" });
    if (event.key === "Escape") this.#drop();
    else this.say(`${nameOf(tile)}: place ${this.#of(tile)}`);
  }

  #target(key, place, from) {
    const columns = getComputedStyle(this.wall).gridTemplateColumns.split(" ").length;
    const targets = { ArrowLeft: place - 1, ArrowRight: place + 1, ArrowUp: place - columns, ArrowDown: place + columns };
    return { ...targets, Home: 0, End: Infinity, Escape: from }[key];
  }

  #drop() {
    const { button, tile } = this.held;
    this.held = null;
    button.setAttribute("aria-pressed", "false");
    keepOrder(this.wall);
    this.say(`${nameOf(tile)} is put down, at place ${this.#of(tile)}.`);
  }

  #place(tile) { return [...this.wall.children].indexOf(tile); }
  #of(tile) { return `${this.#place(tile) + 1} of ${this.wall.children.length}`; }
}
