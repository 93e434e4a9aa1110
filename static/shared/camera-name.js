// A camera's name in addresses, made of what people call it.

const LETTERS = { ß: "ss", æ: "ae", œ: "oe", ø: "o", đ: "d", ł: "l", ı: "i" }; // that Unicode does not take apart

// Returns a name (letters, digits, - and _) like the title that is not taken; "camera" where it has no such letter.
export function freeName(title, taken) {
  const plain = title.toLowerCase().normalize("NFKD").replace(/\p{M}/gu, "").replace(/[ßæœøđłı]/g, (letter) => LETTERS[letter]);
  const base = plain.replace(/[^\w-]+/g, "-").replace(/^[-_]+|-+$/g, "").slice(0, 56) || "camera";
  let name = base;
  for (let number = 2; taken.has(name); number++) name = `${base}-${number}`;
  return name;
}
