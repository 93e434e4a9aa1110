import { freeName } from "../shared/camera-name.js";
import { copyOf, find, part, setText } from "../shared/dom.js";
import { showState } from "../shared/poll.js";
import { ask, watch } from "../shared/api.js";
import { Finds } from "./finds.js";
import { Form } from "./form.js";
import { patch, sectionOf } from "./section.js";

/** @import { CameraInfo, CameraList, Finding, SettingsInfo } from "api" */
/** @import { Refusal } from "../shared/api.js" */
/** @import { Section } from "./section.js" */

const EVERY_MS = 2000;
const NAME = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/;
const OFF = { state: "off", reason: "" };

const page = find(document, ".settings");
const address = /** @type {Record<string, string>} */ (page.dataset);
const form = new Form(part("form"));
const button = (/** @type {string} */ id) => part(id, HTMLButtonElement);
const input = (/** @type {string} */ id) => part(id, HTMLInputElement);
const editor = part("editor", HTMLDialogElement);
/** @type {Map<string, HTMLElement>} */
const rows = new Map(); // by the camera's name
/** @type {(url: string, name: string) => string} */
const of = (url, name) => url.replace("NAME", encodeURIComponent(name));

/** @type {SettingsInfo | null} */
let answered = null; // as the server said last
/** @type {Record<string, CameraInfo>} */
let states = {}; // of the cameras that run, by name
let isNamed = false; // whether somebody wrote the name of the new camera; else it follows its title
let edited = ""; // the name of the camera in the form; empty: a new one
let asked = decodeURIComponent(location.hash.slice(1)); // what the address of the page wants in the form

// The settings as the server said last; nothing below is asked for before it has.
const settings = () => /** @type {SettingsInfo} */ (answered);

/**
 * What people call a camera.
 * @param {string} name
 */
const titleOf = (name) => String(settings().cameras[name]?.title ?? states[name]?.title ?? name);

// The list.

/** @param {SettingsInfo} answer */
function showSettings(answer) {
  answered = answer;
  const { file, is_writable: isWritable, reason, error, needs_restart: restart, cameras, fixed } = answer;
  const changed = `Changed, and in effect after a restart of the server: ${restart.join(", ")}.`;
  part("file").textContent = fileInWords(file, isWritable, reason);
  notice("error", error && `The file was changed by hand and is wrong, so what was before stays: ${error}`);
  notice("restart", restart.length ? changed : "");
  button("add").disabled = !isWritable;
  complain("");
  showRows([...new Set([...Object.keys(cameras), ...fixed])]);
  openAsked();
}

/**
 * @param {string | null} file
 * @param {boolean} isWritable
 * @param {string | null} reason
 */
function fileInWords(file, isWritable, reason) {
  if (isWritable) {
    return `Changes take effect at once and are written to ${file}. `
      + "What is changed there by hand takes effect, too.";
  }
  const why = file ? `${file} cannot be written` : "the server was started without a configuration file";
  return `Nothing can be changed here: ${reason || why}.`;
}

/**
 * @param {string} id
 * @param {string | null} text
 */
function notice(id, text) {
  setText(part(id), text || "");
  part(id).hidden = !text;
}

const say = (/** @type {string} */ text) => { part("status").textContent = text; };
const complain = (/** @type {string} */ text) => setText(part("problem"), text);

/** @param {string[]} names */
function showRows(names) {
  for (const [name, row] of rows) {
    if (names.includes(name)) continue;
    row.remove();
    rows.delete(name);
  }
  for (const [at, name] of names.entries()) {
    const row = rows.get(name) ?? newRow(name);
    rows.set(name, row);
    showRow(row, name);
    const list = part("cameras");
    if (list.children[at] !== row) list.insertBefore(row, list.children[at] ?? null);
  }
  part("none").hidden = names.length > 0;
}

/** @param {string} name */
function newRow(name) {
  const row = copyOf(part("row", HTMLTemplateElement));
  row.id = name;
  const actions = { change: () => edit(name), toggle: () => toggle(name), remove: () => remove(name) };
  for (const [action, act] of Object.entries(actions)) find(row, `.${action}`).addEventListener("click", act);
  return row;
}

/**
 * @param {HTMLElement} row
 * @param {string} name
 */
function showTitle(row, name) {
  const title = titleOf(name);
  find(row, ".name").textContent = title;
  for (const [action, text] of Object.entries({ change: "Change", draw: "Regions of", remove: "Remove" })) {
    find(row, `.${action}`).setAttribute("aria-label", `${text} ${title}`);
  }
}

