"use strict";
// Copies the line beside a button. The clipboard is there on https and on this machine only; else it is selected.
for (const button of document.querySelectorAll(".copy")) {
  button.addEventListener("click", async () => {
    const line = button.previousElementSibling;
    try {
      await navigator.clipboard.writeText(line.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(line);
    }
  });
}
