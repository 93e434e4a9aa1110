// What is in the picture, as a table: a row stays where it is for as long as its object is followed.

import { setText, swatch } from "./filter.js";
import { inWords } from "../shared/found.js";

const READABLE_MS = 400; // between two changes of the numbers

export class Table {
  #rows = document.getElementById("detections");
  #counts = document.getElementById("counts");
  #byTrack = new Map(); // by track id: its row
  #colours;
  #choose;
  #next = null; // what is to be shown, and is not yet
  #timer = 0; // until when the numbers stay, to be read
  #chosen = null;

  // choose: called with the track id whose row somebody chose.
  constructor(colours, choose) {
    this.#colours = colours;
    this.#choose = choose;
  }

  // Shows the tracks, the first seen first. now: in seconds since 1970. hidden: how many more there are.
  show(tracks, now, hidden) {
    this.#next = { tracks, now, hidden };
    if (!this.#timer) this.#fill();
  }

  // Marks the row of a track, null: none.
  mark(trackId) {
    this.#chosen = trackId;
    for (const [each, row] of this.#byTrack) row.querySelector("button").setAttribute("aria-pressed", String(each === trackId));
  }

  #fill() {
    const { tracks, now, hidden } = this.#next;
    this.#next = null;
    this.#timer = setTimeout(() => { this.#timer = 0; if (this.#next) this.#fill(); }, READABLE_MS);
    const left = new Set(this.#byTrack.keys());
    for (const track of tracks) {
      left.delete(track.track_id);
      const row = this.#byTrack.get(track.track_id) ?? this.#add(track);
      const texts = [`${Math.round(100 * track.score)} %`, `#${track.track_id}`, span(now - track.firstSeenAt)];
      texts.forEach((text, index) => setText(row.cells[index + 1], text));
    }
    for (const trackId of left) {
      this.#byTrack.get(trackId).remove();
      this.#byTrack.delete(trackId);
    }
    setText(this.#counts, (tracks.length ? inWords(tracks) : "Nothing found right now.") + (hidden ? ` (${hidden} more not shown)` : ""));
  }

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

function span(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}
