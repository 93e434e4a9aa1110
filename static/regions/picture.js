// The camera's picture, and what the detector finds in it wherever it is: regions change what counts, not
// what is seen.

/** @import { DetectAnswer, Detection } from "api" */

const EVERY_MS = 2000;

// A picture that is fetched on refresh(), and again and again while isLive. Its event "change" comes with
// each picture, answer or failure: `found`, `problem` (why there is no picture), `blindness` (why nothing is
// looked for).
export class LivePicture extends EventTarget {
  #image;
  #url;
  #detector;
  #timer = 0;
  #asked = 0;
  /** @type {Detection[]} */
  found = [];
  problem = "";
  blindness = "";

  /**
   * @param {HTMLImageElement} image
   * @param {string} url
   * @param {string} detector the address that finds objects in a picture; empty: nothing is looked for
   */
  constructor(image, url, detector) {
    super();
    this.#image = image;
    this.#url = url;
    this.#detector = detector;
    document.addEventListener("visibilitychange", () => this.#again());
  }

  isLive = true;

  /** @param {boolean} isLive */
  setLive(isLive) {
    this.isLive = isLive;
    this.#again();
  }

  // Fetches the newest picture; one that was asked for before and comes later is not shown.
  async refresh() {
    const number = ++this.#asked;
    clearTimeout(this.#timer);
    try {
      const picture = await fetched(this.#url);
      const found = await this.#look(picture);
      if (number !== this.#asked) return;
      await this.#show(picture);
      this.found = found;
      this.problem = "";
    } catch (error) {
      if (number !== this.#asked) return;
      this.problem = error.message;
    }
    this.dispatchEvent(new Event("change"));
    this.#again();
  }

  #again() {
    clearTimeout(this.#timer);
    if (this.isLive && !document.hidden) this.#timer = setTimeout(() => this.refresh(), EVERY_MS);
  }

  /** @param {Blob} picture */
  async #show(picture) {
    const old = this.#image.src;
    this.#image.src = URL.createObjectURL(picture);
    await this.#image.decode().catch(() => { throw new Error("The picture cannot be shown."); });
    if (old.startsWith("blob:")) URL.revokeObjectURL(old);
  }

  /** @param {Blob} picture */
  async #look(picture) {
    if (!this.#detector) return [];
    const headers = { "Content-Type": "image/jpeg", Accept: "application/json" };
    const request = { method: "POST", body: picture, headers };
    const answer = await fetch(this.#detector, request).catch(() => null);
    this.blindness = answer?.ok ? "" : "The detector does not answer.";
    if (!answer?.ok) return [];
    /** @type {DetectAnswer} */
    const { images } = await answer.json();
    return images[0].detections;
  }
}

/** @param {string} url */
async function fetched(url) {
  const headers = { Accept: "application/problem+json, image/jpeg;q=0.9" };
  const answer = await fetch(url, { cache: "no-store", headers }).catch(() => null);
  if (!answer) throw new Error("The server does not answer.");
  if (answer.status === 401) throw new Error("Your login has ended. Load the page again to log in.");
  if (answer.status === 404) throw new Error("There is no such camera any more.");
  if (!answer.ok) throw new Error("The camera shows no picture right now.");
  return answer.blob();
}
