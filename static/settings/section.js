// A camera's section of the configuration, its sources and its changes. Knows nothing of pages.

// Returns the kind of a source as stream_server/config/source_url.py tells them apart.
export function kindOf(source) {
  const text = String(source ?? "");
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(text)?.[1].toLowerCase();
  if (/^\d{1,3}$|^\/dev\//.test(text)) return "webcam";
  if (scheme === "rtsp" || scheme === "rtsps") return "rtsp";
  if (scheme === "http" || scheme === "https") return /^[^?#]*\.m3u8(?:[?#]|$)/i.test(text) ? "hls" : "http";
  return scheme === "push" || scheme === "demo" ? scheme : "file";
}

// Returns {address, username, password} of an address that somebody pasted; without what is masked, and null where it has none.
export function withoutCredentials(address) {
  const found = /^(?<scheme>[a-z]+:\/\/)(?<user>[^:@/?#]*)(?::(?<password>[^@/?#]*))?@(?<rest>.*)$/i.exec(address);
  if (!found || found.groups.password === "***") return null;
  const { scheme, user, password, rest } = found.groups;
  return { address: scheme + rest, username: decoded(user), password: password === undefined ? null : decoded(password) };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a % that stands for itself
  }
}

// Returns what a section has at a key such as "detect.fps", undefined where it has none.
export const valueAt = (section, key) => key.split(".").reduce((inner, name) => inner?.[name], section);

const isSame = (one, other) => JSON.stringify(one) === JSON.stringify(other);

// Returns the merge patch (RFC 7396) that gives `section` the values by key; undefined takes a key away.
export function patch(section, values) {
  const changes = {};
  for (const [key, value] of Object.entries(values)) {
    const old = valueAt(section, key);
    if (isSame(old, value) || (value === undefined && old === null)) continue;
    put(changes, key, value === undefined ? null : replacing(old, value));
  }
  return changes;
}

// Returns a value that a patch merges to `value`: of a section it has to name what goes.
function replacing(old, value) {
  const isSection = (thing) => thing !== null && typeof thing === "object" && !Array.isArray(thing);
  if (!isSection(old) || !isSection(value)) return value;
  const gone = Object.keys(old).filter((name) => !(name in value));
  return { ...value, ...Object.fromEntries(gone.map((name) => [name, null])) };
}

// Returns the section that has the values by key.
export function sectionOf(values) {
  const section = {};
  for (const [key, value] of Object.entries(values)) if (value !== undefined) put(section, key, value);
  return section;
}

function put(section, key, value) {
  const names = key.split(".");
  const last = names.pop();
  let inner = section;
  for (const name of names) inner = inner[name] ??= {};
  inner[last] = value;
}
