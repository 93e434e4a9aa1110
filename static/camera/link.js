// Makes a link to a camera that works for who has it, and copies it. The clipboard is there on https and on this
// machine only; else it is selected.
const form = document.getElementById("link");
const state = document.getElementById("link-state");
const line = form.querySelector("input");
const { camera } = document.querySelector(".camera").dataset;

async function make() {
  const asked = { camera, kind: form.elements.kind.value, expires_in_s: Number(form.elements.expires_in_s.value) };
  const headers = { "Content-Type": "application/json" };
  const answer = await fetch(form.action, { method: "POST", headers, body: JSON.stringify(asked) });
  const told = await answer.json();
  if (!answer.ok) throw new Error(told.detail);
  return told;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    const { url, expires_at } = await make();
    line.value = url;
    line.parentElement.hidden = false;
    line.select();
    const until = `works until ${new Date(expires_at).toLocaleString()}`;
    const isCopied = await navigator.clipboard?.writeText(url).then(() => true, () => false);
    state.textContent = isCopied ? `Copied; ${until}.` : `Copy it; it ${until}.`;
  } catch (error) {
    state.textContent = `There is no link: ${error.message}.`;
  }
});
form.querySelector("button").disabled = false;
