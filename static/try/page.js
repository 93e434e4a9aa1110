import { annotated, show } from "../shared/boxes.js";
import { Problem, detect } from "../shared/detect.js";
import { find, part, setText } from "../shared/dom.js";
import { Filter, fillTable, inWords } from "../shared/found.js";
import { incoming } from "./incoming.js";
import { curlLine, pythonLines } from "./lines.js";
import { Picture, Strip } from "./strip.js";
import { Footage } from "./footage.js";

/** @import { ImageDetections } from "api" */
/** @import { Analysed } from "./footage.js" */

const READABLE_MS = 250; // between two changes of the numbers that what moves makes

const page = find(document, ".try");
const button = (/** @type {string} */ id) => part(id, HTMLButtonElement);
const canvas = part("canvas", HTMLCanvasElement);
const colours = (page.dataset.colours ?? "").split(",");
const filter = new Filter(showAll);
const strip = new Strip(choose);
/** @type {Picture[]} */
const waiting = []; // pictures that were not sent yet: one is sent after the other
/** @type {Picture | null} */
let shown = null; // the one on the stage, where nothing moves
/** @type {Footage | null} */
let footage = null; // the camera or video on the stage
let numbersAt = 0;

const asking = () => new URLSearchParams({ score_threshold: String(filter.lowest) });

// What there is to be saved and counted: a picture with its answer, or of what moves the last one that has an
// answer.
function newest() {
  if (footage) return footage.analysed && { name: footage.name, ...footage.analysed };
  if (!shown?.result) return null;
  const { image, result: { width, height } } = shown;
  const { name, result, latencyMs } = shown;
  return { name, picture: image && { image, width, height }, result, latencyMs, fps: 0 };
}

/** @param {ImageDetections | null | undefined} result */
const kept = (result) => (result ? filter.keep(result.detections) : []);

function draw() {
  const still = shown?.image && { image: shown.image, width: shown.image.width, height: shown.image.height };
  const result = footage ? footage.analysed?.result : shown?.result;
  const picture = footage ? footage.picture : still;
  show(canvas, picture?.width ? picture : null, kept(result), colours);
  part("prompt").hidden = Boolean(footage || shown);
}

function showNumbers() {
  const found = newest();
  const detections = kept(found?.result);
  fillTable(part("detections", HTMLTableSectionElement), detections);
  part("nothing").hidden = detections.length > 0;
  const nothing = "Nothing found, or nothing of what is to be shown.";
  part("nothing").textContent = found ? nothing : "Nothing to show yet.";
  const facts = {
    size: found ? `${found.result.width} × ${found.result.height}` : "–",
    model: found?.result.model ?? "–",
    inference: found ? `${found.result.timings.inference_ms.toFixed(0)} ms` : "–",
    latency: found ? `${found.latencyMs.toFixed(0)} ms` : "–",
    fps: found?.fps ? found.fps.toFixed(1) : "–",
  };
  for (const [name, text] of Object.entries(facts)) find(page, `[data-fact=${name}]`).textContent = text;
  canvas.setAttribute("aria-label", found ? `${found.name}: ${inWords(detections)}` : "No picture yet");
  button("save-picture").disabled = !found?.picture;
  button("save-json").disabled = !found;
}

function showLines() {
  const url = `${page.dataset.address}?${filter.query}`;
  const name = (footage ? null : shown?.name) ?? "picture.jpg";
  const needsToken = page.dataset.needsToken === "true";
  part("curl").textContent = curlLine(url, name, needsToken);
  part("python").textContent = pythonLines(url, name, needsToken);
}

/** @param {string} status */
function say(status, problem = "", mayPass = false) {
  setText(part("status"), status);
  setText(part("problem"), problem);
  part("again").hidden = !mayPass;
}

// Says how it is with the picture on the stage.
function sayPicture() {
  if (!shown) return say("Nothing sent yet.");
  const { name, problem, result, image } = shown;
  if (problem) return say("", `${name}: ${problem.message}`, problem.mayPass);
  if (!result) return say(`Looking at ${name} …`);
  const words = `${name}: ${inWords(kept(result))}.`;
  return image ? say(words) : say(words, "This browser cannot show the picture.");
}

function showAll() {
  draw();
  showNumbers();
  showLines();
  if (!footage) sayPicture();
}

// Pictures.

/** @param {File[]} files */
function take(files) {
  const isVideo = (/** @type {File} */ { type }) => type.startsWith("video/");
  takePictures(files.filter((file) => !isVideo(file)));
  const video = files.find(isVideo);
  if (video) start(() => Footage.ofVideo(framesAddress(), video), `Opening ${video.name} …`);
}

