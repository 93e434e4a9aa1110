// What is in the picture, as a table: a row stays where it is for as long as its object is followed.

import { swatch } from "./filter.js";
import { find, part, setText } from "../shared/dom.js";
import { inWords } from "../shared/found.js";

/** @import { Followed } from "./tracks.js" */

const READABLE_MS = 400; // between two changes of the numbers

export class Table {
  #rows = part("detections", HTMLTableSectionElement);
  #counts = part("counts");
  /** @type {Map<number, HTMLTableRowElement>} */
  #byTrack = new Map();
  #colours;
  #choose;
  /** @type {{tracks: Followed[], now: number, hidden: number} | null} */
  #next = null; // what is to be shown, and is not yet
  #timer = 0; // until when the numbers stay, to be read
  /** @type {number | null} */
  #chosen = null;

  /**
   * @param {string[]} colours by class id
   * @param {(trackId: number) => void} choose called with the track whose row somebody chose
   */
  constructor(colours, choose) {
    this.#colours = colours;
    this.#choose = choose;
  }

  /**
   * Shows the tracks.
   * @param {Followed[]} tracks the first seen first
   * @param {number} now in seconds since 1970
   * @param {number} hidden how many more there are
   */
  show(tracks, now, hidden) {
    this.#next = { tracks, now, hidden };
    if (!this.#timer) this.#fill(this.#next);
  }

  /**
   * Marks the row of a track.
   * @param {number | null} trackId null: none
   */
  mark(trackId) {
    this.#chosen = trackId;
    for (const [each, row] of this.#byTrack) {
      find(row, "button").setAttribute("aria-pressed", String(each === trackId));
    }
  }

  /** @param {{tracks: Followed[], now: number, hidden: number}} news */
  #fill({ tracks, now, hidden }) {
    this.#next = null;
    this.#timer = setTimeout(() => { this.#timer = 0; if (this.#next) this.#fill(this.#next); }, READABLE_MS);
    const left = new Set(this.#byTrack.keys());
    for (const track of tracks) {
      left.delete(track.track_id);
      const row = this.#byTrack.get(track.track_id) ?? this.#add(track);
      const seen = span(now - track.firstSeenAt);
      const texts = [`${Math.round(100 * track.score)} %`, `#${track.track_id}`, seen];
      texts.forEach((text, index) => setText(row.cells[index + 1], text));
    }
    for (const trackId of left) {
      this.#byTrack.get(trackId)?.remove();
      this.#byTrack.delete(trackId);
    }
    const found = tracks.length ? inWords(tracks) : "Nothing found right now.";
    setText(this.#counts, found + (hidden ? ` (${hidden} more not shown)` : ""));
  }

  /** @param {Followed} track */
  #add(track) {
    const after = [...this.#byTrack.keys()].filter((each) => each < track.track_id).length;
    const row = this.#rows.insertRow(after);
    const button = Object.assign(document.createElement("button"), { type: "button", className: "pick" });
    button.append(swatch(this.#colours, track.class_id), track.label);
    button.setAttribute("aria-pressed", String(track.track_id === this.#chosen));
    button.addEventListener("click", () => this.#choose(track.track_id));
    row.insertCell().append(button);
    for (let index = 0; index < 3; index++) row.insertCell().className = "number";
    this.#byTrack.set(track.track_id, row);
    return row;
  }
}

/** @param {number} seconds */
function span(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}
