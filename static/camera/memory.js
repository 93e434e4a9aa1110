// What a page remembers in this browser; where the browser keeps nothing, for as long as the page is open.

export class Memory {
  #key;
  /** @type {Record<string, any>} */
  #values;

  /** @param {string} key */
  constructor(key) {
    this.#key = key;
    try {
      this.#values = JSON.parse(localStorage.getItem(key) ?? "null") ?? {};
    } catch {
      this.#values = {}; // forbidden, or not ours
    }
  }

  /**
   * @template T
   * @param {string} name
   * @param {T} otherwise
   * @returns {T}
   */
  get(name, otherwise) { return this.#values[name] ?? otherwise; }

  /**
   * @param {string} name
   * @param {unknown} value
   */
  set(name, value) {
    this.#values[name] = value;
    try {
      localStorage.setItem(this.#key, JSON.stringify(this.#values));
    } catch {
      // Forbidden or full.
    }
  }
}
