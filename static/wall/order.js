// The order of the tiles: dragged by mouse or finger, or moved by arrow keys; kept in this browser.
import { around, find, findAll } from "../shared/dom.js";

const KEPT = "wall-order";
const DRAG_FROM = 6; // pixels until a press is a drag
const EDGE = 60; // pixels from the window's edge where a drag scrolls
const SCROLL_STEP = 10;

/** @param {HTMLElement} wall */
const tilesOf = (wall) => findAll(wall, ":scope > .tile");

/**
 * Puts tiles into the order kept; cameras that were not there when it was made come after, in the server's
 * order.
 * @param {HTMLElement} wall
 */
export function restoreOrder(wall) {
  const places = new Map(keptNames().map((name, place) => [name, place]));
  const tiles = tilesOf(wall);
  /** @param {HTMLElement} tile */
  const place = ({ dataset: { camera } }) => places.get(camera) ?? Infinity;
  const sorted = tiles.toSorted((a, b) => place(a) - place(b) || 0); // Infinity - Infinity is no number
  if (sorted.some((tile, i) => tile !== tiles[i])) for (const tile of sorted) move(wall, tile, null);
}

/**
 * What people call the camera of a tile.
 * @param {HTMLElement} tile
 */
const nameOf = (tile) => find(tile, ".name").textContent;

/** @returns {unknown[]} */
function keptNames() {
  try {
    const names = JSON.parse(localStorage.getItem(KEPT) ?? "null");
    return Array.isArray(names) ? names : [];
  } catch {
    return []; // somebody else's, or the browser keeps nothing
  }
}

/** @param {HTMLElement} wall */
function keepOrder(wall) {
  try {
    localStorage.setItem(KEPT, JSON.stringify(tilesOf(wall).map(({ dataset }) => dataset.camera)));
  } catch {
    // The browser keeps nothing: it holds until the page is left.
  }
}

/**
 * Lets the tiles of `wall` be moved.
 * @param {HTMLElement} wall
 * @param {(text: string) => void} say tells who cannot see it
 */
export function makeSortable(wall, say) {
  new Keys(wall, say);
  wall.addEventListener("pointerdown", (event) => {
    const tile = around(event, ".tile");
    const isDrag = around(event, ".move") || (event.pointerType === "mouse" && !around(event, "button"));
    if (!tile || !isDrag || event.button !== 0) return;
    if (!document.fullscreenElement?.matches(".tile")) new Drag(wall, tile, event);
  });
  wall.addEventListener("dragstart", (event) => event.preventDefault()); // the browser's own, of links
}

/**
 * A tile plays on while it is moved, where the browser can; the focus stays.
 * @param {HTMLElement} wall
 * @param {HTMLElement} tile
 * @param {HTMLElement | null} before
 */
function move(wall, tile, before) {
  /** @type {HTMLElement & {moveBefore?: typeof wall.insertBefore}} */
  const mover = wall; // TypeScript knows no moveBefore yet
  if (mover.moveBefore) {
    mover.moveBefore(tile, before);
    return;
  }
  const { activeElement: active } = document;
  wall.insertBefore(tile, before);
  if (active instanceof HTMLElement && tile.contains(active)) active.focus({ preventScroll: true });
}

/**
 * @param {HTMLElement} wall
 * @param {HTMLElement} tile
 * @param {number} place from 0
 */
function moveTo(wall, tile, place) {
  const others = tilesOf(wall).filter((other) => other !== tile);
  move(wall, tile, others[place] ?? null);
}

class Drag {
  isDragging = false;
  grip = [0, 0]; // where in the tile it was taken
  listening = new AbortController();

