// The form of one camera: its fields, each for one key of the camera's section.
import { around, find, findAll } from "../shared/dom.js";
import { kindOf, valueAt, withoutCredentials } from "./section.js";

/** @import { Line } from "../shared/api.js" */
/** @import { Section } from "./section.js" */
/**
 * @typedef {object} Widget
 * @property {(input: HTMLInputElement, value: any, byDefault: any) => void} show
 * @property {(input: HTMLInputElement, byDefault: any) => unknown} read
 */

/**
 * What a field of each kind shows of a value, and the value it stands for; undefined: the default holds. What
 * cannot be understood goes to the server as it stands, which says what would be right.
 * @type {Record<string, Widget>}
 */
const WIDGETS = {
  text: {
    show: (input, value) => { input.value = value ?? ""; },
    read: (input) => input.value.trim() || undefined,
  },
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
    read: (input) => (input.value.trim() ? partsOf(input.value) : undefined),
  },
  scores: {
    show: (input, value) => {
      input.value = Object.entries(value ?? {}).map((pair) => pair.join(": ")).join(", ");
    },
    read: (input) => scoresIn(input.value),
  },
  secret: { show: (input) => { input.value = ""; }, read: (input) => input.value || undefined },
};

/** @param {string} text */
const partsOf = (text) => text.split(",").map((part) => part.trim()).filter(Boolean);

/** @param {string} text */
function numberIn(text) {
  const trimmed = text.trim().replace(/^(-?\d+),(\d+)$/, "$1.$2");
  if (!trimmed) return undefined;
  return Number.isNaN(Number(trimmed)) ? trimmed : Number(trimmed);
}

/** @param {string} text */
function scoresIn(text) {
  const pairs = partsOf(text).map((part) => part.split(":").map((word) => word.trim()));
  if (!pairs.length) return undefined;
  return Object.fromEntries(pairs.map(([label, score]) => [label, numberIn(score ?? "") ?? ""]));
}

export class Form {
  #form;
  #fields;
  #kind;
  #source;
  /** @type {Section} */
  #stored = {}; // as the server has it
  #shown = "";

