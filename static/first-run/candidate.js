// A camera that may be added: what is known of it, and the fields for what is not.
import { ask } from "../shared/api.js";
import { withoutCredentials } from "../settings/section.js";

const WANTS_LOGIN = /user name|password|forbids this user/; // what cameras that refuse are said to do

export class Candidate {
  #form;
  #adding;
  #camera;
  #discovery;

  // camera: as the search has it, with the address that asks it again; else the form says where it is.
  constructor(form, adding, { camera = null, discovery = "" } = {}) {
    this.#form = form;
    this.#adding = adding;
    this.#camera = camera;
    this.#discovery = discovery;
    if (camera) this.#showStreams();
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#field("source")?.addEventListener("change", () => this.#moveCredentials());
  }

  #field(name) { return this.#form.elements.namedItem(name); }
  #valueOf(name) { return this.#field(name)?.value.trim() ?? ""; }
  get #source() { return this.#form.dataset.source ?? this.#valueOf("source"); }
  get #hasLogin() { return Boolean(this.#valueOf("username") || this.#field("password")?.value); }

  #say(text, isBad = false) {
    const outcome = this.#form.querySelector(".outcome");
    outcome.textContent = text;
    outcome.classList.toggle("wrong", isBad);
  }

  async #submit() {
    if (this.#form.ariaBusy === "true") return;
    if (this.#lacksLogin()) return;
    this.#setBusy(true);
    try {
      await this.#askCamera();
      if (!this.#source) throw new Error(this.#camera ? "The camera tells no stream. Look for its address below." : "Write the camera's address.");
      this.#say("Testing …");
      this.#say(await this.#adding.add(this.#valueOf("name") || this.#form.dataset.name, this.#section(), (text) => this.#say(text)));
    } catch (refusal) {
      this.#say(refusal.message, true);
      if (WANTS_LOGIN.test(refusal.message)) this.#openLogin();
      else if (!this.#source) this.#field("source")?.focus();
    } finally {
      this.#setBusy(false);
    }
  }

  #setBusy(isBusy) {
    this.#form.ariaBusy = String(isBusy);
    this.#form.querySelector("button:not([type])").disabled = isBusy;
  }

  #section() {
    const section = { source: this.#source };
    if (this.#valueOf("username")) section.username = this.#valueOf("username");
    if (this.#field("password")?.value) section.password = this.#field("password").value;
    return section;
  }

  // A camera that tells its streams only to who logs in is not tried without: it would count as a wrong login.
  #lacksLogin() {
    if (!this.#camera?.needs_password || this.#hasLogin) return false;
    this.#say("The camera asks for a user name and password.");
    this.#openLogin();
    return true;
  }

  #openLogin() {
    const fields = this.#form.querySelector(".login-fields");
    if (fields) fields.hidden = false;
    this.#field(this.#valueOf("username") ? "password" : "username")?.focus();
  }

  // Lets the camera say itself where its streams are; where it does not, what is known of its maker stays.
  async #askCamera() {
    if (!this.#camera || this.#camera.are_told || !this.#hasLogin) return;
    this.#say("Asking the camera for its streams …");
    const login = { address: this.#camera.address, username: this.#valueOf("username"), password: this.#field("password").value };
    try {
      [this.#camera] = (await ask(this.#discovery, "POST", login)).onvif;
      this.#showStreams();
    } catch (refusal) {
      if (WANTS_LOGIN.test(refusal.message) || !this.#source) throw refusal;
    }
  }

  #showStreams() {
    const { source_hints: hints, are_told: areTold } = this.#camera;
    this.#field("source").replaceChildren(...hints.map((hint) => new Option(hint, hint)));
    this.#form.querySelector(".streams").hidden = hints.length < 2;
    this.#form.querySelector(".streams span").textContent = areTold ? "Stream" : "Stream, where its maker's cameras use to have it";
  }

  #moveCredentials() {
    const apart = this.#field("source").tagName === "INPUT" && withoutCredentials(this.#valueOf("source"));
    if (!apart) return;
    this.#field("source").value = apart.address;
    this.#field("username").value = apart.username;
    if (apart.password !== null) this.#field("password").value = apart.password;
  }
}
