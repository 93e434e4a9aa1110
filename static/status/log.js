import { findAll, part } from "../shared/dom.js";
import { full, time } from "./format.js";

/** @import { LogEntry } from "api" */

const MOST = 200;
/** @type {Record<string, number>} */
const SEVERITY = { DEBUG: 10, INFO: 20, WARNING: 30, ERROR: 40, CRITICAL: 50 };
const NEAR_END_PX = 24;

/** @param {LogEntry} entry */
function line({ at, level, text }) {
  const item = document.createElement("li");
  item.dataset.level = level;
  const when = document.createElement("time");
  const date = new Date(at);
  when.dateTime = at;
  when.title = full(date);
  when.textContent = time(date);
  const what = document.createElement("strong");
  what.textContent = level.toLowerCase();
  const said = document.createElement("span");
  said.textContent = text;
  item.append(when, " ", what, " ", said);
  return item;
}

// The newest lines of the server's log; new ones come into view unless one has scrolled away from the end.
export class Log {
  #list = part("log");
  #level = part("log-level", HTMLSelectElement);
  #pause = part("log-pause");
  #said = part("log-held");
  /** @type {LogEntry[]} */
  #held = [];
  last = 0; // number of the newest line that came

  constructor() {
    this.#level.addEventListener("change", () => this.#filter(findAll(this.#list, "li")));
    this.#pause.addEventListener("click", () => this.#toggle());
  }

  /** @param {LogEntry[]} lines */
  add(lines) {
    this.last = lines.at(-1)?.number ?? this.last;
    if (!lines.length) return;
    this.#held = [...this.#held, ...lines].slice(-MOST);
    this.#show();
  }

  // Begins anew: the server that counts the lines is another one.
  clear() {
    this.last = 0;
    this.#held = [];
    this.#list.replaceChildren();
  }

  get #isPaused() {
    return this.#pause.getAttribute("aria-pressed") === "true";
  }

  #toggle() {
    this.#pause.setAttribute("aria-pressed", String(!this.#isPaused));
    this.#show();
  }

  #show() {
    this.#said.textContent = this.#isPaused ? `${this.#held.length} new` : "";
    if (this.#isPaused) return;
    const list = this.#list;
    const follows = list.scrollHeight - list.scrollTop - list.clientHeight < NEAR_END_PX;
    const items = this.#held.map(line);
    this.#held = [];
    this.#filter(items);
    list.append(...items);
    while (list.children.length > MOST) list.children[0].remove();
    if (follows) list.scrollTop = list.scrollHeight;
  }

  /** @param {HTMLElement[]} items */
  #filter(items) {
    const least = Number(this.#level.value);
    for (const item of items) item.hidden = (SEVERITY[item.dataset.level ?? ""] ?? 0) < least;
  }
}
