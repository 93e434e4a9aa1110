// A camera that may be added: what is known of it, and the fields for what is not.
import { ask } from "../shared/api.js";
import { find, findAll } from "../shared/dom.js";
import { withoutCredentials } from "../settings/section.js";

/** @import { Discovered, FoundOnvif } from "api" */
/** @import { Adding, Section } from "./adding.js" */

const WANTS_LOGIN = /user name|password|forbids this user/; // what cameras that refuse are said to do

export class Candidate {
  #form;
  #adding;
  #camera;
  #discovery;

  /**
   * @param {HTMLFormElement} form
   * @param {Adding} adding
   * @param {object} [found] without it, the form says where the camera is
   * @param {FoundOnvif | null} [found.camera] as the search has it
   * @param {string} [found.discovery] the address that asks it again
   */
  constructor(form, adding, { camera = null, discovery = "" } = {}) {
    this.#form = form;
    this.#adding = adding;
    this.#camera = camera;
    this.#discovery = discovery;
    if (camera) this.#showStreams(camera);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#field("source")?.addEventListener("change", () => this.#moveCredentials());
  }

  /**
   * Returns a field of the form, null where it has none; what it is here holds for a select as well.
   * @param {string} name
   */
  #field(name) { return /** @type {HTMLInputElement | null} */ (this.#form.elements.namedItem(name)); }
  /** @param {string} name */
  #valueOf(name) { return this.#field(name)?.value.trim() ?? ""; }
  get #source() { return this.#form.dataset.source ?? this.#valueOf("source"); }
  get #hasLogin() { return Boolean(this.#valueOf("username") || this.#field("password")?.value); }

  /** @param {string} text */
  #say(text, isBad = false) {
    const outcome = find(this.#form, ".outcome");
    outcome.textContent = text;
    outcome.classList.toggle("wrong", isBad);
  }

  async #submit() {
    if (this.#form.ariaBusy === "true") return;
    if (this.#lacksLogin()) return;
    this.#setBusy(true);
    try {
      await this.#askCamera();
      if (!this.#source) throw new Error(this.#lacksAddress());
      this.#say("Testing …");
      const title = this.#valueOf("name") || (this.#form.dataset.name ?? "");
      this.#say(await this.#adding.add(title, this.#section(), (text) => this.#say(text)));
    } catch (refusal) {
      this.#say(refusal.message, true);
      if (WANTS_LOGIN.test(refusal.message)) this.#openLogin();
      else if (!this.#source) this.#field("source")?.focus();
    } finally {
      this.#setBusy(false);
    }
  }

  #lacksAddress() {
    if (this.#camera) return "The camera tells no stream. Look for its address below.";
    return "Write the camera's address.";
  }

  /** @param {boolean} isBusy */
  #setBusy(isBusy) {
    this.#form.ariaBusy = String(isBusy);
    find(this.#form, "button:not([type])", HTMLButtonElement).disabled = isBusy;
  }

  #section() {
    /** @type {Section} */
    const section = { source: this.#source };
    const [username, password] = [this.#valueOf("username"), this.#field("password")?.value];
    if (username) section.username = username;
    if (password) section.password = password;
    return section;
  }

  // A camera that tells its streams only to who logs in is not tried without: it would count as a wrong
  // login.
  #lacksLogin() {
    if (!this.#camera?.needs_password || this.#hasLogin) return false;
    this.#say("The camera asks for a user name and password.");
    this.#openLogin();
    return true;
  }

  #openLogin() {
    for (const fields of findAll(this.#form, ".login-fields")) fields.hidden = false;
    this.#field(this.#valueOf("username") ? "password" : "username")?.focus();
  }

  // Lets the camera say itself where its streams are; where it does not, what is known of its maker stays.
  async #askCamera() {
    if (!this.#camera || this.#camera.are_told || !this.#hasLogin) return;
    this.#say("Asking the camera for its streams …");
    const { address } = this.#camera;
    const login = {
      address, username: this.#valueOf("username"), password: this.#field("password")?.value ?? "",
    };
    try {
      /** @type {Discovered} */
      const { onvif: [camera] } = await ask(this.#discovery, "POST", login);
      this.#camera = camera;
      this.#showStreams(camera);
    } catch (refusal) {
      if (WANTS_LOGIN.test(refusal.message) || !this.#source) throw refusal;
    }
  }

  /** @param {FoundOnvif} camera */
  #showStreams({ source_hints: hints, are_told: areTold }) {
    this.#field("source")?.replaceChildren(...hints.map((hint) => new Option(hint, hint)));
    const usual = "Stream, where its maker's cameras use to have it";
    find(this.#form, ".streams").hidden = hints.length < 2;
    find(this.#form, ".streams span").textContent = areTold ? "Stream" : usual;
  }

  #moveCredentials() {
    const [source, username, password] = ["source", "username", "password"].map((name) => this.#field(name));
    const apart = source?.tagName === "INPUT" && withoutCredentials(source.value.trim());
    if (!apart || !username || !password) return;
    source.value = apart.address;
    username.value = apart.username;
    if (apart.password !== null) password.value = apart.password;
  }
}
