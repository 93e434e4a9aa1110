// A camera's section of the configuration, its sources and its changes. Knows nothing of pages.

/** @typedef {Record<string, unknown>} Section as in the file, or its values by key such as "detect.fps" */

/**
 * Returns the kind of a source as stream_server/config/source_url.py tells them apart.
 * @param {unknown} source
 */
export function kindOf(source) {
  const text = String(source ?? "");
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(text)?.[1].toLowerCase();
  if (/^\d{1,3}$|^\/dev\//.test(text)) return "webcam";
  if (scheme === "rtsp" || scheme === "rtsps") return "rtsp";
  if (scheme === "http" || scheme === "https") return /^[^?#]*\.m3u8(?:[?#]|$)/i.test(text) ? "hls" : "http";
  return scheme === "push" || scheme === "demo" ? scheme : "file";
}

const LOGIN = /^(?<scheme>[a-z]+:\/\/)(?<user>[^:@/?#]*)(?::(?<password>[^@/?#]*))?@(?<rest>.*)$/i;

/**
 * Takes an address apart that somebody pasted; null where it has no credentials, or masked ones.
 * @param {string} address
 */
export function withoutCredentials(address) {
  const found = LOGIN.exec(address)?.groups;
  if (!found || found.password === "***") return null;
  const { scheme, user, password, rest } = found;
  const secret = password === undefined ? null : decoded(password);
  return { address: scheme + rest, username: decoded(user), password: secret };
}

/** @param {string} text */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a % that stands for itself
  }
}

/**
 * Returns what a section has at a key such as "detect.fps", undefined where it has none.
 * @param {Section} section
 * @param {string} key
 * @returns {any} what a user wrote into the file
 */
export const valueAt = (section, key) => (
  key.split(".").reduce((inner, name) => inner?.[name], /** @type {any} */ (section))
);

/** @type {(one: unknown, other: unknown) => boolean} */
const isSame = (one, other) => JSON.stringify(one) === JSON.stringify(other);

/**
 * Returns the merge patch (RFC 7396) that gives `section` the values by key; undefined takes a key away.
 * @param {Section} section
 * @param {Section} values
 */
export function patch(section, values) {
  /** @type {Section} */
  const changes = {};
  for (const [key, value] of Object.entries(values)) {
    const old = valueAt(section, key);
    if (isSame(old, value) || (value === undefined && old === null)) continue;
    put(changes, key, value === undefined ? null : replacing(old, value));
  }
  return changes;
}

/** @type {(thing: unknown) => thing is Section} */
const isSection = (thing) => thing !== null && typeof thing === "object" && !Array.isArray(thing);

/**
 * Returns a value that a patch merges to `value`: of a section it has to name what goes.
 * @param {unknown} old
 * @param {unknown} value
 */
function replacing(old, value) {
  if (!isSection(old) || !isSection(value)) return value;
  const gone = Object.keys(old).filter((name) => !(name in value));
  return { ...value, ...Object.fromEntries(gone.map((name) => [name, null])) };
}

/**
 * Returns the section that has the values by key.
 * @param {Section} values
 */
export function sectionOf(values) {
  /** @type {Section} */
  const section = {};
  for (const [key, value] of Object.entries(values)) if (value !== undefined) put(section, key, value);
  return section;
}

/**
 * @param {Section} section
 * @param {string} key
 * @param {unknown} value
 */
function put(section, key, value) {
  const names = key.split(".");
  let inner = section;
  for (const name of names.slice(0, -1)) inner = /** @type {Section} */ (inner[name] ??= {});
  inner[names[names.length - 1]] = value;
}
