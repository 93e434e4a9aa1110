// What moves, this browser's camera or a video, with its frames looked at by the server over one WebSocket,
// the newest first.

import { pen } from "../shared/dom.js";

/** @import { ImageDetections } from "api" */
/** @import { Picture } from "../shared/boxes.js" */
/**
 * @typedef {object} Analysed a frame with its answer
 * @property {Picture & {image: HTMLCanvasElement}} picture
 * @property {ImageDetections} result
 * @property {number} latencyMs
 * @property {number} fps how many are answered in a second
 */

const SENT_WIDTH = 640; // wider ones are found no better by a model that looks at 512 pixels, and take longer
const MAX_UNANSWERED = 2; // one with the detector and one on the way: more would only be older
const COUNTED_MS = 2000;
const WAIT_MS = [500, 8000]; // before the next try: doubling from the first to the last

// A camera that is on, or a video that plays again and again, until stop(). Its events: "frame" for each of
// its frames, `picture` being the newest; "answer" with `analysed` (picture, result, latencyMs, fps);
// "trouble" with `reason`, until the next answer; "ended" with `reason`.
export class Footage extends EventTarget {
  #url;
  #stream;
  #video;
  /** @type {WebSocket | null} */
  #socket = null;
  /** @type {Map<number, {canvas: HTMLCanvasElement, sentAt: number}>} */
  #sent = new Map(); // by id: the canvas of a frame without an answer, and when it went off
  /** @type {number[]} */
  #answered = []; // when the last answers came
  #next = 1;
  #isOn = true;
  #isTaking = false;
  #waitMs = WAIT_MS[0];
  #timer = 0;
  /** @type {Analysed | null} */
  analysed = null;
  reason = "";

  /**
   * Returns a camera that is on. Throws an Error that says why there is none.
   * @param {string} url
   */
  static async ofCamera(url) {
    if (!navigator.mediaDevices?.getUserMedia) {
      throw new Error("Browsers give pages their camera over https only, or on the server's own machine.");
    }
    let stream;
    try {
      const wanted = { facingMode: { ideal: "environment" }, width: { ideal: 1280 }, height: { ideal: 720 } };
      stream = await navigator.mediaDevices.getUserMedia({ video: wanted });
    } catch (error) {
      throw new Error(refusal(error));
    }
    const video = document.createElement("video");
    Object.assign(video, { muted: true, playsInline: true, srcObject: stream });
    // Is interrupted where the page is left; what it shows, its frames tell.
    await video.play().catch(() => {});
    return new Footage(url, video, stream);
  }

  /**
   * Returns a video that plays. Throws an Error where the browser cannot.
   * @param {string} url
   * @param {File} file
   */
  static async ofVideo(url, file) {
    const video = document.createElement("video");
    Object.assign(video, { muted: true, playsInline: true, loop: true, src: URL.createObjectURL(file) });
    try {
      await video.play();
    } catch {
      URL.revokeObjectURL(video.src);
      throw new Error(`${file.name}: this browser cannot play it; the page Videos takes it.`);
    }
    return new Footage(url, video, null, file);
  }

  /**
   * @param {string} url
   * @param {HTMLVideoElement} video
   * @param {MediaStream | null} stream a camera's, null for a video
   * @param {File | null} file the video, null for a camera
   */
  constructor(url, video, stream, file = null) {
    super();
    this.#url = url;
    this.#stream = stream;
    this.#video = video;
    this.file = file;
    const gone = () => this.#end("The camera was unplugged, or is not allowed any more.");
    for (const track of stream?.getTracks() ?? []) track.addEventListener("ended", gone);
    this.#connect();
    this.#await();
  }

  get what() {
    return this.file ? "video" : "camera";
  }

  get name() {
    return this.file?.name ?? "camera.jpg";
  }

