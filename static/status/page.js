import { poll } from "../shared/poll.js";
import { bytes, duration, full, milliseconds, none, number, percent, rate, time } from "./format.js";
import { Log } from "./log.js";
import { stageRows } from "./stages.js";
import { fill } from "./table.js";

const EVERY_MS = 1500;
const CLOCKS_APART_MS = 10000;
const page = document.querySelector(".status");
const verdict = page.querySelector(".verdict");
const summary = document.getElementById("summary");
const title = document.title;
const log = document.getElementById("log") && new Log();
let startedAt = null;
let answeredAt = null;

const body = (id) => document.getElementById(id);
let titles = {}; // of cameras, by name
const titleOf = (name) => titles[name] ?? name;
const cameraPage = (name) => page.dataset.camera.replace("NAME", encodeURIComponent(name));

function say(level, text) {
  verdict.dataset.level = level;
  if (summary.textContent !== text) summary.textContent = text;
  document.title = level === "ok" ? title : `${level === "warning" ? "⚠" : "✕"} ${title}`;
}

// What is wrong.

function clockTrouble(now) {
  const apart = Date.parse(now) - Date.now();
  if (Math.abs(apart) < CLOCKS_APART_MS) return [];
  const how = `${duration(Math.abs(apart) / 1000)} ${apart > 0 ? "ahead of" : "behind"}`;
  const advice = "Set the one that is wrong (on the server: `sudo timedatectl set-ntp true`); times here, logins and links depend on it.";
  return [{ level: "warning", camera: null, what: `the server's clock is ${how} this device's`, advice }];
}

// What stands between backquotes is to be typed.
function withCode(text) {
  return text.split("`").map((part, index) => {
    if (index % 2 === 0) return part;
    const code = document.createElement("code");
    code.textContent = part;
    return code;
  });
}

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
  if (camera && page.dataset.settings) {
    const link = document.createElement("a");
    link.href = `${page.dataset.settings}#${encodeURIComponent(camera)}`;
    link.textContent = `Settings of ${titleOf(camera)}`;
    todo.append(" ", link);
  }
  item.append(head, todo);
  return item;
}

let shownTroubles = "";
function showTroubles(troubles) {
  const news = JSON.stringify(troubles);
  if (news === shownTroubles) return;
  shownTroubles = news;
  document.getElementById("troubles").replaceChildren(...troubles.map(troubleItem));
}

// The tables.

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

const processRow = (process) => ({
  key: process.pid,
  cells: [process.name, String(process.pid), process.cores === null ? none : process.cores.toFixed(2), bytes(process.memory_bytes)],
});

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

function showGauge(id, share, text) {
  const gauge = document.getElementById(id);
  gauge.hidden = share === null;
  if (share === null) return;
  gauge.querySelector("meter").value = share;
  gauge.querySelector(".said").textContent = text;
}

function showMachine(machine) {
  if (!body("processes") || !machine) return;
  const used = machine.processes.reduce((sum, process) => sum + (process.cores ?? 0), 0);
  const part = (total, left, word) => [total ? 1 - left / total : null, `${bytes(left ?? 0)} of ${bytes(total ?? 0)} ${word}`];
  showGauge("cpu", machine.busy, `${percent(machine.busy ?? 0)}; the server takes ${used.toFixed(2)} of ${machine.cores} cores`);
  showGauge("memory", ...part(machine.memory_total_bytes, machine.memory_available_bytes, "left"));
  showGauge("disk", ...part(machine.disk_total_bytes, machine.disk_free_bytes, "free"));
  fill(body("processes"), machine.processes.map(processRow));
}

function showDetector(detector) {
  if (!body("workers")) return;
  const workers = detector?.workers ?? [];
  const many = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
  document.getElementById("detector").textContent = detector
    ? `${detector.models.join(", ")} on ${detector.runtime}; ${many(workers.length, "worker")} × ${many(detector.threads, "thread")}; ${many(detector.waiting, "image")} in line`
    : "Off: no camera and nothing else needs it, or detector.workers is 0.";
  fill(body("workers"), workers.map(workerRow));
}

function showLatency({ window_s, stages }) {
  document.getElementById("window").textContent = window_s === null ? "Since the start, the cameras above together." : `In the last ${Math.round(window_s)} s, the cameras above together.`;
  fill(body("stages"), stageRows(stages));
}

function showViewers(count, watching) {
  document.getElementById("viewers-count").textContent = count ? `${number(count)} watch${count === 1 ? "es" : ""} now.` : "Nobody watches now.";
  if (watching && body("viewers")) fill(body("viewers"), watching.map(viewerRow));
}

function showLog(lines, started) {
  if (!log || !lines) return;
  if (startedAt !== null && startedAt !== started) log.clear(); // the next answer brings all of its lines
  else log.add(lines);
  startedAt = started;
}

// All of it.

function show(status) {
  answeredAt = new Date();
  say(status.level, status.summary);
  document.getElementById("about").textContent = `stream-server ${status.version}, running for ${duration(status.uptime_s)}. As of ${time(answeredAt)}.`;
  titles = Object.fromEntries(status.cameras.map(({ name, title }) => [name, title]));
  showTroubles([...status.troubles, ...clockTrouble(status.now)]);
  fill(body("cameras"), status.cameras.map(cameraRow));
  document.getElementById("no-cameras").hidden = status.cameras.length > 0;
  showLatency(status.latency);
  showMachine(status.machine);
  showDetector(status.detector);
  showViewers(status.viewers, status.watching);
  showLog(status.log, status.started_at);
  page.querySelector(".sections").hidden = false;
}

function failed({ status }) {
  const since = answeredAt ? ` since ${time(answeredAt)}; what is shown is from then` : "";
  if (status === 401) {
    say("gone", "Your login has ended.");
    const link = document.createElement("a");
    link.href = page.dataset.login;
    link.textContent = "Log in again";
    document.getElementById("about").replaceChildren(link);
    return;
  }
  say("gone", status ? `The server answers with an error (${status})${since}.` : `The server does not answer${since}.`);
  document.getElementById("about").textContent = "It is asked again every few seconds.";
}

poll(() => (log ? `${page.dataset.api}?log_after=${log.last}` : page.dataset.api), EVERY_MS, show, failed);
