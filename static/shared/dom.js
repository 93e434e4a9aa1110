// Elements of a page: found, of the kind that is said, and changed.

/**
 * Returns the first such element under `root`. Throws where there is none, or it is of another kind.
 * @template {Element} [T=HTMLElement]
 * @param {ParentNode} root
 * @param {string} selector
 * @param {new () => T} [kind]
 */
export function find(root, selector, kind) {
  const element = root.querySelector(selector);
  if (element instanceof (kind ?? HTMLElement)) return /** @type {T} */ (element);
  throw new Error(`This page has no ${selector}.`);
}

/**
 * Returns all such elements under `root` that are of the kind.
 * @template {Element} [T=HTMLElement]
 * @param {ParentNode} root
 * @param {string} selector
 * @param {new () => T} [kind]
 */
export function findAll(root, selector, kind) {
  const isOfKind = (/** @type {Element} */ element) => element instanceof (kind ?? HTMLElement);
  return /** @type {T[]} */ ([...root.querySelectorAll(selector)].filter(isOfKind));
}

/**
 * Returns the element of the page that has the id, as find() does.
 * @template {Element} [T=HTMLElement]
 * @param {string} id
 * @param {new () => T} [kind]
 */
export const part = (id, kind) => find(document, `#${id}`, kind);

/**
 * Returns the element that an event is about, or the nearest such one around it; null where there is none.
 * @param {Event} event
 * @param {string} selector
 */
export function around({ target }, selector) {
  return target instanceof Element ? /** @type {HTMLElement | null} */ (target.closest(selector)) : null;
}

/**
 * Returns a new copy of the one element that a template holds.
 * @param {HTMLTemplateElement} template
 */
export function copyOf(template) {
  const copy = /** @type {DocumentFragment} */ (template.content.cloneNode(true));
  return /** @type {HTMLElement} */ (copy.firstElementChild);
}

/**
 * Changes nothing where nothing changes: what reads the screen does not read it again, and selections stay.
 * @param {Element} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Returns what draws on a canvas.
 * @param {HTMLCanvasElement} canvas
 */
export function pen(canvas) {
  // Null for a canvas of another kind only.
  return /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
}
