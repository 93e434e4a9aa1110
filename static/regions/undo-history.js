// What was drawn, step by step: a state is never changed, only followed by another.

/** @template State */
export class History {
  /** @type {State[]} */
  #past = [];
  /** @type {State[]} */
  #future = [];
  /** @type {unknown} */
  #step = null;
  #saved;

  /** @param {State} state */
  constructor(state) {
    this.now = this.#saved = state;
  }

  get canUndo() { return this.#past.length > 0; }
  get canRedo() { return this.#future.length > 0; }
  get isSaved() { return this.now === this.#saved; }

  /**
   * Goes on to a state.
   * @param {State} state
   * @param {unknown} step what belongs to one (a drag, arrow keys at one point) is undone at once
   */
  go(state, step = null) {
    if (step === null || step !== this.#step) this.#past.push(this.now);
    this.#future = [];
    this.#step = step;
    this.now = state;
  }

  undo() { this.#turn(this.#past, this.#future); }
  redo() { this.#turn(this.#future, this.#past); }

  /**
   * Takes a state, the present one or an earlier one, for what is kept on the server.
   * @param {State} state
   */
  save(state) { this.#saved = state; }

  // Lets the next step be one of its own.
  endStep() { this.#step = null; }

  /**
   * @param {State[]} from
   * @param {State[]} to
   */
  #turn(from, to) {
    const [state] = from.splice(-1);
    if (state === undefined) return;
    to.push(this.now);
    this.now = state;
    this.#step = null;
  }
}
