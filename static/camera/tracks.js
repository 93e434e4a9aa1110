// What is followed in a camera, and where it is on a picture taken at a certain time.

/** @import { Detection, DetectionList, Track } from "api" */
/**
 * @typedef {Track & {firstSeenAt: number, seenAt: number, shownUntil: number}} Followed in seconds since 1970
 */

const CARRIED_S = 1; // a box moves on for so long: CARRIED_S in stream_server/detection/tracking.py
const KEPT_ANSWERS = 32; // so that a picture that comes later than its detections finds them
const SAME_S = 0.002; // between two tellings of one frame's time: each reads the clock anew

/** @param {string} time */
const seconds = (time) => Date.parse(time) / 1000;

export class Tracks {
  /** @type {{takenAt: number, detections: Detection[]}[]} */
  #answers = []; // the last ones, the newest at the end
  /** @type {Followed[]} */
  #tracks = [];
  newestAt = 0; // when the last analysed frame was taken, in seconds since 1970

  /**
   * Learns an answer of /api/v1/cameras/<camera>/detections?tracks=true.
   * @param {DetectionList} answer
   */
  hear({ captured_at, detections, tracks }) {
    if (!captured_at) return;
    this.newestAt = seconds(captured_at);
    this.#tracks = (tracks ?? []).map((track) => ({
      ...track,
      firstSeenAt: seconds(track.first_seen_at),
      seenAt: seconds(track.seen_at),
      shownUntil: seconds(track.shown_until),
    }));
    this.#answers.push({ takenAt: this.newestAt, detections });
    if (this.#answers.length > KEPT_ANSWERS) this.#answers.shift();
  }

  forget() {
    this.#answers = [];
    this.#tracks = [];
  }

  // Returns what is followed, as it was told last, the longest first.
  all() {
    const shown = this.#tracks.filter(({ shownUntil }) => shownUntil >= this.newestAt);
    return shown.sort((a, b) => a.track_id - b.track_id);
  }

  /**
   * Returns what is followed, its boxes carried to the time of a picture.
   * @param {number | null} takenAt null: as last seen
   */
  at(takenAt) {
    const time = takenAt ?? this.newestAt;
    return this.#tracks.filter(({ shownUntil }) => time <= shownUntil).map((track) => carried(track, time));
  }

  /**
   * Returns what was found in the very frame that was taken then, null where nothing is known of it.
   * @param {number | null} takenAt null: in the last one
   */
  in(takenAt) {
    const isIt = (/** @type {number} */ time) => takenAt === null || Math.abs(time - takenAt) < SAME_S;
    return this.#answers.findLast((answer) => isIt(answer.takenAt))?.detections ?? null;
  }
}

/**
 * The same straight line as the server's tracker draws (_Tracks.boxes_at).
 * @param {Followed} track
 * @param {number} time
 */
function carried(track, time) {
  const elapsed = Math.min(CARRIED_S, Math.max(-CARRIED_S, time - track.seenAt));
  const { box_relative: box, speed_relative: speed } = track;
  const moved = {
    x_min: box.x_min + elapsed * speed.x_min,
    y_min: box.y_min + elapsed * speed.y_min,
    x_max: box.x_max + elapsed * speed.x_max,
    y_max: box.y_max + elapsed * speed.y_max,
  };
  return { ...track, box_relative: moved };
}
