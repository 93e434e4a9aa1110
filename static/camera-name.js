// A camera's name in addresses, made of what people call it.

// Returns a name (letters, digits, - and _) like the title that is not taken; "camera" where it has no such letter.
export function freeName(title, taken) {
  const plain = title.normalize("NFKD").replace(/\p{M}/gu, "");
  const base = plain.replace(/[^\w-]+/g, "-").replace(/^[-_]+|-+$/g, "").toLowerCase().slice(0, 56) || "camera";
  let name = base;
  for (let number = 2; taken.has(name); number++) name = `${base}-${number}`;
  return name;
}
