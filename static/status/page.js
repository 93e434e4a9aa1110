import { find, findAll, part, setText } from "../shared/dom.js";
import { poll } from "../shared/poll.js";
import { bytes, duration, full, milliseconds, none, number, percent, rate, time } from "./format.js";
import { Log } from "./log.js";
import { stageRows } from "./stages.js";
import { fill } from "./table.js";

/** @import { CameraStatus, DetectorInfo, LatencyStatus, LogEntry, MachineInfo } from "api" */
/** @import { ProcessInfo, ServerStatus, Problem, ViewerInfo, WorkerInfo } from "api" */
/** @import { Row } from "./table.js" */

const EVERY_MS = 1500;
const CLOCKS_APART_MS = 10000;
const page = find(document, ".status");
const { api = "", camera: cameraAddress = "", login = "", settings = "" } = page.dataset;
const verdict = find(page, ".verdict");
const summary = part("summary");
const title = document.title;
const log = document.getElementById("log") && new Log();
/** @type {string | null} */
let startedAt = null;
/** @type {Date | null} */
let answeredAt = null;

/** @type {Record<string, string>} */
let titles = {}; // of cameras, by name
/** @param {string} name */
const titleOf = (name) => titles[name] ?? name;
/** @param {string} name */
const cameraPage = (name) => cameraAddress.replace("NAME", encodeURIComponent(name));

/**
 * Fills a table; some are there for administrators only.
 * @param {string} id
 * @param {Row[]} rows
 */
function fillIfThere(id, rows) {
  for (const body of findAll(page, `#${id}`, HTMLTableSectionElement)) fill(body, rows);
}

/**
 * @param {ServerStatus["level"] | "gone"} level
 * @param {string} text
 */
function say(level, text) {
  verdict.dataset.level = level;
  setText(summary, text);
  document.title = level === "ok" ? title : `${level === "warning" ? "⚠" : "✕"} ${title}`;
}

// What is wrong.

/**
 * @param {string} now
 * @returns {Problem[]} one or none
 */
function clockTrouble(now) {
  const apart = Date.parse(now) - Date.now();
  if (Math.abs(apart) < CLOCKS_APART_MS) return [];
  const how = `${duration(Math.abs(apart) / 1000)} ${apart > 0 ? "ahead of" : "behind"}`;
  const advice = "Set the one that is wrong (on the server: `sudo timedatectl set-ntp true`); "
    + "times here, logins and links depend on it.";
  return [{ level: "warning", camera: null, what: `the server's clock is ${how} this device's`, advice }];
}

/**
 * What stands between backquotes is to be typed.
 * @param {string} text
 */
function withCode(text) {
  return text.split("`").map((part, index) => {
    if (index % 2 === 0) return part;
    const code = document.createElement("code");
    code.textContent = part;
    return code;
  });
}

/** @param {Problem} trouble */
function troubleItem({ level, camera, what, advice }) {
  const item = document.createElement("li");
  item.dataset.level = level;
  const head = document.createElement("p");
  const kind = document.createElement("strong");
  kind.textContent = level === "error" ? "Error" : "Warning";
  head.append(kind, " ");
  if (camera) {
    const link = document.createElement("a");
    link.href = cameraPage(camera);
    link.textContent = titleOf(camera);
    head.append(link, ": ");
  }
  head.append(what);
  const todo = document.createElement("p");
  todo.append(...withCode(advice));
  if (camera && settings) {
    const link = document.createElement("a");
    link.href = `${settings}#${encodeURIComponent(camera)}`;
    link.textContent = `Settings of ${titleOf(camera)}`;
    todo.append(" ", link);
  }
  item.append(head, todo);
  return item;
}

let shownTroubles = "";
/** @param {Problem[]} troubles */
function showTroubles(troubles) {
  const news = JSON.stringify(troubles);
  if (news === shownTroubles) return;
  shownTroubles = news;
  part("troubles").replaceChildren(...troubles.map(troubleItem));
}

// The tables.

/** @param {CameraStatus} camera */
function cameraRow(camera) {
  const state = camera.state.replace("_", " ") + (camera.reason ? `: ${camera.reason}` : "");
  return {
    key: camera.name,
    cells: [
      { text: camera.title, href: cameraPage(camera.name) },
      { text: state, state: camera.state },
      rate(camera.fps),
      camera.age_s === null ? none : `${duration(camera.age_s)} ago`,
      number(camera.dropped),
      number(camera.decode_errors),
      camera.detects ? rate(camera.detection_fps) : "off",
      camera.detects ? number(camera.skipped) : none,
      number(camera.viewers),
    ],
  };
}

/** @param {WorkerInfo} worker */
const workerRow = (worker) => ({
  key: worker.number,
  cells: [
    `Worker ${worker.number}`,
    { text: worker.state, state: worker.state },
    worker.pid === null ? none : String(worker.pid),
    number(worker.images),
    worker.inference_ms ? milliseconds(worker.inference_ms) : none,
    number(worker.restarts),
    worker.memory_bytes ? bytes(worker.memory_bytes) : none,
  ],
});

/** @param {ProcessInfo} process */
const processRow = ({ pid, name, cores, memory_bytes: memory }) => ({
  key: pid,
  cells: [name, String(pid), cores === null ? none : cores.toFixed(2), bytes(memory)],
});