  /** @param {HTMLElement} form */
  constructor(form) {
    this.#form = form;
    this.#kind = find(form, "#kind", HTMLSelectElement);
    this.#source = this.#input("source");
    this.#fields = new Map(findAll(form, "[data-key]").map((field) => [field.dataset.key ?? "", field]));
    this.#kind.addEventListener("change", () => this.#chooseKind());
    this.#source.addEventListener("change", () => this.#moveCredentials());
    form.addEventListener("input", (event) => this.#clear(around(event, ".field")));
  }

  get name() { return this.#input("name").value.trim(); }
  get kind() { return this.#kind.value; }
  get isChanged() { return this.#state() !== this.#shown; }

  /** @param {string} id */
  #input(id) { return find(this.#form, `#${id}`, HTMLInputElement); }
  get #advanced() { return find(this.#form, "#advanced", HTMLDetailsElement); }
  #state() { return JSON.stringify([this.name, this.values]); }

  /**
   * Shows a camera's section.
   * @param {string} name "" for a new one
   * @param {Section} section
   */
  show(name, section) {
    this.#stored = section;
    this.#input("name").value = name;
    this.#input("name").readOnly = Boolean(name);
    for (const [key, field] of this.#fields) {
      widgetOf(field).show(inputOf(field), valueAt(section, key), defaultOf(field));
    }
    const hasPassword = Boolean(section.password);
    const isInAddress = String(section.source).includes(":***@");
    this.#input("password").placeholder = hasPassword || isInAddress ? "stored, stays as it is" : "";
    find(this.#form, "#forget-line").hidden = !hasPassword;
    this.#input("forget").checked = false;
    this.#advanced.open = false;
    this.#kind.value = section.source === undefined ? "rtsp" : kindOf(section.source);
    this.clear();
    this.#showKind();
    this.#shown = this.#state();
  }

  // The values by key, as the fields have them. Those of fields that do not matter for the kind of source
  // stay as stored.
  get values() {
    /** @type {Section} */
    const values = {};
    for (const [key, field] of this.#fields) {
      values[key] = this.#matters(field) ? this.#valueOf(key, field) : valueAt(this.#stored, key);
    }
    values.source = this.#kind.selectedOptions[0].dataset.address || this.#source.value.trim();
    return values;
  }

  /**
   * @param {string} key
   * @param {HTMLElement} field
   */
  #valueOf(key, field) {
    const stored = valueAt(this.#stored, key);
    const byDefault = defaultOf(field);
    const value = widgetOf(field).read(inputOf(field), byDefault);
    if (key === "password" && value === undefined) return this.#input("forget").checked ? undefined : stored;
    // The default, written out: it may stay.
    return value === undefined && stored === byDefault ? stored : value;
  }

  /**
   * Lets the address be one that was found.
   * @param {string} address
   */
  take(address) {
    this.#kind.value = kindOf(address);
    this.#source.value = address;
    this.#showKind();
    this.#moveCredentials();
  }

  #chooseKind() {
    const source = this.#source;
    if (source.value && kindOf(source.value) !== this.kind) source.value = "";
    this.#showKind();
  }

  #showKind() {
    const { example, help = "" } = this.#kind.selectedOptions[0].dataset;
    find(this.#form, "#kind-help").textContent = help;
    find(this.#form, "#source-help").textContent = `For example ${example}`;
    for (const element of findAll(this.#form, "[data-kinds]")) element.hidden = !this.#matters(element);
    this.#form.dispatchEvent(new Event("kind"));
  }

  /** @param {HTMLElement} element */
  #matters({ dataset }) {
    return !dataset.kinds || dataset.kinds.split(" ").includes(this.kind);
  }

  // Takes name and password out of a pasted address, into the fields made for them.
  #moveCredentials() {
    const source = this.#source;
    const apart = withoutCredentials(source.value.trim());
    if (!apart) return;
    source.value = apart.address;
    this.#input("username").value = apart.username;
    if (apart.password !== null) this.#input("password").value = apart.password;
  }

  /**
   * Shows what is wrong with each key at its field. Returns the texts of those that have none here.
   * @param {Line[]} lines
   */
  complain(lines) {
    this.clear();
    const homeless = lines.filter(({ key, text }) => !this.#mark(this.#fieldOf(key), text));
    const marked = findAll(this.#form, "[aria-invalid=true]");
    if (marked.some((input) => input.closest("details"))) this.#advanced.open = true;
    marked[0]?.focus();
    return homeless.map(({ key, text }) => (key ? `${key}: ${text}` : text));
  }

  /** @param {string} key */
  #fieldOf(key) {
    if (key === "name") return find(this.#form, "[data-field=name]");
    const names = key.split(".");
    while (names.length && !this.#fields.has(names.join("."))) names.pop(); // detect.score_thresholds.cat
    return this.#fields.get(names.join("."));
  }

  /**
   * @param {HTMLElement | undefined} field
   * @param {string} text
   */
  #mark(field, text) {
    if (!field || field.hidden || field.closest("[hidden]")) return false;
    const said = find(field, ".wrong");
    said.id ||= `${inputOf(field).id}-wrong`;
    said.textContent = text;
    said.hidden = false;
    inputOf(field).setAttribute("aria-invalid", "true");
    describe(inputOf(field), said.id, true);
    return true;
  }

  clear() {
    for (const input of findAll(this.#form, "[aria-invalid]")) this.#clear(input.closest(".field"));
  }

  /** @param {Element | null} field */
  #clear(field) {
    if (!field) return;
    const said = findAll(field, ".wrong").at(0);
    if (!said || said.hidden) return;
    said.hidden = true;
    inputOf(field).removeAttribute("aria-invalid");
    describe(inputOf(field), said.id, false);
  }
}

/**
 * Returns the input of a field; what it is here holds for a select as well.
 * @param {Element} field
 */
const inputOf = (field) => /** @type {HTMLInputElement} */ (field.querySelector("input, select"));

/** @param {HTMLElement} field */
const widgetOf = (field) => WIDGETS[field.dataset.widget ?? ""];

/** @param {HTMLElement} field */
const defaultOf = (field) => JSON.parse(field.dataset.default ?? "");

/**
 * @param {Element} input
 * @param {string} id
 * @param {boolean} isSo
 */
function describe(input, id, isSo) {
  const said = (input.getAttribute("aria-describedby") ?? "").split(" ");
  const ids = said.filter((other) => other && other !== id);
  input.setAttribute("aria-describedby", (isSo ? [id, ...ids] : ids).join(" "));
}
