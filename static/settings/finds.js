// Cameras that are there to be taken: the server's webcams, and those that answer in its network.
import { ask } from "../shared/api.js";

/** @import { Discovered, FoundWebcam } from "api" */

export class Finds {
  #list;
  #said;
  #search;
  #webcams;
  #take;
  #kind;
  /** @type {FoundWebcam[]} */
  #network = [];

  /**
   * @param {object} parts
   * @param {HTMLElement} parts.form
   * @param {HTMLElement} parts.list
   * @param {HTMLElement} parts.said
   * @param {HTMLButtonElement} parts.search
   * @param {FoundWebcam[]} parts.webcams
   * @param {string} [parts.discovery] the address that searches the network; undefined: nothing does
   * @param {(source: string) => void} parts.take is given the address that was chosen
   * @param {() => string} parts.kind of source that the form is about
   */
  constructor({ form, list, said, search, webcams, discovery, take, kind }) {
    this.#kind = kind;
    this.#list = list;
    this.#said = said;
    this.#search = search;
    this.#webcams = webcams;
    this.#take = take;
    if (discovery) search.addEventListener("click", () => this.#look(discovery));
    form.addEventListener("kind", () => this.#show(Boolean(discovery)));
  }

  /** @param {boolean} canSearch */
  #show(canSearch) {
    const kind = this.#kind();
    this.#search.hidden = !canSearch || kind !== "rtsp";
    const shown = kind === "webcam" ? this.#webcams : kind === "rtsp" ? this.#network : [];
    this.#list.replaceChildren(...shown.map((camera) => this.#entry(camera)));
    const none = "No webcam is plugged into the server, or it may not open one.";
    this.#said.textContent = kind === "webcam" && !shown.length ? none : "";
  }

  /** @param {FoundWebcam} camera */
  #entry({ source, name }) {
    const item = document.createElement("li");
    const button = Object.assign(document.createElement("button"), { type: "button", className: "button" });
    const address = Object.assign(document.createElement("span"), { className: "muted" });
    address.textContent = source;
    button.append(name || "Camera", " ", address);
    button.addEventListener("click", () => this.#take(source));
    item.append(button);
    return item;
  }

  /** @param {string} discovery */
  async #look(discovery) {
    this.#search.disabled = true;
    this.#said.textContent = "Searching the network …";
    try {
      /** @type {Discovered} */
      const { webcams, onvif } = await ask(discovery, "POST");
      this.#webcams = webcams;
      this.#network = onvif.flatMap(({ name, address, source_hints: hints }) => (
        hints.map((source) => ({ source, name: name || address }))
      ));
      this.#show(true);
      const hidden = onvif.filter(({ source_hints: hints }) => !hints.length).length;
      this.#said.textContent = said(onvif.length, hidden);
    } catch (refusal) {
      this.#said.textContent = refusal.message;
    }
    this.#search.disabled = false;
  }
}

/**
 * @param {number} count
 * @param {number} hidden
 */
function said(count, hidden) {
  if (!count) return "No camera answered. Many answer only after ONVIF was switched on in their settings.";
  const found = `${count} camera${count === 1 ? "" : "s"} answered.`;
  return hidden ? `${found} The addresses of ${hidden} are not known; see their manuals.` : found;
}
