// Tests a camera and adds it to the configuration, or says what to write there. Knows nothing of the page.
import { freeName } from "../shared/camera-name.js";
import { ask } from "../shared/api.js";

/** @import { Finding, SettingsInfo } from "api" */
/** @typedef {{title?: string, source: string, username?: string, password?: string}} Section */

const NEEDS_NO_TEST = new Set(["demo:"]);

export class Adding {
  #settings;
  #test;
  #section;
  #showLines;
  #added;

  /**
   * @param {object} parts
   * @param {string} parts.settings address of the API, as the next two
   * @param {string} parts.test
   * @param {string} parts.section
   * @param {(lines: string, hasSecret: boolean) => void} parts.showLines hasSecret: to be kept elsewhere
   * @param {() => void} parts.added
   */
  constructor({ settings, test, section, showLines, added }) {
    this.#settings = settings;
    this.#test = test;
    this.#section = section;
    this.#showLines = showLines;
    this.#added = added;
  }

  /**
   * Tests a camera, adds it with its title, under a name like it, and returns what to say. Throws a Refusal.
   * @param {string} title
   * @param {Section} source
   * @param {(text: string) => void} say
   */
  async add(title, source, say) {
    /** @type {Finding | null} */
    const found = NEEDS_NO_TEST.has(source.source) ? null : await ask(this.#test, "POST", source);
    if (found) say(`Found ${inWords(found)}. Adding …`);
    /** @type {SettingsInfo} */
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

/** @param {Finding} found */
function inWords({ width, height, fps, description }) {
  const rate = fps ? ` at ${Math.round(fps)} fps` : "";
  return `${width} × ${height}${rate}${description ? `, ${description}` : ""}`;
}

/**
 * Returns the lines of a configuration file; the password is to be kept in the environment.
 * @param {string} name
 * @param {Section} section
 */
export function asYaml(name, { title, source, username, password }) {
  const lines = ["cameras:", `  ${name}:`];
  if (title !== undefined) lines.push(`    title: ${scalar(title)}`);
  lines.push(`    source: ${scalar(source)}`);
  if (username !== undefined) lines.push(`    username: ${scalar(username)}`);
  const variable = `${name.toUpperCase().replaceAll("-", "_")}_PASSWORD`;
  if (password !== undefined) lines.push(`    password: {env: ${variable}}`);
  return lines.join("\n");
}

const PLAIN = /^[a-z/][\w/.:@?=&%+-]*[\w/]$/i;
const WORD_OF_YAML = /^(?:true|false|null|yes|no|on|off|y|n)$/i;

/**
 * Quoted where it is not plainly a text to YAML; JSON's strings are YAML's.
 * @param {string} text
 */
const scalar = (text) => (PLAIN.test(text) && !WORD_OF_YAML.test(text) ? text : JSON.stringify(text));
