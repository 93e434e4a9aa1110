// Cameras that are there to be taken: the server's webcams, and those that answer in its network.
import { ask } from "../shared/api.js";

export class Finds {
  #list;
  #said;
  #search;
  #webcams;
  #take;
  #network = [];

  // discovery: the address that searches the network; undefined: nothing does. take: is given the address that was chosen.
  constructor({ form, list, said, search, webcams, discovery, take, kind }) {
    Object.assign(this, { kind });
    this.#list = list;
    this.#said = said;
    this.#search = search;
    this.#webcams = webcams;
    this.#take = take;
    search.addEventListener("click", () => this.#look(discovery));
    form.addEventListener("kind", () => this.#show(Boolean(discovery)));
  }

  #show(canSearch) {
    const kind = this.kind();
    this.#search.hidden = !canSearch || kind !== "rtsp";
    const shown = kind === "webcam" ? this.#webcams : kind === "rtsp" ? this.#network : [];
    this.#list.replaceChildren(...shown.map((camera) => this.#entry(camera)));
    this.#said.textContent = kind === "webcam" && !shown.length ? "No webcam is plugged into the server, or it may not open one." : "";
  }

  #entry({ source, name }) {
    const item = document.createElement("li");
    const button = Object.assign(document.createElement("button"), { type: "button", className: "button" });
    const address = Object.assign(document.createElement("span"), { className: "muted", textContent: source });
    button.append(name || "Camera", " ", address);
    button.addEventListener("click", () => this.#take(source));
    item.append(button);
    return item;
  }

  async #look(discovery) {
    this.#search.disabled = true;
    this.#said.textContent = "Searching the network …";
    try {
      const { webcams, onvif } = await ask(discovery, "POST");
      this.#webcams = webcams;
      this.#network = onvif.flatMap(({ name, address, source_hints: hints }) => hints.map((source) => ({ source, name: name || address })));
      this.#show(true);
      const hidden = onvif.filter(({ source_hints: hints }) => !hints.length).length;
      this.#said.textContent = said(onvif.length, hidden);
    } catch (refusal) {
      this.#said.textContent = refusal.message;
    }
    this.#search.disabled = false;
  }
}

function said(count, hidden) {
  if (!count) return "No camera answered. Many answer only after ONVIF was switched on in their settings.";
  const found = `${count} camera${count === 1 ? "" : "s"} answered.`;
  return hidden ? `${found} The addresses of ${hidden} are not known; see their manuals.` : found;
}
