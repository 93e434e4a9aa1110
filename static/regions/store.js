// The regions of a camera on the server: they are saved there, and others may change them meanwhile.
import { ask, watch } from "../shared/api.js";

/** @import { SettingsInfo } from "api" */
/** @import { Refusal } from "../shared/api.js" */
/** @import { Polygons } from "./editor.js" */

const EVERY_MS = 2000;

// Its events: "obstacle" when `obstacle` (why nothing can be saved, "" if it can) or `isFixed` changed;
// "stored" when somebody else changed what is `stored`; "problem" with `problem`, when the server cannot be
// asked.
export class Store extends EventTarget {
  #camera;
  #section;
  #refresh;
  #isSaving = false;
  obstacle = "";
  isFixed = false;
  problem = "";

  /**
   * @param {string} camera
   * @param {Partial<Polygons>} stored
   * @param {{settings: string, section: string}} addresses of all settings and of the camera's
   */
  constructor(camera, stored, { settings, section }) {
    super();
    this.#camera = camera;
    this.#section = section;
    this.stored = byKind(stored);
    /** @param {SettingsInfo} answer */
    const take = (answer) => this.#take(answer);
    /** @param {Refusal} refusal */
    const fail = ({ message }) => this.#tell("problem", { problem: message });
    this.#refresh = watch(settings, EVERY_MS, take, fail);
  }

  /**
   * Throws a Refusal.
   * @param {Polygons} polygons
   */
  async save(polygons) {
    this.#isSaving = true;
    const { inside, ignore } = polygons;
    const detect = { inside: inside.length ? inside : null, ignore: ignore.length ? ignore : null };
    try {
      await ask(this.#section, "PATCH", { detect });
      this.stored = polygons;
    } finally {
      this.#isSaving = false;
      this.#refresh();
    }
  }

  /**
   * @param {string} event
   * @param {Partial<Pick<Store, "obstacle" | "isFixed" | "problem" | "stored">>} facts
   */
  #tell(event, facts) {
    const { obstacle, isFixed, problem, stored } = this;
    /** @type {Record<string, unknown>} */
    const before = { obstacle, isFixed, problem, stored };
    const isNew = Object.entries(facts).some(([name, value]) => before[name] !== value);
    Object.assign(this, facts);
    if (isNew) this.dispatchEvent(new Event(event));
  }

  /** @param {SettingsInfo} settings */
  #take(settings) {
    const section = settings.cameras[this.#camera];
    const isFixed = settings.fixed.includes(this.#camera);
    this.#tell("problem", { problem: "" });
    this.#tell("obstacle", { isFixed, obstacle: obstacleOf(Boolean(section), isFixed, settings) });
    if (!section || isFixed || this.#isSaving) return;
    const stored = byKind(/** @type {Partial<Polygons>} */ (section.detect));
    if (JSON.stringify(stored) !== JSON.stringify(this.stored)) this.#tell("stored", { stored });
  }
}

/**
 * Returns the polygons of each kind, always in one order: they are compared as text.
 * @param {Partial<Polygons> | undefined} polygons
 * @returns {Polygons}
 */
function byKind(polygons) {
  return { inside: polygons?.inside ?? [], ignore: polygons?.ignore ?? [] };
}

/**
 * @param {boolean} isThere
 * @param {boolean} isFixed
 * @param {SettingsInfo} settings
 */
function obstacleOf(isThere, isFixed, { is_writable: isWritable, reason }) {
  if (isFixed) {
    return "This camera comes from the command line, so nothing drawn here can be saved. "
      + "To keep it, start the server with:";
  }
  if (!isWritable) return `Nothing can be saved: ${reason || "the configuration file cannot be written"}.`;
  return isThere ? "" : "This camera is not in the configuration any more.";
}
