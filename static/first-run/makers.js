// The table of common cameras: searched by name, and its addresses put into the form.

const HOST = /^(?:[a-z]+:\/\/)?(?<host>\[[0-9a-f:]+\]|[\w.-]+)/i;

export function prepareMakers(page) {
  const rows = [...page.querySelectorAll(".makers tbody tr")];
  const said = page.querySelector("#makers-shown");
  const usual = said.textContent;
  const source = page.querySelector("#by-address").elements.namedItem("source");

  page.querySelector("#maker").addEventListener("input", ({ target }) => {
    const words = target.value.toLowerCase().split(/\s+/);
    for (const row of rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
    const count = rows.filter((row) => !row.hidden).length;
    said.textContent = count ? usual : "None of these. The camera's manual or app tells its address; search it for RTSP or ONVIF.";
  });
  page.querySelector(".makers").addEventListener("click", ({ target }) => {
    const pattern = target.closest(".pattern")?.textContent;
    if (pattern) put(source, pattern);
  });
}

// Puts a pattern into the field, for the host that stands there already; what is left to fill in is selected.
function put(source, pattern) {
  const host = HOST.exec(source.value.trim())?.groups.host ?? "ADDRESS";
  source.value = pattern.replace("ADDRESS", host);
  source.focus();
  const rest = /ADDRESS|KEY|CAMERA|PATH|NAME/.exec(source.value);
  if (rest) source.setSelectionRange(rest.index, rest.index + rest[0].length);
}
