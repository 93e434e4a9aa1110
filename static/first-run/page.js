import { Adding } from "./adding.js";
import { Candidate } from "./candidate.js";
import { prepareMakers } from "./makers.js";
import { ask } from "../shared/api.js";
import { copyOf, find, findAll, part } from "../shared/dom.js";

/** @import { Discovered, FoundOnvif } from "api" */

// Not there, and nothing starts, for who may not add cameras.
const page = findAll(document, ".first-run").at(0);
const { discovery = "", settings = "", test = "", section = "" } = page?.dataset ?? {};

// The cameras found in the network. Those found before are kept while a new search runs.

/** @param {Adding} adding */
async function search(adding) {
  const button = part("search", HTMLButtonElement);
  button.disabled = true;
  part("searched").textContent = "Searching, for some 3 seconds …";
  try {
    /** @type {Discovered} */
    const { onvif } = await ask(discovery, "POST");
    part("network").replaceChildren(...onvif.map((camera) => entry(camera, adding)));
    part("searched").textContent = said(onvif.length);
  } catch (refusal) {
    part("searched").textContent = refusal.message;
  }
  button.disabled = false;
}

/** @param {number} count */
function said(count) {
  if (count) return `${count} camera${count === 1 ? "" : "s"} answered.`;
  return "No camera answered. Many do so only after ONVIF was switched on in their settings; "
    + "others are reached by their address.";
}

/**
 * @param {FoundOnvif} camera
 * @param {Adding} adding
 */
function entry(camera, adding) {
  const { name, address, maker } = camera;
  const item = copyOf(part("camera", HTMLTemplateElement));
  const form = find(item, "form", HTMLFormElement);
  find(form, "strong").textContent = name;
  find(form, ".muted").textContent = maker ? `${address} · ${maker}` : address;
  find(form, "button").setAttribute("aria-label", `Add ${name}`);
  form.dataset.name = name;
  new Candidate(form, adding, { camera, discovery });
  return item;
}

// Where the lines are shown that somebody has to add to the file.

/**
 * @param {string} lines
 * @param {boolean} hasSecret
 */
function showLines(lines, hasSecret) {
  part("lines").textContent = lines;
  part("paste-secret").hidden = !hasSecret;
  part("paste").hidden = false;
  part("paste").scrollIntoView({ block: "nearest" });
}

async function copy() {
  try {
    await navigator.clipboard.writeText(part("lines").textContent ?? "");
    part("copy").textContent = "Copied";
    setTimeout(() => { part("copy").textContent = "Copy"; }, 2000);
  } catch {
    // There is a clipboard on https and on this machine only.
    getSelection()?.selectAllChildren(part("lines"));
  }
}

if (page) {
  const adding = new Adding({ settings, test, section, showLines, added: () => location.reload() });
  for (const form of findAll(page, "form", HTMLFormElement)) new Candidate(form, adding);
  part("search").addEventListener("click", () => search(adding));
  part("copy").addEventListener("click", copy);
  prepareMakers(page);
}
