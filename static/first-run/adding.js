// Tests a camera and adds it to the configuration, or says what to write there. Knows nothing of the page.
import { freeName } from "../shared/camera-name.js";
import { ask } from "../shared/api.js";

const NEEDS_NO_TEST = new Set(["demo:"]);

export class Adding {
  #settings;
  #test;
  #section;
  #showLines;
  #added;

  // settings, test, section: addresses of the API. showLines: is given what to write, and whether a secret is to be kept elsewhere.
  constructor({ settings, test, section, showLines, added }) {
    this.#settings = settings;
    this.#test = test;
    this.#section = section;
    this.#showLines = showLines;
    this.#added = added;
  }

  // Tests a camera, adds it with its title, under a name like it, and returns what to say. Throws a Refusal.
  async add(title, source, say) {
    const found = NEEDS_NO_TEST.has(source.source) ? null : await ask(this.#test, "POST", source);
    if (found) say(`Found ${inWords(found)}. Adding …`);
    const { is_writable: isWritable, cameras, fixed } = await ask(this.#settings);
    const name = freeName(title, new Set([...Object.keys(cameras), ...fixed]));
    const section = title === name ? source : { title, ...source };
    if (!isWritable) {
      this.#showLines(asYaml(name, section), "password" in section);
      return found ? `Found ${inWords(found)}. The lines to add are above.` : "The lines to add are above.";
    }
    await ask(this.#section.replace("NAME", encodeURIComponent(name)), "PUT", section);
    this.#added();
    return `Added: ${title}.`;
  }
}

function inWords({ width, height, fps, description }) {
  return `${width} × ${height}${fps ? ` at ${Math.round(fps)} fps` : ""}${description ? `, ${description}` : ""}`;
}

// Returns the lines of a configuration file; the password is to be kept in the environment.
export function asYaml(name, { title, source, username, password }) {
  const lines = ["cameras:", `  ${name}:`];
  if (title !== undefined) lines.push(`    title: ${scalar(title)}`);
  lines.push(`    source: ${scalar(source)}`);
  if (username !== undefined) lines.push(`    username: ${scalar(username)}`);
  if (password !== undefined) lines.push(`    password: {env: ${name.toUpperCase().replaceAll("-", "_")}_PASSWORD}`);
  return lines.join("\n");
}

// Quoted where it is not plainly a text to YAML; JSON's strings are YAML's.
const scalar = (text) => (/^[a-z/][\w/.:@?=&%+-]*[\w/]$/i.test(text) && !/^(?:true|false|null|yes|no|on|off|y|n)$/i.test(text) ? text : JSON.stringify(text));