/** @param {ViewerInfo} viewer */
function viewerRow(viewer) {
  const width = viewer.width ? `${viewer.width} wide` : "full size";
  const quality = viewer.quality ? `, quality ${viewer.quality}` : "";
  return {
    key: viewer.number,
    cells: [
      { text: titleOf(viewer.camera), href: cameraPage(viewer.camera) },
      viewer.address || none,
      viewer.user || none,
      `overlay ${viewer.overlay}, ${width}${quality}`,
      `${viewer.fps} of ${viewer.most_fps}`,
      bytes(viewer.bytes),
      full(new Date(viewer.since)),
    ],
  };
}

/**
 * @param {string} id
 * @param {number | null} share
 * @param {string} text
 */
function showGauge(id, share, text) {
  const gauge = part(id);
  gauge.hidden = share === null;
  if (share === null) return;
  find(gauge, "meter", HTMLMeterElement).value = share;
  find(gauge, ".said").textContent = text;
}

/**
 * @param {string} id
 * @param {number | null} total
 * @param {number | null} left
 * @param {string} word
 */
function showRoom(id, total, left, word) {
  const share = total ? 1 - (left ?? 0) / total : null;
  showGauge(id, share, `${bytes(left ?? 0)} of ${bytes(total ?? 0)} ${word}`);
}

/** @param {MachineInfo | null} machine */
function showMachine(machine) {
  if (!document.getElementById("processes") || !machine) return;
  const used = machine.processes.reduce((sum, process) => sum + (process.cores ?? 0), 0);
  const taken = `the server takes ${used.toFixed(2)} of ${machine.cores} cores`;
  showGauge("cpu", machine.busy, `${percent(machine.busy ?? 0)}; ${taken}`);
  showRoom("memory", machine.memory_total_bytes, machine.memory_available_bytes, "left");
  showRoom("disk", machine.disk_total_bytes, machine.disk_free_bytes, "free");
  fillIfThere("processes", machine.processes.map(processRow));
}

/**
 * @param {number} count
 * @param {string} word
 */
const many = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;

/** @param {DetectorInfo} detector */
function detectorInWords({ models, runtime, workers, threads, waiting }) {
  const hands = `${many(workers.length, "worker")} × ${many(threads, "thread")}`;
  return `${models.join(", ")} on ${runtime}; ${hands}; ${many(waiting, "image")} in line`;
}

/** @param {DetectorInfo | null} detector */
function showDetector(detector) {
  if (!document.getElementById("workers")) return;
  const off = "Off: no camera and nothing else needs it, or detector.workers is 0.";
  part("detector").textContent = detector ? detectorInWords(detector) : off;
  fillIfThere("workers", (detector?.workers ?? []).map(workerRow));
}

/** @param {LatencyStatus} latency */
function showLatency({ window_s, stages }) {
  const since = window_s === null ? "Since the start" : `In the last ${Math.round(window_s)} s`;
  part("window").textContent = `${since}, the cameras above together.`;
  fillIfThere("stages", stageRows(stages));
}

/**
 * @param {number} count
 * @param {ViewerInfo[] | null} watching
 */
function showViewers(count, watching) {
  const some = `${number(count)} watch${count === 1 ? "es" : ""} now.`;
  part("viewers-count").textContent = count ? some : "Nobody watches now.";
  if (watching) fillIfThere("viewers", watching.map(viewerRow));
}

/**
 * @param {LogEntry[] | null} lines
 * @param {string} started when the server was
 */
function showLog(lines, started) {
  if (!log || !lines) return;
  if (startedAt !== null && startedAt !== started) log.clear(); // the next answer brings all of its lines
  else log.add(lines);
  startedAt = started;
}

// All of it.

/** @param {ServerStatus} status */
function show(status) {
  answeredAt = new Date();
  say(status.level, status.summary);
  const running = `stream-server ${status.version}, running for ${duration(status.uptime_s)}`;
  part("about").textContent = `${running}. As of ${time(answeredAt)}.`;
  titles = Object.fromEntries(status.cameras.map(({ name, title }) => [name, title]));
  showTroubles([...status.troubles, ...clockTrouble(status.now)]);
  fillIfThere("cameras", status.cameras.map(cameraRow));
  part("no-cameras").hidden = status.cameras.length > 0;
  showLatency(status.latency);
  showMachine(status.machine);
  showDetector(status.detector);
  showViewers(status.viewers, status.watching);
  showLog(status.log, status.started_at);
  find(page, ".sections").hidden = false;
}

/** @param {{status?: number}} error */
function failed({ status }) {
  const since = answeredAt ? ` since ${time(answeredAt)}; what is shown is from then` : "";
  if (status === 401) {
    say("gone", "Your login has ended.");
    const link = document.createElement("a");
    link.href = login;
    link.textContent = "Log in again";
    part("about").replaceChildren(link);
    return;
  }
  const what = status ? `answers with an error (${status})` : "does not answer";
  say("gone", `The server ${what}${since}.`);
  part("about").textContent = "It is asked again every few seconds.";
}

poll(() => (log ? `${api}?log_after=${log.last}` : api), EVERY_MS, show, failed);
