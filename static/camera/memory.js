// What a page remembers in this browser; where the browser keeps nothing, for as long as the page is open.

export class Memory {
  #key;
  #values;

  constructor(key) {
    this.#key = key;
    try {
      this.#values = JSON.parse(localStorage.getItem(key)) ?? {};
    } catch {
      this.#values = {}; // forbidden, or not ours
    }
  }

  get(name, otherwise) { return this.#values[name] ?? otherwise; }

  set(name, value) {
    this.#values[name] = value;
    try {
      localStorage.setItem(this.#key, JSON.stringify(this.#values));
    } catch {
      // Forbidden or full.
    }
  }
}
