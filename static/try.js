import { annotated, show } from "./boxes.js";
import { Problem, detect } from "./detect.js";
import { Filter, fillTable, inWords } from "./found.js";
import { incoming } from "./incoming.js";
import { curlLine, pythonLines } from "./lines.js";
import { Picture, Strip } from "./strip.js";
import { Webcam } from "./webcam.js";

const READABLE_MS = 250; // between two changes of the numbers that a webcam makes

const page = document.querySelector(".try");
const part = (id) => document.getElementById(id);
const colours = page.dataset.colours.split(",");
const filter = new Filter(showAll);
const strip = new Strip(choose);
const waiting = []; // pictures that were not sent yet: one is sent after the other
let shown = null; // the Picture on the stage, where no webcam is
let webcam = null;
let numbersAt = 0;

const asking = () => new URLSearchParams({ score_threshold: filter.lowest });

// What there is to be saved and counted: a picture with its answer, or a webcam's last one that has an answer.
function newest() {
  if (webcam) return webcam.analysed && { name: "camera.jpg", ...webcam.analysed };
  if (!shown?.result) return null;
  const { image, result: { width, height } } = shown;
  return { name: shown.name, picture: image && { image, width, height }, result: shown.result, latencyMs: shown.latencyMs };
}

const kept = (result) => (result ? filter.keep(result.detections) : []);

function draw() {
  const still = shown?.image && { image: shown.image, width: shown.image.width, height: shown.image.height };
  const result = webcam ? webcam.analysed?.result : shown?.result;
  const picture = webcam ? webcam.picture : still;
  show(part("canvas"), picture?.width ? picture : null, kept(result), colours);
  part("prompt").hidden = Boolean(webcam || shown);
}

function showNumbers() {
  const found = newest();
  const detections = kept(found?.result);
  fillTable(part("detections"), detections);
  part("nothing").hidden = detections.length > 0;
  part("nothing").textContent = found ? "Nothing found, or nothing of what is to be shown." : "Nothing to show yet.";
  const facts = {
    size: found ? `${found.result.width} × ${found.result.height}` : "–",
    model: found?.result.model ?? "–",
    inference: found ? `${found.result.timings.inference_ms.toFixed(0)} ms` : "–",
    latency: found ? `${found.latencyMs.toFixed(0)} ms` : "–",
    fps: found?.fps ? found.fps.toFixed(1) : "–",
  };
  for (const [name, text] of Object.entries(facts)) page.querySelector(`[data-fact=${name}]`).textContent = text;
  part("canvas").setAttribute("aria-label", found ? `${found.name}: ${inWords(detections)}` : "No picture yet");
  part("save-picture").disabled = !found?.picture;
  part("save-json").disabled = !found;
}

function showLines() {
  const url = `${page.dataset.address}?${filter.query}`;
  const name = (webcam ? null : shown?.name) ?? "picture.jpg";
  const needsToken = page.dataset.needsToken === "true";
  part("curl").textContent = curlLine(url, name, needsToken);
  part("python").textContent = pythonLines(url, name, needsToken);
}

function say(status, problem = "", mayPass = false) {
  if (part("status").textContent !== status) part("status").textContent = status;
  if (part("problem").textContent !== problem) part("problem").textContent = problem;
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
  if (!webcam) sayPicture();
}

// Pictures.

function take(files) {
  stopWebcam();
  const pictures = files.map((file) => new Picture(file));
  for (const picture of pictures) strip.add(picture);
  choose(pictures[0]);
  const isIdle = !waiting.length;
  waiting.push(...pictures);
  if (isIdle) lookAtWaiting();
}

async function choose(picture) {
  stopWebcam();
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

async function lookAt(picture) {
  const startedAt = performance.now();
  picture.problem = null;
  strip.say(picture, "…");
  try {
    picture.result = await detect(`${page.dataset.detect}?${asking()}`, picture.file, Number(page.dataset.maxBytes));
    picture.latencyMs = performance.now() - startedAt;
  } catch (error) {
    picture.problem = error instanceof Problem ? error : new Problem(`The answer was not understood: ${error.message}.`);
  }
  strip.say(picture, picture.problem ? "failed" : inWords(kept(picture.result)));
  if (picture === shown && !webcam) showAll();
}

function lookAgain() {
  if (webcam || !shown) return;
  say(`Looking at ${shown.name} …`);
  waiting.push(shown);
  if (waiting.length === 1) lookAtWaiting();
}

// The webcam.

async function switchWebcam() {
  if (webcam) return stopWebcam();
  const button = part("webcam");
  button.disabled = true;
  say("Asking for the camera …");
  try {
    startWebcam(await Webcam.open(`${page.dataset.frames}?newest=true&${asking()}`));
  } catch (error) {
    sayPicture();
    say("", error.message);
  }
  button.disabled = false;
}

function startWebcam(opened) {
  shown?.unload();
  shown = null;
  strip.mark(null);
  webcam = opened;
  webcam.addEventListener("frame", draw);
  webcam.addEventListener("answer", () => {
    say("The camera is on.");
    if (performance.now() - numbersAt < READABLE_MS) return;
    numbersAt = performance.now();
    showNumbers();
  });
  webcam.addEventListener("trouble", () => say("", `No answer to the camera’s frames: ${opened.reason}. Trying again …`));
  webcam.addEventListener("ended", () => { stopWebcam(); say("", opened.reason); });
  part("webcam").textContent = "Stop camera";
  numbersAt = 0;
  say("Waiting for the camera’s first picture …");
  showAll();
}

// Ends the webcam; its last frame that has an answer stays, as a picture.
function stopWebcam() {
  if (!webcam) return;
  const last = webcam.analysed;
  webcam.stop();
  webcam = null;
  part("webcam").textContent = "Use camera";
  shown = last && Object.assign(new Picture(new File([], "camera.jpg")), {
    result: last.result, image: last.picture.image, latencyMs: last.latencyMs, unload() { this.image = null; },
  });
  showAll();
}

// Saving.

function save(blob, name) {
  const url = URL.createObjectURL(blob);
  Object.assign(document.createElement("a"), { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60000); // the browser may read it later than the click
}

const stem = (name) => name.replace(/\.[^.]*$/, "");

async function savePicture() {
  const { name, picture, result } = newest();
  try {
    save(await annotated(picture, kept(result), colours), `${stem(name)}-boxes.jpg`);
  } catch (error) {
    say("", `The picture cannot be saved: ${error.message}.`);
  }
}

function saveJson() {
  const { name, result } = newest();
  const answer = { ...result, image: name, detections: kept(result) };
  save(new Blob([JSON.stringify(answer, null, 2)], { type: "application/json" }), `${stem(name)}.json`);
}

incoming({ input: part("files"), pasteButton: part("paste"), zone: part("stage"), take, say: (text) => say("", text) });
part("webcam").addEventListener("click", switchWebcam);
part("again").addEventListener("click", lookAgain);
part("save-picture").addEventListener("click", savePicture);
part("save-json").addEventListener("click", saveJson);
addEventListener("pagehide", stopWebcam);
new ResizeObserver(draw).observe(part("canvas"));
showAll();
