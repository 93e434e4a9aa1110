// Which of what is found is shown: a least score, and a switch for each class that was seen. Remembered in the browser.

export class Filter {
  #score = document.getElementById("score");
  #text = document.getElementById("score-text");
  #chips = document.getElementById("classes");
  #switches = new Map(); // by label: its checkbox and its count
  #memory;
  #colours;

  // memory: a Memory. colours: of the class ids. changed: called when somebody has moved or switched something.
  constructor(memory, colours, changed) {
    this.#memory = memory;
    this.#colours = colours;
    this.#score.value = memory.get("score", 0);
    this.#showScore();
    for (const [label, classId] of Object.entries(memory.get("hidden", {}))) this.#add(label, classId, false);
    this.#score.addEventListener("input", () => { this.#showScore(); this.#remember(); changed(); });
    this.#chips.addEventListener("change", () => { this.#remember(); changed(); });
  }

  // Returns those of `found` (each with label and score) that are to be shown.
  keep(found) {
    const least = this.#score.valueAsNumber / 100;
    return found.filter(({ label, score }) => score >= least && this.shows(label));
  }

  shows(label) { return this.#switches.get(label)?.box.checked ?? true; }

  // Offers switches for these classes too: {label: class id}.
  offer(classes) {
    for (const [label, classId] of Object.entries(classes)) if (!this.#switches.has(label)) this.#add(label, classId, true);
  }

  // Shows how many there are of each class now: {label: number}.
  count(objects) {
    for (const [label, { count }] of this.#switches) setText(count, String(objects[label] ?? 0));
  }

  #showScore() { this.#text.textContent = `${this.#score.value} %`; }

  #add(label, classId, isOn) {
    const chip = Object.assign(document.createElement("label"), { className: "chip" });
    const box = Object.assign(document.createElement("input"), { type: "checkbox", checked: isOn });
    const count = Object.assign(document.createElement("span"), { className: "muted count", textContent: "0" });
    chip.append(box, swatch(this.#colours, classId), label, count);
    this.#switches.set(label, { box, count, classId });
    document.getElementById("no-classes")?.remove();
    // Where it belongs by the alphabet, and nothing else moves in the tree: what has the focus keeps it.
    const after = [...this.#switches].filter(([each]) => each.localeCompare(label) > 0).sort(([a], [b]) => a.localeCompare(b))[0];
    this.#chips.insertBefore(chip, after ? after[1].box.parentElement : null);
  }

  #remember() {
    const off = [...this.#switches].filter(([, { box }]) => !box.checked);
    this.#memory.set("hidden", Object.fromEntries(off.map(([label, { classId }]) => [label, classId])));
    this.#memory.set("score", this.#score.valueAsNumber);
  }
}

// A square in the colour of a class.
export function swatch(colours, classId) {
  const square = Object.assign(document.createElement("span"), { className: "swatch" });
  square.style.backgroundColor = colours[classId % colours.length];
  return square;
}

// Changes nothing where nothing changes: screen readers and selections stay where they are.
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
