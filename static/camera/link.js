// Makes a link to a camera that works for who has it, and copies it. The clipboard is there on https and on
// this machine only; else it is selected.
import { find, part } from "../shared/dom.js";

/** @import { SignedLink } from "api" */

const form = part("link", HTMLFormElement);
const state = part("link-state");
const line = find(form, "input", HTMLInputElement);
const { camera } = find(document, ".camera").dataset;

async function make() {
  const fields = new FormData(form);
  const asked = { camera, kind: fields.get("kind"), expires_in_s: Number(fields.get("expires_in_s")) };
  const headers = { "Content-Type": "application/json" };
  const answer = await fetch(form.action, { method: "POST", headers, body: JSON.stringify(asked) });
  const told = await answer.json();
  if (!answer.ok) throw new Error(told.detail);
  return /** @type {SignedLink} */ (told);
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    const { url, expires_at } = await make();
    line.value = url;
    /** @type {HTMLElement} */ (line.parentElement).hidden = false;
    line.select();
    const until = `works until ${new Date(expires_at).toLocaleString()}`;
    const isCopied = await navigator.clipboard?.writeText(url).then(() => true, () => false);
    state.textContent = isCopied ? `Copied; ${until}.` : `Copy it; it ${until}.`;
  } catch (error) {
    state.textContent = `There is no link: ${error.message}.`;
  }
});
find(form, "button", HTMLButtonElement).disabled = false;
