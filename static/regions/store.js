// The regions of a camera on the server: they are saved there, and others may change them meanwhile.
import { ask, watch } from "../shared/api.js";

const EVERY_MS = 2000;
const KINDS = ["inside", "ignore"];

// Its events: "obstacle" when `obstacle` (why nothing can be saved, "" if it can) or `isFixed` changed; "stored" when somebody else
// changed what is `stored`; "problem" with `problem`, when the server cannot be asked.
export class Store extends EventTarget {
  #camera;
  #section;
  #refresh;
  #isSaving = false;
  obstacle = "";
  isFixed = false;
  problem = "";

  // stored: polygons by kind. settings, section: the addresses of all settings and of the camera's.
  constructor(camera, stored, { settings, section }) {
    super();
    this.#camera = camera;
    this.#section = section;
    this.stored = byKind(stored);
    this.#refresh = watch(settings, EVERY_MS, (answer) => this.#take(answer), ({ message }) => this.#tell("problem", { problem: message }));
  }

  // Throws a Refusal.
  async save(polygons) {
    this.#isSaving = true;
    const detect = Object.fromEntries(KINDS.map((kind) => [kind, polygons[kind].length ? polygons[kind] : null]));
    try {
      await ask(this.#section, "PATCH", { detect });
      this.stored = polygons;
    } finally {
      this.#isSaving = false;
      this.#refresh();
    }
  }

  #tell(event, facts) {
    const isNew = Object.entries(facts).some(([name, value]) => this[name] !== value);
    Object.assign(this, facts);
    if (isNew) this.dispatchEvent(new Event(event));
  }

  #take({ cameras, fixed, is_writable: isWritable, reason }) {
    const section = cameras[this.#camera];
    const isFixed = fixed.includes(this.#camera);
    this.#tell("problem", { problem: "" });
    this.#tell("obstacle", { isFixed, obstacle: obstacleOf(section, isFixed, isWritable, reason) });
    if (!section || isFixed || this.#isSaving) return;
    const stored = byKind(section.detect);
    if (JSON.stringify(stored) !== JSON.stringify(this.stored)) this.#tell("stored", { stored });
  }
}

// Returns the polygons of each kind, always in one order: they are compared as text.
function byKind(polygons) {
  return Object.fromEntries(KINDS.map((kind) => [kind, polygons?.[kind] ?? []]));
}

function obstacleOf(section, isFixed, isWritable, reason) {
  if (isFixed) return "This camera comes from the command line, so nothing drawn here can be saved. To keep it, start the server with:";
  if (!isWritable) return `Nothing can be saved: ${reason || "the configuration file cannot be written"}.`;
  return section ? "" : "This camera is not in the configuration any more.";
}
