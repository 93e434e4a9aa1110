import { freeName } from "../shared/camera-name.js";
import { showState } from "../shared/poll.js";
import { ask, watch } from "../shared/api.js";
import { Finds } from "./finds.js";
import { Form } from "./form.js";
import { patch, sectionOf } from "./section.js";

const EVERY_MS = 2000;
const NAME = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/;
const OFF = { state: "off", reason: "" };

const page = document.querySelector(".settings");
const part = (id) => document.getElementById(id);
const form = new Form(part("form"));
const rows = new Map(); // by the camera's name
const of = (url, name) => url.replace("NAME", encodeURIComponent(name));

let settings = null; // as the server said last
let states = {}; // of the cameras that run, by name
let isNamed = false; // whether somebody wrote the name of the new camera; else it follows its title
let edited = ""; // the name of the camera in the form; empty: a new one
let asked = decodeURIComponent(location.hash.slice(1)); // what the address of the page wants in the form

// What people call a camera.
const titleOf = (name) => settings.cameras[name]?.title ?? states[name]?.title ?? name;

// The list.

function showSettings(answer) {
  settings = answer;
  const { file, is_writable: isWritable, reason, error, needs_restart: restart, cameras, fixed } = answer;
  part("file").textContent = fileInWords(file, isWritable, reason);
  notice("error", error && `The file was changed by hand and is wrong, so what was before stays: ${error}`);
  notice("restart", restart.length && `Changed, and in effect after a restart of the server: ${restart.join(", ")}.`);
  part("add").disabled = !isWritable;
  complain("");
  showRows([...new Set([...Object.keys(cameras), ...fixed])]);
  openAsked();
}

function fileInWords(file, isWritable, reason) {
  if (isWritable) return `Changes take effect at once and are written to ${file}. What is changed there by hand takes effect, too.`;
  if (reason) return `Nothing can be changed here: ${reason}.`;
  return file ? `Nothing can be changed here: ${file} cannot be written.` : "Nothing can be changed here: the server was started without a configuration file.";
}

function notice(id, text) {
  if (part(id).textContent !== (text || "")) part(id).textContent = text || "";
  part(id).hidden = !text;
}

const say = (text) => { part("status").textContent = text; };
const complain = (text) => { if (part("problem").textContent !== text) part("problem").textContent = text; };

function showRows(names) {
  for (const [name, row] of rows) {
    if (names.includes(name)) continue;
    row.remove();
    rows.delete(name);
  }
  for (const [at, name] of names.entries()) {
    if (!rows.has(name)) rows.set(name, newRow(name));
    const row = rows.get(name);
    showRow(row, name);
    if (part("cameras").children[at] !== row) part("cameras").insertBefore(row, part("cameras").children[at] ?? null);
  }
  part("none").hidden = names.length > 0;
}

function newRow(name) {
  const row = part("row").content.cloneNode(true).firstElementChild;
  row.id = name;
  const actions = { change: () => edit(name), toggle: () => toggle(name), remove: () => remove(name) };
  for (const [action, act] of Object.entries(actions)) row.querySelector(`.${action}`).addEventListener("click", act);
  return row;
}

function showTitle(row, name) {
  const title = titleOf(name);
  row.querySelector(".name").textContent = title;
  for (const [action, text] of Object.entries({ change: "Change", draw: "Regions of", remove: "Remove" })) {
    row.querySelector(`.${action}`).setAttribute("aria-label", `${text} ${title}`);
  }
}

function showRow(row, name) {
  const section = settings.cameras[name] ?? {};
  const isOff = section.enabled === false;
  const isFixed = settings.fixed.includes(name);
  const state = isOff ? OFF : (states[name] ?? { state: "connecting", reason: "" });
  showTitle(row, name);
  showStateOnce(row.querySelector(".state"), state);
  row.querySelector(".source").textContent = section.source ?? "";
  link(row.querySelector(".name"), isOff ? "" : of(page.dataset.view, name));
  link(row.querySelector(".draw"), isOff ? "" : of(page.dataset.regions, name));
  row.querySelector(".draw").hidden = isOff;
  row.querySelector(".fixed").hidden = !isFixed;
  for (const action of ["change", "toggle", "remove"]) {
    row.querySelector(`.${action}`).hidden = isFixed;
    row.querySelector(`.${action}`).disabled = !settings.is_writable;
  }
  const toggleText = isOff ? "Turn on" : "Turn off";
  row.querySelector(".toggle").textContent = toggleText;
  row.querySelector(".toggle").setAttribute("aria-label", `${toggleText} ${titleOf(name)}`);
}

function link(element, href) {
  if (href) element.setAttribute("href", href);
  else element.removeAttribute("href");
}

function showStateOnce(element, { state, reason }) {
  const key = `${state} ${reason}`;
  if (element.dataset.shown === key) return;
  element.dataset.shown = key;
  showState(element, state, reason);
}

function showStates({ cameras }) {
  states = Object.fromEntries(cameras.map((camera) => [camera.name, camera]));
  if (settings) for (const [name, row] of rows) showRow(row, name);
}

// Changes.

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

function toggle(name) {
  const isOff = settings.cameras[name].enabled === false;
  const title = titleOf(name);
  const done = isOff ? `${title} is on.` : `${title} is off. Its settings are kept.`;
  return change(of(page.dataset.section, name), "PATCH", { enabled: isOff ? null : false }, done);
}

