// A camera's name in addresses, made of what people call it.

/** @type {Record<string, string>} */
// That Unicode does not take apart.
const LETTERS = { ß: "ss", æ: "ae", œ: "oe", ø: "o", đ: "d", ł: "l", ı: "i" };

/**
 * Returns a name (letters, digits, - and _) like the title that is not taken; "camera" where it has no such
 * letter.
 * @param {string} title
 * @param {Set<string>} taken
 */
export function freeName(title, taken) {
  const bare = title.toLowerCase().normalize("NFKD").replace(/\p{M}/gu, "");
  const plain = bare.replace(/[ßæœøđłı]/g, (letter) => LETTERS[letter]);
  const base = plain.replace(/[^\w-]+/g, "-").replace(/^[-_]+|-+$/g, "").slice(0, 56) || "camera";
  let name = base;
  for (let number = 2; taken.has(name); number++) name = `${base}-${number}`;
  return name;
}
