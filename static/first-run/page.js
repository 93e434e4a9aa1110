import { Adding } from "./adding.js";
import { Candidate } from "./candidate.js";
import { prepareMakers } from "./makers.js";
import { ask } from "../shared/api.js";

const page = document.querySelector(".first-run");
const part = (id) => document.getElementById(id);

// The cameras found in the network. Those found before are kept while a new search runs.

async function search(adding) {
  part("search").disabled = true;
  part("searched").textContent = "Searching, for some 3 seconds …";
  try {
    const { onvif } = await ask(page.dataset.discovery, "POST");
    part("network").replaceChildren(...onvif.map((camera) => entry(camera, adding)));
    part("searched").textContent = said(onvif.length);
  } catch (refusal) {
    part("searched").textContent = refusal.message;
  }
  part("search").disabled = false;
}

function said(count) {
  if (count) return `${count} camera${count === 1 ? "" : "s"} answered.`;
  return "No camera answered. Many do so only after ONVIF was switched on in their settings; others are reached by their address.";
}

function entry(camera, adding) {
  const item = part("camera").content.cloneNode(true).firstElementChild;
  const form = item.querySelector("form");
  form.querySelector("strong").textContent = camera.name;
  form.querySelector(".muted").textContent = camera.maker ? `${camera.address} · ${camera.maker}` : camera.address;
  form.querySelector("button").setAttribute("aria-label", `Add ${camera.name}`);
  form.dataset.name = camera.name;
  new Candidate(form, adding, { camera, discovery: page.dataset.discovery });
  return item;
}

// Where the lines are shown that somebody has to add to the file.

function showLines(lines, hasSecret) {
  part("lines").textContent = lines;
  part("paste-secret").hidden = !hasSecret;
  part("paste").hidden = false;
  part("paste").scrollIntoView({ block: "nearest" });
}

async function copy() {
  try {
    await navigator.clipboard.writeText(part("lines").textContent);
    part("copy").textContent = "Copied";
    setTimeout(() => { part("copy").textContent = "Copy"; }, 2000);
  } catch {
    getSelection().selectAllChildren(part("lines")); // there is a clipboard on https and on this machine only
  }
}

if (page) {
  const { settings, test, section } = page.dataset;
  const adding = new Adding({ settings, test, section, showLines, added: () => location.reload() });
  for (const form of page.querySelectorAll("form")) new Candidate(form, adding);
  part("search").addEventListener("click", () => search(adding));
  part("copy").addEventListener("click", copy);
  prepareMakers(page);
}