async function remove(name) {
  const text = `Whoever watches it sees its stream end, and its settings are taken out of ${settings.file}.`;
  const title = titleOf(name);
  if (!(await question(`Remove ${title}?`, text, "Keep", "Remove"))) return;
  await change(of(page.dataset.section, name), "DELETE", undefined, `${title} is removed.`);
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
  asked = "";
  if (wanted.startsWith("new=") && settings.is_writable) {
    open("", {});
    form.take(wanted.slice(4));
  } else if (wanted in settings.cameras) {
    rows.get(wanted).scrollIntoView({ block: "nearest" });
    if (settings.is_writable && !settings.fixed.includes(wanted)) edit(wanted);
  }
}

const edit = (name) => open(name, settings.cameras[name]);

function open(name, section) {
  if (part("editor").open) return;
  edited = name;
  isNamed = false;
  part("editor-name").textContent = name ? `Change ${titleOf(name)}` : "Add camera";
  form.show(name, section);
  outcome("");
  refuse("");
  part("editor").showModal();
  if (name) part("editor-name").focus();
  else part("title").focus();
}

function outcome(text, isGood = false) {
  part("outcome").textContent = text;
  part("outcome").dataset.good = isGood;
}

const refuse = (text) => { part("refused").textContent = text; };

async function cancel() {
  const text = "What you entered is not saved.";
  if (form.isChanged && !(await question("Leave without saving?", text, "Stay", "Leave"))) return;
  part("editor").close();
}

async function save(event) {
  event.preventDefault();
  const wrong = nameFault();
  if (wrong) return form.complain([{ key: "name", text: wrong }]);
  await busy(part("save"), "Saving …", async () => {
    const { name } = form;
    const url = of(page.dataset.section, name);
    if (edited) await ask(url, "PATCH", patch(settings.cameras[name], form.values));
    else await ask(url, "PUT", sectionOf(form.values));
    part("editor").close();
    const title = form.values.title ?? name;
    say(edited ? `${title} is changed.` : `${title} is added.`);
    refreshAll();
  });
}

const taken = () => new Set([...Object.keys(settings.cameras), ...settings.fixed]);

// Lets the name of a new camera follow its title, until somebody writes another.
function followTitle() {
  if (edited || isNamed) return;
  const title = part("title").value.trim();
  part("name").value = title && freeName(title, taken());
}

function nameFault() {
  if (edited) return "";
  if (!NAME.test(form.name)) return "Expected a name of letters, digits, “-” and “_”, 64 at most.";
  return taken().has(form.name) ? "There is a camera of this name." : "";
}

async function test() {
  await busy(part("test"), "Trying the camera …", async () => {
    const { detect, stream, ...source } = sectionOf(form.values);
    const found = await ask(page.dataset.test, "POST", { ...source, ...(edited ? { name: edited } : {}) });
    const rate = found.fps ? ` at ${Math.round(found.fps)} fps` : "";
    outcome(`Found ${found.width}×${found.height}${rate}, ${found.description}`, true);
  });
}

// Does something with the server; what it refuses is said at the fields, or below them.
async function busy(button, text, act) {
  form.clear();
  refuse("");
  outcome(text);
  button.disabled = true;
  try {
    await act();
    if (part("outcome").textContent === text) outcome("");
  } catch (refusal) {
    outcome("");
    const homeless = form.complain(refusal.lines ?? []);
    const isAtFields = refusal.lines?.length && !homeless.length;
    refuse(isAtFields ? "See what is marked above." : (homeless.join(" ") || refusal.message));
  }
  button.disabled = false;
}

let settle = () => {}; // takes the answer to the question that is asked

// Asks a person; returns whether the answer is the second one.
function question(title, text, no, yes) {
  const dialog = part("question");
  part("question-name").textContent = title;
  part("question-text").textContent = text;
  part("no").textContent = no;
  part("yes").textContent = yes;
  dialog.showModal();
  return new Promise((resolve) => { settle = resolve; });
}

function answer(isYes) {
  settle(isYes);
  part("question").close();
}

part("question").addEventListener("close", () => part("question").open || settle(false)); // by Escape; open: of the question before
part("no").addEventListener("click", () => answer(false));
part("yes").addEventListener("click", () => answer(true));
part("add").addEventListener("click", () => open("", {}));
part("title").addEventListener("input", followTitle);
part("name").addEventListener("input", () => { isNamed = part("name").value !== ""; });
part("form").addEventListener("submit", save);
part("test").addEventListener("click", test);
part("cancel").addEventListener("click", cancel);
part("editor").addEventListener("cancel", (event) => { event.preventDefault(); cancel(); });
addEventListener("hashchange", () => { asked = decodeURIComponent(location.hash.slice(1)); if (settings) openAsked(); });
addEventListener("beforeunload", (event) => { if (part("editor").open && form.isChanged) event.preventDefault(); });
new Finds({
  form: part("form"), list: part("found"), said: part("search-said"), search: part("search"), kind: () => form.kind,
  webcams: JSON.parse(page.dataset.webcams), discovery: page.dataset.discovery, take: (address) => form.take(address),
});
const failed = (refusal) => complain(refusal.message);
const refreshSettings = watch(page.dataset.settings, EVERY_MS, showSettings, failed);
const refreshStates = watch(page.dataset.cameras, EVERY_MS, showStates, failed);
