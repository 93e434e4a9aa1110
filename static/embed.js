// A camera's live picture in any page:
//
// Where the script stands:   <script src="http://server:8080/static/embed.js" data-camera="front"></script>
// Once the script was loaded:   <stream-camera camera="front" overlay="none" fps="5"></stream-camera>
//
// Attributes (data-… at the script): camera, overlay, fps, quality, labels, caption, boxes as in the stream's
// URL, and width: pixels, "full" for the camera's own; without it what is sharp at the size shown. It plays
// while it can be seen. A stream that fails or stalls is opened again, the next way if this one never worked:
// MJPEG, then a WebSocket (the first way where a page shows more than four cameras: browsers open six
// connections to a server, a WebSocket carries all cameras), then snapshots. Pages of other sites need
// `server.embed_origins`, else they get snapshots. "shared" takes the WebSocket first in any case; a <canvas>
// inside, in place of an <img>, costs the browser half. Where not everybody may watch: token, or signature
// (of a link), lets the page in as it does in the stream's URL. With each picture that is to be seen it
// dispatches "picture", its `detail` telling when that was taken (`takenAt`: seconds since 1970 on the
// server's clock; null for a snapshot).
(() => {
  const script = /** @type {HTMLScriptElement} */ (document.currentScript);
  const home = new URL("..", script.src).href;
  const WISHES = ["overlay", "fps", "quality", "labels", "caption", "boxes"];
  const KEYS = ["token", "signature"];
  const ATTRIBUTES = ["camera", "server", "width", ...KEYS, ...WISHES];
  const WIDTHS = [320, 640, 960, 1280, 1920];
  const MAX_STREAMS = 4;
  const STALLED_MS = 12000; // the server sends a picture again after 5 s without a newer one
  const WORKED_MS = 5000;
  const ANSWERS_WITHIN_MS = 5000;
  const WAIT_MS = [500, 8000]; // before the next try: doubling from the first to the last
  const SNAPSHOT_EVERY_MS = 1000;
  const SNAPSHOTS_FOR_MS = 30000; // until the better ways are tried again
  const HEADER_BYTES = 16; // of a picture on the wall; see stream_server/web/live/wall.py
  const TAKEN_AT = 8; // in it

  /**
   * Waits, at most until `signal` aborts; never rejects.
   * @type {(ms: number, signal: AbortSignal) => Promise<void>}
   */
  const pause = (ms, signal) => new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener("abort", end);
  });

  // The ways to get pictures: each shows them until it ends, rejects when it fails, stops when `signal`
  // aborts; one resolves to true if the server has said that there is nothing more to show, and no way is to
  // blame.

  /** @typedef {(camera: StreamCamera, signal: AbortSignal) => Promise<boolean | void>} Way */

  /** @type {Way} */
  async function mjpeg(camera, signal) {
    const answer = await fetch(camera.url("stream.mjpg"), { signal, cache: "no-store" });
    if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
    const reader = /** @type {ReadableStream<Uint8Array<ArrayBuffer>>} */ (answer.body).getReader();
    let bytes = new Uint8Array(0);
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const parts = cutParts(concat(bytes, value));
      bytes = parts.rest;
      if (parts.newest) await camera.show(new Blob([parts.newest], { type: "image/jpeg" }), parts.takenAt);
    }
  }

  /**
   * @param {Uint8Array<ArrayBuffer>} first
   * @param {Uint8Array<ArrayBuffer>} second
   */
  function concat(first, second) {
    const whole = new Uint8Array(first.length + second.length);
    whole.set(first);
    whole.set(second, first.length);
    return whole;
  }

  /**
   * Returns the newest whole picture in a multipart stream's bytes, if any, when it was taken, and what
   * follows it.
   * @param {Uint8Array<ArrayBuffer>} bytes
   */
  function cutParts(bytes) {
    let newest = null;
    let takenAt = null;
    for (;;) {
      const head = new TextDecoder("latin1").decode(bytes.subarray(0, 2048));
      const start = head.indexOf("\r\n\r\n") + 4;
      const length = Number(/content-length: *(\d+)/i.exec(head.slice(0, start))?.[1]);
      if (start < 4 || !(bytes.length >= start + length)) return { newest, takenAt, rest: bytes };
      newest = bytes.subarray(start, start + length);
      takenAt = Number(/x-timestamp: *([\d.]+)/i.exec(head.slice(0, start))?.[1]) || null;
      bytes = bytes.subarray(start + length);
    }
  }

  /** @type {Way} */
  async function snapshots(camera, signal) {
    const until = performance.now() + SNAPSHOTS_FOR_MS;
    while (performance.now() < until && !signal.aborted) {
      await camera.load(camera.url("snapshot.jpg", { t: String(Date.now()) }));
      await pause(SNAPSHOT_EVERY_MS, signal);
    }
  }

  /** @type {Way} */
  function websocket(camera, signal) {
    return new Promise((resolve, reject) => {
      const wall = Wall.of(camera.server, camera.keys());
      const number = wall.join(camera, resolve, reject);
      signal.addEventListener("abort", () => { wall.leave(number); resolve(); }, { once: true });
    });
  }

  /**
   * @typedef {object} Guest
   * @property {StreamCamera} camera
   * @property {(isOver?: boolean) => void} resolve
   * @property {(error?: Error) => void} reject
   */

  // The one WebSocket over which a page gets the pictures of all its cameras.
  class Wall {
    /** @type {Map<string, Wall>} */
    static #walls = new Map();
    static #next = 1;
    /** @type {Map<number, Guest>} */
    #guests = new Map();
    #heardAt = performance.now();
    #asks = 0;

    /**
     * Returns the wall of a server, a new one where it is silent: its connection may be gone without a word.
     * @param {string} server
     * @param {Record<string, string>} keys
     */
    static of(server, keys) {
      const url = new URL("api/v1/wall", server);
      url.search = new URLSearchParams(keys).toString();
      url.protocol = url.protocol.replace("http", "ws");
      const old = Wall.#walls.get(url.href);
      if (old && performance.now() - old.#heardAt < STALLED_MS / 2) return old;
      if (old) old.#end(new Error("the server is silent"));
      return new Wall(url.href);
    }

    /** @param {string} url */
    constructor(url) {
      Wall.#walls.set(url, this);
      this.url = url;
      this.socket = new WebSocket(url);
      this.socket.binaryType = "arraybuffer";
      this.socket.onopen = () => this.#ask();
      this.socket.onmessage = ({ data }) => this.#take(data);
      this.socket.onclose = ({ reason }) => this.#end(new Error(reason || "the connection ended"));
    }

    /**
     * @param {StreamCamera} camera
     * @param {Guest["resolve"]} resolve
     * @param {Guest["reject"]} reject
     */
    join(camera, resolve, reject) {
      const number = Wall.#next++;
      this.#guests.set(number, { camera, resolve, reject });
      this.#ask();
      return number;
    }

    /** @param {number} number */
    leave(number) {
      if (!this.#guests.delete(number)) return;
      if (this.#guests.size) this.#ask();
      else this.#end();
    }

    // Tells the server who is here, once for all who come or leave at the same time.
    async #ask() {
      const asks = ++this.#asks;
      await null;
      if (asks !== this.#asks || this.socket.readyState !== WebSocket.OPEN) return;
      const cameras = [...this.#guests].map(([id, { camera }]) => (
        { id, camera: camera.camera, ...camera.wishes() }
      ));
      this.socket.send(JSON.stringify({ cameras }));
    }

    /** @param {string | ArrayBuffer} data */
    async #take(data) {
      this.#heardAt = performance.now();
      if (typeof data === "string") {
        const number = JSON.parse(data).ended;
        this.#guests.get(number)?.resolve(true);
        this.leave(number);
        return;
      }
      const header = new DataView(data);
      const number = header.getUint32(0);
      const jpeg = new Blob([new Uint8Array(data, HEADER_BYTES)], { type: "image/jpeg" });
      const shown = this.#guests.get(number)?.camera.show(jpeg, header.getFloat64(TAKEN_AT));
      await shown?.catch(() => {}); // a broken one: the next may be whole
      if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ ack: number }));
    }

    /** @param {Error} [error] */
    #end(error) {
      if (Wall.#walls.get(this.url) === this) Wall.#walls.delete(this.url);
      this.socket.onclose = null;
      this.socket.close();
      for (const { reject } of this.#guests.values()) reject(error);
      this.#guests.clear();
    }
  }

  class StreamCamera extends HTMLElement {
    static observedAttributes = ATTRIBUTES;
    /** @type {HTMLImageElement | HTMLCanvasElement | null} */
    #image = null;
    /** @type {AbortController | null} */
    #playing = null; // of what plays now
    #isInView = false;
    /** @type {number | undefined} */
    #width;
    #shownAt = 0;
    #turns = 0; // pictures that came for the canvas
    #drawn = 0; // the turn of the one on it
    #restart = 0;
    #update = () => this.#play(this.isConnected && this.#isInView && !document.hidden);
    #pause = () => this.#play(false);
    #view = new IntersectionObserver((entries) => {
      this.#isInView = entries[entries.length - 1].isIntersecting;
      this.#update();
    }, { rootMargin: "200px" });
    #fit = () => {
      if (this.#playing && this.wishes().width !== this.#width) this.#playAnew(300);
    };
    #size = new ResizeObserver(this.#fit);

    get camera() { return this.getAttribute("camera") ?? ""; }
    get server() { return new URL(this.getAttribute("server") ?? home, document.baseURI).href; }

    connectedCallback() {
      this.#image ??= this.querySelector("img, canvas") ?? this.#makeImage();
      document.addEventListener("visibilitychange", this.#update);
      addEventListener("pagehide", this.#pause);
      addEventListener("pageshow", this.#update);
      this.#view.observe(this);
      this.#size.observe(this);
      addEventListener("resize", this.#fit); // also when only the screen's pixels become others
    }

    connectedMoveCallback() {} // plays on where the page moves it (Node.moveBefore)

    disconnectedCallback() {
      document.removeEventListener("visibilitychange", this.#update);
      removeEventListener("pagehide", this.#pause);
      removeEventListener("pageshow", this.#update);
      this.#view.disconnect();
      this.#size.disconnect();
      removeEventListener("resize", this.#fit);
      this.#play(false);
    }

    attributeChangedCallback() { if (this.#playing) this.#playAnew(0); }

    #makeImage() {
      const image = new Image(1280, 720);
      image.alt = `Live picture of ${this.camera}`;
      this.append(image);
      return image;
    }

    // What is asked of the server, by the names of its parameters.
    wishes() {
      /** @type {Record<string, string> & {width?: number}} */
      const wishes = this.#given(WISHES);
      const width = this.getAttribute("width") ?? this.#sharpWidth();
      if (width !== "full") wishes.width = Number(width);
      return wishes;
    }

    // What lets the page watch, where it takes something, likewise.
    keys() { return this.#given(KEYS); }

    /**
     * @param {string[]} names
     * @returns {Record<string, string>}
     */
    #given(names) {
      const given = names.filter((name) => this.hasAttribute(name));
      return Object.fromEntries(given.map((name) => [name, this.getAttribute(name) ?? ""]));
    }

    #sharpWidth() {
      const pixels = this.clientWidth * devicePixelRatio;
      return WIDTHS.find((width) => width >= 0.95 * pixels) ?? WIDTHS[WIDTHS.length - 1];
    }

    /**
     * @param {string} file
     * @param {Record<string, string>} [more]
     */
    url(file, more) {
      const asked = Object.entries({ ...this.wishes(), ...this.keys(), ...more });
      const query = new URLSearchParams(asked.map(([name, value]) => [name, String(value)]));
      return new URL(`cameras/${encodeURIComponent(this.camera)}/${file}?${query}`, this.server).href;
    }

    /**
     * Shows a JPEG; resolves when it is there to be seen, so that who sends waits for who shows.
     * @param {Blob} jpeg
     * @param {number | null} takenAt
     */
    async show(jpeg, takenAt) {
      if (this.#image instanceof HTMLCanvasElement) return this.#draw(this.#image, jpeg, takenAt);
      const url = URL.createObjectURL(jpeg);
      try {
        await this.load(url, takenAt);
      } finally {
        URL.revokeObjectURL(url);
      }
    }

    /**
     * @param {string} url
     * @param {number | null} takenAt
     */
    async load(url, takenAt = null) {
      const image = this.#image;
      if (image instanceof HTMLCanvasElement) return this.#draw(image, await this.#fetch(url), takenAt);
      if (!image) return;
      image.src = url;
      await image.decode(); // rejects for what is no picture, or when another is loaded meanwhile
      this.#shown(takenAt);
    }

    /** @param {string} url */
    async #fetch(url) {
      const answer = await fetch(url, { cache: "no-store" });
      if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
      return answer.blob();
    }

    /**
     * Puts a JPEG onto the canvas, decoded beside the page's thread; one that a newer one overtook is not
     * shown.
     * @param {HTMLCanvasElement} canvas
     * @param {Blob} jpeg
     * @param {number | null} takenAt
     */
    async #draw(canvas, jpeg, takenAt) {
      const turn = ++this.#turns;
      const picture = await createImageBitmap(jpeg);
      if (turn < this.#drawn) return picture.close();
      this.#drawn = turn;
      const { width, height } = picture;
      if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
      canvas.getContext("bitmaprenderer")?.transferFromImageBitmap(picture);
      this.#shown(takenAt);
    }

    /** @param {number | null} takenAt */
    #shown(takenAt) {
      this.#shownAt = performance.now();
      this.dataset.state = "live";
      this.dispatchEvent(new CustomEvent("picture", { detail: { takenAt } }));
    }

    /** @param {number} afterMs */
    #playAnew(afterMs) {
      clearTimeout(this.#restart);
      this.#restart = setTimeout(() => { this.#play(false); this.#update(); }, afterMs);
    }

    /** @param {boolean} wanted */
    #play(wanted) {
      if (wanted === Boolean(this.#playing)) return;
      this.#playing?.abort();
      this.#playing = wanted ? new AbortController() : null;
      if (this.#playing && this.camera) this.#run(this.#playing.signal);
    }

    /** @param {AbortSignal} signal */
    async #run(signal) {
      const crowded = document.querySelectorAll("stream-camera").length > MAX_STREAMS;
      const ways = [websocket, snapshots];
      if (!crowded) ways.splice(this.hasAttribute("shared") ? 1 : 0, 0, mjpeg);
      this.#width = this.wishes().width;
      let [rank, waitMs] = [0, WAIT_MS[0]];
      while (!signal.aborted) {
        const { workedMs, isOver } = await this.#try(ways[rank], signal);
        await pause(waitMs, signal);
        if (signal.aborted) return;
        if (workedMs > WORKED_MS) {
          [rank, waitMs] = [0, WAIT_MS[0]];
        } else {
          this.dataset.state = "lost";
          waitMs = Math.min(2 * waitMs, WAIT_MS[1]);
          if (!isOver && await this.#answers()) rank = (rank + 1) % ways.length;
        }
      }
    }

    /**
     * Plays one way until it fails or stalls; returns for how long it showed pictures, and whether there are
     * no more.
     * @param {Way} way
     * @param {AbortSignal} signal
     */
    async #try(way, signal) {
      const began = performance.now();
      let isOver = false;
      const attempt = new AbortController();
      const stop = () => attempt.abort();
      const watchdog = setInterval(() => {
        if (performance.now() - Math.max(began, this.#shownAt) > STALLED_MS) stop();
      }, 1000);
      signal.addEventListener("abort", stop, { once: true });
      try {
        isOver = await way(this, attempt.signal) === true;
      } catch {
        // Whatever it was: tried again, or another way.
      }
      stop();
      clearInterval(watchdog);
      signal.removeEventListener("abort", stop);
      return { workedMs: this.#shownAt - began, isOver };
    }

    // Whether the server can be reached at all: if it cannot, no way is to blame.
    async #answers() {
      try {
        const signal = AbortSignal.timeout(ANSWERS_WITHIN_MS);
        await fetch(new URL("healthz", this.server), { mode: "no-cors", cache: "no-store", signal });
        return true;
      } catch {
        return false;
      }
    }
  }

  function addStyle() {
    const sheet = new CSSStyleSheet(); // unlike a <style> element, no page's security policy forbids it
    sheet.replaceSync(`
      :where(stream-camera) { display: block; position: relative; }
      :where(stream-camera > :is(img, canvas)) { display: block; width: 100%; height: auto;
        object-fit: contain; background: #0e1216; }
      :where(stream-camera[data-state=lost] > :is(img, canvas)) { filter: brightness(.35); }
      :where(stream-camera[data-state=lost])::after { content: "No picture, trying again"; position: absolute;
        inset: 0; display: grid; place-content: center; padding: 1em; text-align: center; color: #fff;
        text-shadow: 0 0 4px #000, 0 0 2px #000; }
    `);
    document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
  }

  if (!customElements.get("stream-camera")) {
    addStyle();
    customElements.define("stream-camera", StreamCamera);
  }
  if (script.dataset.camera) {
    const element = document.createElement("stream-camera");
    element.setAttribute("server", home);
    for (const name of ATTRIBUTES) {
      const value = script.dataset[name];
      if (value !== undefined) element.setAttribute(name, value);
    }
    script.after(element);
  }
})();