/** @param {File[]} files */
function takePictures(files) {
  if (!files.length) return;
  stopFootage();
  const pictures = files.map((file) => new Picture(file));
  for (const picture of pictures) strip.add(picture);
  choose(pictures[0]);
  const isIdle = !waiting.length;
  waiting.push(...pictures);
  if (isIdle) lookAtWaiting();
}

/** @param {Picture} picture */
async function choose(picture) {
  stopFootage();
  if (shown !== picture) shown?.unload();
  shown = picture;
  strip.mark(picture);
  sayPicture();
  await picture.load();
  if (shown === picture) showAll();
  else picture.unload();
}

async function lookAtWaiting() {
  for (; waiting.length; waiting.shift()) await lookAt(waiting[0]);
}

/** @param {Picture} picture */
async function lookAt(picture) {
  const startedAt = performance.now();
  picture.problem = null;
  strip.say(picture, "…");
  try {
    const address = `${page.dataset.detect}?${asking()}`;
    picture.result = await detect(address, picture.file, Number(page.dataset.maxBytes));
    picture.latencyMs = performance.now() - startedAt;
  } catch (error) {
    const isProblem = error instanceof Problem;
    picture.problem = isProblem ? error : new Problem(`The answer was not understood: ${error.message}.`);
  }
  strip.say(picture, picture.problem ? "failed" : inWords(kept(picture.result)));
  if (picture === shown && !footage) showAll();
}

function lookAgain() {
  if (footage || !shown) return;
  say(`Looking at ${shown.name} …`);
  waiting.push(shown);
  if (waiting.length === 1) lookAtWaiting();
}

// What moves: the camera, or a video.

const framesAddress = () => `${page.dataset.frames}?newest=true&${asking()}`;

function switchCamera() {
  if (footage) return stopFootage();
  start(() => Footage.ofCamera(framesAddress()), "Asking for the camera …");
}

/**
 * Shows what open() returns.
 * @param {() => Promise<Footage>} open
 * @param {string} status
 */
async function start(open, status) {
  stopFootage();
  button("webcam").disabled = true;
  say(status);
  try {
    play(await open());
  } catch (error) {
    sayPicture();
    say("", error.message);
  }
  button("webcam").disabled = false;
}

/** @param {Footage} opened */
function play(opened) {
  const { what } = opened;
  shown?.unload();
  shown = null;
  strip.mark(null);
  footage = opened;
  footage.addEventListener("frame", draw);
  footage.addEventListener("answer", () => {
    say(opened.file ? `Playing ${opened.name}, again and again.` : "The camera is on.");
    if (performance.now() - numbersAt < READABLE_MS) return;
    numbersAt = performance.now();
    showNumbers();
  });
  footage.addEventListener("trouble", () => {
    say("", `No answer to the ${what}’s frames: ${opened.reason}. Trying again …`);
  });
  footage.addEventListener("ended", () => { stopFootage(); say("", opened.reason); });
  part("webcam").textContent = `Stop ${what}`;
  numbersAt = 0;
  say(`Waiting for the ${what}’s first picture …`);
  showAll();
}

// Ends what moves; its last frame that has an answer stays, as a picture.
function stopFootage() {
  if (!footage) return;
  const { analysed: last, name } = footage;
  footage.stop();
  footage = null;
  part("webcam").textContent = "Use camera";
  shown = last && still(name, last);
  showAll();
}

/**
 * @param {string} name
 * @param {Analysed} analysed
 */
function still(name, { result, picture: { image }, latencyMs }) {
  return Object.assign(new Picture(new File([], name)), { result, image, latencyMs });
}

// Saving.

/**
 * @param {Blob} blob
 * @param {string} name
 */
function save(blob, name) {
  const url = URL.createObjectURL(blob);
  Object.assign(document.createElement("a"), { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60000); // the browser may read it later than the click
}

const stem = (/** @type {string} */ name) => name.replace(/\.[^.]*$/, "");

async function savePicture() {
  const found = newest();
  if (!found?.picture) return;
  const { name, picture, result } = found;
  try {
    save(await annotated(picture, kept(result), colours), `${stem(name)}-boxes.jpg`);
  } catch (error) {
    say("", `The picture cannot be saved: ${error.message}.`);
  }
}

function saveJson() {
  const found = newest();
  if (!found) return;
  const { name, result } = found;
  const answer = { ...result, image: name, detections: kept(result) };
  save(new Blob([JSON.stringify(answer, null, 2)], { type: "application/json" }), `${stem(name)}.json`);
}

incoming({
  input: part("files", HTMLInputElement),
  pasteButton: part("paste"),
  zone: part("stage"),
  take,
  say: (text) => say("", text),
});
part("webcam").addEventListener("click", switchCamera);
part("again").addEventListener("click", lookAgain);
part("save-picture").addEventListener("click", savePicture);
part("save-json").addEventListener("click", saveJson);
addEventListener("pagehide", stopFootage);
new ResizeObserver(draw).observe(canvas);
showAll();
