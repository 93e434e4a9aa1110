// The keyboard: on the picture, its regions and their points, and everywhere on the page for undo and redo.

const STEP_PX = { point: 1, cursor: 5, far: 20 };
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export function listenToKeys(page, svg, view, editor) {
  function take(event) {
    const act = editor.draft ? drawing(event) : changing(event);
    if (!act) return;
    event.preventDefault();
    act();
  }

  const parts = ([right, down], px) => [(right * px) / view.size[0], (down * px) / view.size[1]];

  function drawing({ key, shiftKey }) {
    if (key in ARROWS) return () => moveCursor(parts(ARROWS[key], shiftKey ? STEP_PX.far : STEP_PX.cursor));
    const acts = { " ": () => editor.setPoint(), Enter: () => editor.close(), Escape: () => editor.cancel(), Backspace: takeBack };
    return acts[key];
  }

  function moveCursor([deltaX, deltaY]) {
    const [x, y] = editor.cursor;
    editor.moveCursor([x + deltaX, y + deltaY], true);
  }

  function takeBack() {
    if (editor.draft.points.length) editor.takeBack();
  }

  function changing({ key, shiftKey }) {
    if (!editor.chosen) return null;
    const remove = () => editor.removeActive();
    if (key in ARROWS) return () => move(parts(ARROWS[key], shiftKey ? STEP_PX.far : STEP_PX.point));
    return { Delete: remove, Backspace: remove, Insert: () => editor.insert(), Escape: () => editor.choose(null) }[key];
  }

  function move(delta) {
    const { id, index } = editor.active;
    editor.moveBy(delta, editor.chosen.points, `keys ${id}:${index}`);
  }

  function takeFocus({ target }) {
    const key = target.dataset?.key;
    if (!key || editor.draft) return;
    const [id, index = null] = key.split(":").map(Number);
    if (editor.active.id !== id || editor.active.index !== index) editor.choose(id, index, true);
  }

  function takeShortcut(event) {
    const key = event.key.toLowerCase();
    if (!(event.ctrlKey || event.metaKey) || event.altKey || !"zy".includes(key)) return;
    event.preventDefault();
    const isRedo = key === "y" || event.shiftKey;
    if (editor.draft) {
      if (!isRedo) takeBack();
    } else if (isRedo ? editor.canRedo : editor.canUndo) editor[isRedo ? "redo" : "undo"]();
  }

  svg.addEventListener("keydown", take);
  svg.addEventListener("focusin", takeFocus);
  page.addEventListener("keydown", takeShortcut);
}