/**
 * @param {HTMLElement} row
 * @param {string} name
 */
function showRow(row, name) {
  const section = settings().cameras[name] ?? {};
  const isOff = section.enabled === false;
  const isFixed = settings().fixed.includes(name);
  const state = isOff ? OFF : (states[name] ?? { state: "connecting", reason: "" });
  showTitle(row, name);
  showStateOnce(find(row, ".state"), state);
  find(row, ".source").textContent = String(section.source ?? "");
  link(find(row, ".name"), isOff ? "" : of(address.view, name));
  link(find(row, ".draw"), isOff ? "" : of(address.regions, name));
  find(row, ".draw").hidden = isOff;
  find(row, ".fixed").hidden = !isFixed;
  for (const action of ["change", "toggle", "remove"]) {
    const act = find(row, `.${action}`, HTMLButtonElement);
    act.hidden = isFixed;
    act.disabled = !settings().is_writable;
  }
  const toggleText = isOff ? "Turn on" : "Turn off";
  find(row, ".toggle").textContent = toggleText;
  find(row, ".toggle").setAttribute("aria-label", `${toggleText} ${titleOf(name)}`);
}

/**
 * @param {Element} element
 * @param {string} href
 */
function link(element, href) {
  if (href) element.setAttribute("href", href);
  else element.removeAttribute("href");
}

/**
 * @param {HTMLElement} element
 * @param {{state: string, reason: string}} camera
 */
function showStateOnce(element, { state, reason }) {
  const key = `${state} ${reason}`;
  if (element.dataset.shown === key) return;
  element.dataset.shown = key;
  showState(element, state, reason);
}

/** @param {CameraList} list */
function showStates({ cameras }) {
  states = Object.fromEntries(cameras.map((camera) => [camera.name, camera]));
  if (answered) for (const [name, row] of rows) showRow(row, name);
}

// Changes.

/**
 * @param {string} url
 * @param {string} method
 * @param {unknown} body
 * @param {string} done what is said then
 */
async function change(url, method, body, done) {
  try {
    await ask(url, method, body);
    complain("");
    say(done);
  } catch (refusal) {
    say("");
    complain(refusal.message);
  }
  refreshAll();
}

/** @param {string} name */
function toggle(name) {
  const isOff = settings().cameras[name].enabled === false;
  const title = titleOf(name);
  const done = isOff ? `${title} is on.` : `${title} is off. Its settings are kept.`;
  return change(of(address.section, name), "PATCH", { enabled: isOff ? null : false }, done);
}

/** @param {string} name */
async function remove(name) {
  const { file } = settings();
  const text = `Whoever watches it sees its stream end, and its settings are taken out of ${file}.`;
  const title = titleOf(name);
  if (!(await question(`Remove ${title}?`, text, "Keep", "Remove"))) return;
  await change(of(address.section, name), "DELETE", undefined, `${title} is removed.`);
  part("add").focus();
}

function refreshAll() {
  refreshSettings();
  refreshStates();
}

// The form.

// Opens the form that the page's address names: of a camera, or, after "new=", for an address to be added.
function openAsked() {
  const wanted = asked;
  const { is_writable: isWritable, cameras, fixed } = settings();
  asked = "";
  if (wanted.startsWith("new=") && isWritable) {
    open("", {});
    form.take(wanted.slice(4));
  } else if (wanted in cameras) {
    rows.get(wanted)?.scrollIntoView({ block: "nearest" });
    if (isWritable && !fixed.includes(wanted)) edit(wanted);
  }
}

const edit = (/** @type {string} */ name) => open(name, settings().cameras[name]);

/**
 * @param {string} name
 * @param {Section} section
 */
function open(name, section) {
  if (editor.open) return;
  edited = name;
  isNamed = false;
  part("editor-name").textContent = name ? `Change ${titleOf(name)}` : "Add camera";
  form.show(name, section);
  outcome("");
  refuse("");
  editor.showModal();
  if (name) part("editor-name").focus();
  else part("title").focus();
}

/** @param {string} text */
function outcome(text, isGood = false) {
  part("outcome").textContent = text;
  part("outcome").dataset.good = String(isGood);
}

const refuse = (/** @type {string} */ text) => { part("refused").textContent = text; };

async function cancel() {
  const text = "What you entered is not saved.";
  if (form.isChanged && !(await question("Leave without saving?", text, "Stay", "Leave"))) return;
  editor.close();
}

