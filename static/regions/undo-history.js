// What was drawn, step by step: a state is never changed, only followed by another.

export class History {
  #past = [];
  #future = [];
  #step = null;
  #saved;

  constructor(state) {
    this.now = this.#saved = state;
  }

  get canUndo() { return this.#past.length > 0; }
  get canRedo() { return this.#future.length > 0; }
  get isSaved() { return this.now === this.#saved; }

  // Goes on to `state`; what belongs to one `step` (a drag, arrow keys at one point) is undone at once.
  go(state, step = null) {
    if (step === null || step !== this.#step) this.#past.push(this.now);
    this.#future = [];
    this.#step = step;
    this.now = state;
  }

  undo() { this.#turn(this.#past, this.#future); }
  redo() { this.#turn(this.#future, this.#past); }

  // Takes `state`, the present one or an earlier one, for what is kept on the server.
  save(state) { this.#saved = state; }

  // Lets the next step be one of its own.
  endStep() { this.#step = null; }

  #turn(from, to) {
    if (!from.length) return;
    to.push(this.now);
    this.now = from.pop();
    this.#step = null;
  }
}
