// The table of common cameras: searched by name, and its addresses put into the form.
import { around, find, findAll } from "../shared/dom.js";

const HOST = /^(?:[a-z]+:\/\/)?(?<host>\[[0-9a-f:]+\]|[\w.-]+)/i;

const NONE = "None of these. The camera's manual or app tells its address; search it for RTSP or ONVIF.";

/** @param {HTMLElement} page */
export function prepareMakers(page) {
  const rows = findAll(page, ".makers tbody tr");
  const said = find(page, "#makers-shown");
  const usual = said.textContent;
  const maker = find(page, "#maker", HTMLInputElement);
  const source = find(page, "#by-address [name=source]", HTMLInputElement);

  maker.addEventListener("input", () => {
    const words = maker.value.toLowerCase().split(/\s+/);
    for (const row of rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
    said.textContent = rows.some((row) => !row.hidden) ? usual : NONE;
  });
  find(page, ".makers").addEventListener("click", (event) => {
    const pattern = around(event, ".pattern")?.textContent;
    if (pattern) put(source, pattern);
  });
}

/**
 * Puts a pattern into the field, for the host that stands there already; what is left to fill in is selected.
 * @param {HTMLInputElement} source
 * @param {string} pattern
 */
function put(source, pattern) {
  const host = HOST.exec(source.value.trim())?.groups?.host ?? "ADDRESS";
  source.value = pattern.replace("ADDRESS", host);
  source.focus();
  const rest = /ADDRESS|KEY|CAMERA|PATH|NAME/.exec(source.value);
  if (rest) source.setSelectionRange(rest.index, rest.index + rest[0].length);
}
