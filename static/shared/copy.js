"use strict";
// Copies the lines beside a button. The clipboard is there on https and on this machine only; else they are
// selected.
for (const button of document.querySelectorAll(".copy")) {
  const name = button.textContent;
  button.addEventListener("click", async () => {
    const lines = /** @type {Element} */ (button.previousElementSibling);
    try {
      await navigator.clipboard.writeText(lines.textContent ?? "");
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = name; }, 2000);
    } catch {
      getSelection()?.selectAllChildren(lines);
    }
  });
}
