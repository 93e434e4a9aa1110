// Brings a page the pictures that are chosen, dropped anywhere on it, or pasted.

/** @typedef {(files: File[]) => void} Take */
/** @typedef {(text: string) => void} Say */

/**
 * Brings them.
 * @param {object} parts
 * @param {HTMLInputElement} parts.input
 * @param {HTMLElement} parts.pasteButton
 * @param {HTMLElement} parts.zone is marked while something is dragged over the page
 * @param {Take} parts.take called with the files of each
 * @param {Say} parts.say called where something came that is no file
 */
export function incoming({ input, pasteButton, zone, take, say }) {
  input.addEventListener("change", () => {
    const files = [...input.files ?? []];
    input.value = ""; // so that the same may be chosen again
    if (files.length) take(files);
  });
  takeDrops(zone, take, say);
  takePastes(pasteButton, take, say);
}

/**
 * @param {HTMLElement} zone
 * @param {Take} take
 * @param {Say} say
 */
function takeDrops(zone, take, say) {
  let depth = 0; // dragenter and dragleave come for each element that is crossed
  const mark = (/** @type {number} */ change) => {
    depth = change ? Math.max(0, depth + change) : 0;
    zone.toggleAttribute("data-dropping", depth > 0);
  };
  addEventListener("dragenter", () => mark(1));
  addEventListener("dragleave", () => mark(-1));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    mark(0);
    const files = [...event.dataTransfer?.files ?? []];
    if (files.length) take(files);
    else say("What was dropped is no file. Save the picture first, then drop the file.");
  });
}

/**
 * @param {HTMLElement} button
 * @param {Take} take
 * @param {Say} say
 */
function takePastes(button, take, say) {
  const none = "There is no picture in the clipboard.";
  addEventListener("paste", (event) => {
    const files = [...event.clipboardData?.files ?? []];
    if (files.length) take(files);
    else say(none);
  });
  button.hidden = !navigator.clipboard?.read; // there on https and on this machine only
  button.addEventListener("click", async () => {
    try {
      const files = await pictures(await navigator.clipboard.read());
      if (files.length) take(files);
      else say(none);
    } catch {
      say("The browser does not let this page read the clipboard. Paste with the keyboard.");
    }
  });
}

/** @param {ClipboardItem[]} items */
async function pictures(items) {
  const files = [];
  for (const item of items) {
    const type = item.types.find((name) => name.startsWith("image/"));
    if (type) files.push(new File([await item.getType(type)], `pasted.${type.slice(6)}`, { type }));
  }
  return files;
}
