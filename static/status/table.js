// Brings a table's rows up to date without making anew what stays, so that nothing flickers and selections
// last.
import { setText } from "../shared/dom.js";

/** @typedef {string | Element | {text: string, state?: string, href?: string}} Cell an element lasts */
/** @typedef {{key: string | number, cells: Cell[]}} Row */

/**
 * @param {string | number} key
 * @param {string[]} labels
 */
function makeRow(key, labels) {
  const row = document.createElement("tr");
  row.setAttribute("role", "row");
  row.dataset.key = String(key);
  for (const [index, label] of labels.entries()) {
    const cell = document.createElement(index ? "td" : "th");
    cell.setAttribute("role", index ? "cell" : "rowheader");
    if (!index) cell.setAttribute("scope", "row");
    cell.dataset.label = label;
    cell.append(document.createElement("span"));
    row.append(cell);
  }
  return row;
}

/**
 * @param {HTMLTableCellElement} cell
 * @param {Cell} value
 */
function setCell(cell, value) {
  if (value instanceof Element) {
    if (cell.firstChild !== value) cell.replaceChildren(value);
    return;
  }
  const { text, state = "", href = "" } = typeof value === "string" ? { text: value } : value;
  let inner = /** @type {HTMLElement} */ (cell.firstElementChild);
  if (href && inner.localName !== "a") {
    inner = document.createElement("a");
    cell.replaceChildren(inner);
  }
  if (href && inner.getAttribute("href") !== href) inner.setAttribute("href", href);
  if (state) {
    inner.className = "state";
    inner.dataset.state = state;
  }
  setText(inner, text);
}

/**
 * @param {HTMLTableSectionElement} body
 * @param {Row[]} rows in their order
 */
export function fill(body, rows) {
  const table = /** @type {HTMLTableElement} */ (body.closest("table"));
  const labels = [...table.rows[0].cells].map((cell) => cell.textContent ?? "");
  const known = new Map([...body.rows].map((row) => [row.dataset.key, row]));
  for (const [index, { key, cells }] of rows.entries()) {
    const row = known.get(String(key)) ?? makeRow(key, labels);
    known.delete(String(key));
    for (const [column, value] of cells.entries()) setCell(row.cells[column], value);
    if (body.rows[index] !== row) body.insertBefore(row, body.rows[index] ?? null);
  }
  for (const row of known.values()) row.remove();
  table.hidden = rows.length === 0;
}