  /**
   * @param {HTMLElement} wall
   * @param {HTMLElement} tile
   * @param {PointerEvent} event
   */
  constructor(wall, tile, { pointerId, clientX, clientY }) {
    this.wall = wall;
    this.tile = tile;
    this.pointerId = pointerId;
    this.x = this.fromX = clientX;
    this.y = this.fromY = clientY;
    this.order = tilesOf(wall);
    const options = { signal: this.listening.signal };
    addEventListener("pointermove", (event) => {
      if (event.pointerId === pointerId) this.#follow(event);
    }, options);
    addEventListener("pointerup", (event) => { if (event.pointerId === pointerId) this.#end(); }, options);
    addEventListener("pointercancel", () => this.#cancel(), options);
    addEventListener("keydown", (event) => { if (event.key === "Escape") this.#cancel(); }, options);
  }

  /** @param {PointerEvent} event */
  #follow({ clientX, clientY }) {
    [this.x, this.y] = [clientX, clientY];
    const isFar = Math.hypot(this.x - this.fromX, this.y - this.fromY) >= DRAG_FROM;
    if (!this.isDragging && isFar) this.#begin();
    if (this.isDragging) this.#show();
  }

  #begin() {
    this.isDragging = true;
    const place = this.tile.getBoundingClientRect();
    this.grip = [this.fromX - place.left, this.fromY - place.top];
    this.tile.classList.add("dragged");
    this.wall.setPointerCapture(this.pointerId);
    const { signal } = this.listening;
    addEventListener("click", (event) => {
      event.preventDefault();
      event.stopPropagation();
    }, { capture: true, once: true, signal });
    this.#scroll();
  }

  #show() {
    const { left, top } = this.wall.getBoundingClientRect();
    const over = this.#tileAt(this.x - left + this.wall.scrollLeft, this.y - top + this.wall.scrollTop);
    if (over && over !== this.tile) moveTo(this.wall, this.tile, tilesOf(this.wall).indexOf(over));
    const { offsetLeft, offsetTop } = this.tile;
    const dx = this.x - left + this.wall.scrollLeft - this.grip[0] - offsetLeft;
    const dy = this.y - top + this.wall.scrollTop - this.grip[1] - offsetTop;
    this.tile.style.translate = `${dx}px ${dy}px`;
  }

  /**
   * @param {number} x
   * @param {number} y
   */
  #tileAt(x, y) {
    return tilesOf(this.wall).find(({ offsetLeft, offsetTop, offsetWidth, offsetHeight }) =>
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
  /** @type {{button: HTMLElement, tile: HTMLElement, from: number} | null} */
  held = null;

  /**
   * @param {HTMLElement} wall
   * @param {(text: string) => void} say
   */
  constructor(wall, say) {
    this.wall = wall;
    this.say = say;
    wall.addEventListener("click", (event) => {
      const [button, tile] = [around(event, ".move"), around(event, ".tile")];
      if (button && tile && event.detail === 0) this.#toggle(button, tile); // by a key, or by a screen reader
    });
    wall.addEventListener("keydown", (event) => this.#take(event));
    wall.addEventListener("focusout", ({ target, relatedTarget }) => {
      const isGone = target === this.held?.button && relatedTarget && relatedTarget !== target;
      if (isGone) this.#drop();
    });
  }

  /**
   * @param {HTMLElement} button
   * @param {HTMLElement} tile
   */
  #toggle(button, tile) {
    if (this.held) {
      this.#drop();
      return;
    }
    this.held = { button, tile, from: this.#place(tile) };
    button.setAttribute("aria-pressed", "true");
    const keys = "Arrow keys move it, Enter puts it down, Escape puts it back.";
    this.say(`${nameOf(tile)} is taken up, at place ${this.#of(tile)}. ${keys}`);
  }

  /** @param {KeyboardEvent} event */
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

  /**
   * @param {string} key
   * @param {number} place
   * @param {number} from
   * @returns {number | undefined}
   */
  #target(key, place, from) {
    const columns = getComputedStyle(this.wall).gridTemplateColumns.split(" ").length;
    /** @type {Record<string, number>} */
    const targets = {
      ArrowLeft: place - 1, ArrowRight: place + 1, ArrowUp: place - columns, ArrowDown: place + columns,
      Home: 0, End: Infinity, Escape: from,
    };
    return targets[key];
  }

  #drop() {
    if (!this.held) return;
    const { button, tile } = this.held;
    this.held = null;
    button.setAttribute("aria-pressed", "false");
    keepOrder(this.wall);
    this.say(`${nameOf(tile)} is put down, at place ${this.#of(tile)}.`);
  }

  /** @param {HTMLElement} tile */
  #place(tile) { return tilesOf(this.wall).indexOf(tile); }
  /** @param {HTMLElement} tile */
  #of(tile) { return `${this.#place(tile) + 1} of ${this.wall.children.length}`; }
}
