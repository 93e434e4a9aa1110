// The form of one camera: its fields, each for one key of the camera's section.
import { kindOf, valueAt, withoutCredentials } from "./section.js";

// What a field of each kind shows of a value, and the value it stands for; undefined: the default holds. What cannot be
// understood goes to the server as it stands, which says what would be right.
const WIDGETS = {
  text: { show: (input, value) => { input.value = value ?? ""; }, read: (input) => input.value.trim() || undefined },
  number: { show: (input, value) => { input.value = value ?? ""; }, read: (input) => numberIn(input.value) },
  switch: {
    show: (input, value, byDefault) => { input.checked = value ?? byDefault; },
    read: (input, byDefault) => (input.checked === byDefault ? undefined : input.checked),
  },
  choice: {
    show: (input, value, byDefault) => { input.value = value ?? byDefault; },
    read: (input, byDefault) => (input.value === byDefault ? undefined : input.value),
  },
  list: {
    show: (input, value) => { input.value = (value ?? []).join(", "); },
    read: (input) => (input.value.trim() ? input.value.split(",").map((part) => part.trim()).filter(Boolean) : undefined),
  },
  scores: {
    show: (input, value) => { input.value = Object.entries(value ?? {}).map((pair) => pair.join(": ")).join(", "); },
    read: (input) => scoresIn(input.value),
  },
  secret: { show: (input) => { input.value = ""; }, read: (input) => input.value || undefined },
};

function numberIn(text) {
  const trimmed = text.trim().replace(/^(-?\d+),(\d+)$/, "$1.$2");
  if (!trimmed) return undefined;
  return Number.isNaN(Number(trimmed)) ? trimmed : Number(trimmed);
}

function scoresIn(text) {
  const pairs = text.split(",").map((part) => part.trim()).filter(Boolean).map((part) => part.split(":").map((word) => word.trim()));
  return pairs.length ? Object.fromEntries(pairs.map(([label, score]) => [label, numberIn(score ?? "") ?? ""])) : undefined;
}

export class Form {
  #form;
  #fields;
  #kind;
  #stored = {}; // the section as the server has it
  #shown = "";

  constructor(form) {
    this.#form = form;
    this.#kind = form.querySelector("#kind");
    this.#fields = new Map([...form.querySelectorAll("[data-key]")].map((field) => [field.dataset.key, field]));
    this.#kind.addEventListener("change", () => this.#chooseKind());
    form.querySelector("#source").addEventListener("change", () => this.#moveCredentials());
    form.addEventListener("input", ({ target }) => this.#clear(target.closest(".field")));
  }

  get name() { return this.#part("name").value.trim(); }
  get kind() { return this.#kind.value; }
  get isChanged() { return this.#state() !== this.#shown; }

  #part(id) { return this.#form.querySelector(`#${id}`); }
  #state() { return JSON.stringify([this.name, this.values]); }

  // Shows a camera's section; name: "" for a new one.
  show(name, section) {
    this.#stored = section;
    this.#part("name").value = name;
    this.#part("name").readOnly = Boolean(name);
    for (const [key, field] of this.#fields) {
      WIDGETS[field.dataset.widget].show(inputOf(field), valueAt(section, key), JSON.parse(field.dataset.default));
    }
    const hasPassword = Boolean(section.password);
    const isInAddress = String(section.source).includes(":***@");
    this.#part("password").placeholder = hasPassword || isInAddress ? "stored, stays as it is" : "";
    this.#part("forget-line").hidden = !hasPassword;
    this.#part("forget").checked = false;
    this.#part("advanced").open = false;
    this.#kind.value = section.source === undefined ? "rtsp" : kindOf(section.source);
    this.clear();
    this.#showKind();
    this.#shown = this.#state();
  }

  // The values by key, as the fields have them. Those of fields that do not matter for the kind of source stay as stored.
  get values() {
    const values = {};
    for (const [key, field] of this.#fields) {
      values[key] = this.#matters(field) ? this.#valueOf(key, field) : valueAt(this.#stored, key);
    }
    values.source = this.#kind.selectedOptions[0].dataset.address || inputOf(this.#fields.get("source")).value.trim();
    return values;
  }

  #valueOf(key, field) {
    const stored = valueAt(this.#stored, key);
    const value = WIDGETS[field.dataset.widget].read(inputOf(field), JSON.parse(field.dataset.default));
    if (key === "password" && value === undefined) return this.#part("forget").checked ? undefined : stored;
    const byDefault = JSON.parse(field.dataset.default);
    return value === undefined && stored === byDefault ? stored : value; // the default, written out: it may stay
  }

  // Lets the address be one that was found.
  take(address) {
    this.#kind.value = kindOf(address);
    inputOf(this.#fields.get("source")).value = address;
    this.#showKind();
    this.#moveCredentials();
  }

  #chooseKind() {
    const source = inputOf(this.#fields.get("source"));
    if (source.value && kindOf(source.value) !== this.kind) source.value = "";
    this.#showKind();
  }

  #showKind() {
    const { example, help } = this.#kind.selectedOptions[0].dataset;
    this.#part("kind-help").textContent = help;
    this.#part("source-help").textContent = `For example ${example}`;
    for (const element of this.#form.querySelectorAll("[data-kinds]")) element.hidden = !this.#matters(element);
    this.#form.dispatchEvent(new Event("kind"));
  }

  #matters({ dataset }) {
    return !dataset.kinds || dataset.kinds.split(" ").includes(this.kind);
  }

  // Takes name and password out of a pasted address, into the fields made for them.
  #moveCredentials() {
    const source = inputOf(this.#fields.get("source"));
    const apart = withoutCredentials(source.value.trim());
    if (!apart) return;
    source.value = apart.address;
    this.#part("username").value = apart.username;
    if (apart.password !== null) this.#part("password").value = apart.password;
  }

  // Shows what is wrong with each key at its field. Returns the texts of those that have none here.
  complain(lines) {
    this.clear();
    const homeless = lines.filter(({ key, text }) => !this.#mark(this.#fieldOf(key), text)).map(({ key, text }) => (key ? `${key}: ${text}` : text));
    const marked = this.#form.querySelectorAll("[aria-invalid=true]");
    if ([...marked].some((input) => input.closest("details"))) this.#part("advanced").open = true;
    marked[0]?.focus();
    return homeless;
  }

  #fieldOf(key) {
    if (key === "name") return this.#form.querySelector("[data-field=name]");
    const names = key.split(".");
    while (names.length && !this.#fields.has(names.join("."))) names.pop(); // detect.score_thresholds.cat
    return this.#fields.get(names.join("."));
  }

  #mark(field, text) {
    if (!field || field.hidden || field.closest("[hidden]")) return false;
    const said = field.querySelector(".wrong");
    said.id ||= `${inputOf(field).id}-wrong`;
    said.textContent = text;
    said.hidden = false;
    inputOf(field).setAttribute("aria-invalid", "true");
    describe(inputOf(field), said.id, true);
    return true;
  }

  clear() {
    for (const input of this.#form.querySelectorAll("[aria-invalid]")) this.#clear(input.closest(".field"));
  }

  #clear(field) {
    const said = field?.querySelector(".wrong");
    if (!said || said.hidden) return;
    said.hidden = true;
    inputOf(field).removeAttribute("aria-invalid");
    describe(inputOf(field), said.id, false);
  }
}

const inputOf = (field) => field.querySelector("input, select");

function describe(input, id, isSo) {
  const ids = (input.getAttribute("aria-describedby") ?? "").split(" ").filter((other) => other && other !== id);
  input.setAttribute("aria-describedby", (isSo ? [id, ...ids] : ids).join(" "));
}