/** @param {Event} event */
async function save(event) {
  event.preventDefault();
  const wrong = nameFault();
  if (wrong) return form.complain([{ key: "name", text: wrong }]);
  await busy(button("save"), "Saving …", async () => {
    const { name } = form;
    const url = of(address.section, name);
    if (edited) await ask(url, "PATCH", patch(settings().cameras[name], form.values));
    else await ask(url, "PUT", sectionOf(form.values));
    editor.close();
    const title = form.values.title ?? name;
    say(edited ? `${title} is changed.` : `${title} is added.`);
    refreshAll();
  });
}

const taken = () => new Set([...Object.keys(settings().cameras), ...settings().fixed]);

// Lets the name of a new camera follow its title, until somebody writes another.
function followTitle() {
  if (edited || isNamed) return;
  const title = input("title").value.trim();
  input("name").value = title && freeName(title, taken());
}

function nameFault() {
  if (edited) return "";
  if (!NAME.test(form.name)) return "Expected a name of letters, digits, “-” and “_”, 64 at most.";
  return taken().has(form.name) ? "There is a camera of this name." : "";
}

async function test() {
  await busy(button("test"), "Trying the camera …", async () => {
    const { detect, stream, ...source } = sectionOf(form.values);
    /** @type {Finding} */
    const found = await ask(address.test, "POST", { ...source, ...(edited ? { name: edited } : {}) });
    const rate = found.fps ? ` at ${Math.round(found.fps)} fps` : "";
    outcome(`Found ${found.width}×${found.height}${rate}, ${found.description}`, true);
  });
}

/**
 * Does something with the server; what it refuses is said at the fields, or below them.
 * @param {HTMLButtonElement} pressed
 * @param {string} text
 * @param {() => Promise<void>} act
 */
async function busy(pressed, text, act) {
  form.clear();
  refuse("");
  outcome(text);
  pressed.disabled = true;
  try {
    await act();
    if (part("outcome").textContent === text) outcome("");
  } catch (refusal) {
    outcome("");
    const homeless = form.complain(refusal.lines ?? []);
    const isAtFields = refusal.lines?.length && !homeless.length;
    refuse(isAtFields ? "See what is marked above." : (homeless.join(" ") || refusal.message));
  }
  pressed.disabled = false;
}

/** @type {(isYes: boolean) => void} */
let settle = () => {}; // takes the answer to the question that is asked

const dialog = part("question", HTMLDialogElement);

/**
 * Asks a person; returns whether the answer is the second one.
 * @param {string} title
 * @param {string} text
 * @param {string} no
 * @param {string} yes
 * @returns {Promise<boolean>}
 */
function question(title, text, no, yes) {
  part("question-name").textContent = title;
  part("question-text").textContent = text;
  part("no").textContent = no;
  part("yes").textContent = yes;
  dialog.showModal();
  return new Promise((resolve) => { settle = resolve; });
}

/** @param {boolean} isYes */
function answer(isYes) {
  settle(isYes);
  dialog.close();
}

// By Escape; open: of the question before.
dialog.addEventListener("close", () => dialog.open || settle(false));
part("no").addEventListener("click", () => answer(false));
part("yes").addEventListener("click", () => answer(true));
part("add").addEventListener("click", () => open("", {}));
part("title").addEventListener("input", followTitle);
part("name").addEventListener("input", () => { isNamed = input("name").value !== ""; });
part("form").addEventListener("submit", save);
part("test").addEventListener("click", test);
part("cancel").addEventListener("click", cancel);
editor.addEventListener("cancel", (event) => { event.preventDefault(); cancel(); });
addEventListener("hashchange", () => {
  asked = decodeURIComponent(location.hash.slice(1));
  if (answered) openAsked();
});
addEventListener("beforeunload", (event) => { if (editor.open && form.isChanged) event.preventDefault(); });
new Finds({
  form: part("form"),
  list: part("found"),
  said: part("search-said"),
  search: button("search"),
  kind: () => form.kind,
  webcams: JSON.parse(address.webcams),
  discovery: page.dataset.discovery,
  take: (source) => form.take(source),
});
const failed = (/** @type {Refusal} */ refusal) => complain(refusal.message);
const refreshSettings = watch(address.settings, EVERY_MS, showSettings, failed);
const refreshStates = watch(address.cameras, EVERY_MS, showStates, failed);