  get picture() {
    const { videoWidth: width, videoHeight: height } = this.#video;
    return { image: this.#video, width, height };
  }

  stop() {
    this.#isOn = false;
    clearTimeout(this.#timer);
    this.#socket?.close();
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#video.srcObject = null;
    if (this.file) URL.revokeObjectURL(this.#video.src);
    this.#video.removeAttribute("src");
  }

  /** @param {string} reason */
  #end(reason) {
    this.stop();
    this.#tell("ended", reason);
  }

  /**
   * @param {string} event
   * @param {string} reason
   */
  #tell(event, reason) {
    this.reason = reason;
    this.dispatchEvent(new Event(event));
  }

  #connect() {
    const url = new URL(this.#url, location.href);
    url.protocol = url.protocol.replace("http", "ws");
    this.#socket = new WebSocket(url);
    this.#socket.onmessage = ({ data }) => this.#take(JSON.parse(data));
    const silent = "the server does not answer, or has no room for another";
    this.#socket.onclose = ({ reason }) => this.#lost(reason || silent);
  }

  /** @param {string} reason */
  #lost(reason) {
    this.#sent.clear();
    if (!this.#isOn) return;
    this.#tell("trouble", reason);
    this.#timer = setTimeout(() => this.#connect(), this.#waitMs);
    this.#waitMs = Math.min(2 * this.#waitMs, WAIT_MS[1]);
  }

  #await() {
    // Older Firefox has the latter only.
    const atNext = this.#video.requestVideoFrameCallback?.bind(this.#video) ?? requestAnimationFrame;
    atNext(() => {
      if (!this.#isOn) return;
      this.#await();
      this.dispatchEvent(new Event("frame"));
      this.#send();
    });
  }

  async #send() {
    const socket = this.#socket;
    if (this.#isTaking || this.#sent.size >= MAX_UNANSWERED || !socket || !isOpen(socket)) return;
    this.#isTaking = true;
    const sentAt = performance.now();
    const canvas = this.#copy();
    /** @type {Blob | null} */
    const jpeg = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.8));
    this.#isTaking = false;
    if (!jpeg || !this.#isOn || socket !== this.#socket || !isOpen(socket)) return;
    const id = this.#next++;
    this.#sent.set(id, { canvas, sentAt });
    socket.send(JSON.stringify({ id }));
    socket.send(jpeg);
  }

  #copy() {
    const { image, width, height } = this.picture;
    const scale = Math.min(1, SENT_WIDTH / width);
    const canvas = document.createElement("canvas");
    Object.assign(canvas, { width: Math.round(width * scale), height: Math.round(height * scale) });
    pen(canvas).drawImage(image, 0, 0, canvas.width, canvas.height);
    return canvas;
  }

  /** @param {{id: number, result?: ImageDetections, error?: string}} answer */
  #take({ id, result, error }) {
    const sent = this.#sent.get(id);
    this.#sent.delete(id);
    if (error) this.#tell("trouble", error);
    if (!result || !sent) return;
    this.#waitMs = WAIT_MS[0];
    const now = performance.now();
    this.#answered = [...this.#answered.filter((at) => now - at < COUNTED_MS), now];
    const { canvas } = sent;
    this.analysed = {
      picture: { image: canvas, width: canvas.width, height: canvas.height },
      result, latencyMs: now - sent.sentAt, fps: this.#rate(),
    };
    this.dispatchEvent(new Event("answer"));
  }

  #rate() {
    const [first, last] = [this.#answered[0], this.#answered[this.#answered.length - 1]];
    return last > first ? (1000 * (this.#answered.length - 1)) / (last - first) : 0;
  }
}

const isOpen = (/** @type {WebSocket} */ socket) => socket.readyState === WebSocket.OPEN;

/** @param {Error} error */
function refusal({ name, message }) {
  /** @type {Record<string, string>} */
  const known = {
    NotAllowedError: "The camera was not allowed. Allow it in the browser's address bar, then try again.",
    NotFoundError: "There is no camera here.",
    NotReadableError: "The camera is in use by another program, or does not work.",
  };
  return known[name] ?? `The camera cannot be used: ${message}.`;
}
