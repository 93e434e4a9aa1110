"""How the server is doing: what is told, what is advised, and what is not told to everybody."""

from __future__ import annotations

import ast
import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client import generate_latest

import stream_server
from detector.pool import PoolStatus
from detector.pool.worker_slot import WorkerState, WorkerStatus
from stream_server.accounts.store import Store
from stream_server.base import redaction
from stream_server.base.logs import RECENT_LOG, LogTail
from stream_server.cameras.camera import CameraState
from stream_server.config import CameraConfig, Config
from stream_server.diagnostics.problems import (
    Problem,
    clock_troubles,
    crowd_troubles,
    detector_troubles,
    disk_troubles,
    memory_troubles,
    pace_troubles,
    settings_troubles,
    verdict,
)
from stream_server.diagnostics.remedies import advice_for
from stream_server.engine import Engine
from stream_server.settings.live import SettingsView
from stream_server.streaming.streams import Variant
from stream_server.telemetry import system_load as load_module
from stream_server.telemetry.percentiles import Latencies, percentile_s, total
from stream_server.telemetry.stages import BUCKETS_S, STAGES, Telemetry
from stream_server.telemetry.system_load import DiskSpace, Load, LoadMeter, ProcessLoad
from stream_server.web.app import create_app
from tests.support.cameras.http import HTTPCamera
from tests.support.leaks import wait_until
from tests.support.server import NO_DETECTOR, SMALL_DEMO, Server
from tests.support.viewers import Viewer

GIB = 2**30
SMALL = {"source": "demo:", "width": 320, "height": 180, "fps": 10, "detect": {"enabled": False}}


# The log.


def _record(text: str, level: int = logging.INFO) -> logging.LogRecord:
    return logging.LogRecord("test", level, __file__, 1, text, None, None)


def test_tail_keeps_the_newest_lines() -> None:
    tail = LogTail(size=3)
    assert tail.lines() == []
    for number in range(5):
        tail.handle(_record(f"line {number}", logging.WARNING))
    assert [(line.number, line.level, line.text) for line in tail.lines()] == [
        (3, "WARNING", "line 2"),
        (4, "WARNING", "line 3"),
        (5, "WARNING", "line 4"),
    ]
    assert [line.number for line in tail.lines(after=4)] == [5]
    assert tail.lines(after=5) == []


def test_secret_that_becomes_known_after_it_was_logged_is_masked() -> None:
    tail = LogTail()
    tail.handle(_record("the password is Kellertuer-4711"))
    redaction.register("Kellertuer-4711")
    assert [line.text for line in tail.lines()] == ["the password is ***"]


# Times.


@pytest.mark.parametrize(
    ("counts", "percent", "expected_s"),
    [
        ({}, 50, None),
        ({0: 4}, 50, 0.00025),  # half of the first bucket, 0 to 0.5 ms
        ({4: 1, 5: 1}, 50, 0.01),  # the end of the one before
        ({4: 50, 6: 50}, 99, 0.0495),  # 49 of 50 in 25 to 50 ms
        ({len(BUCKETS_S): 1}, 99, BUCKETS_S[-1]),
    ],
)
def test_percentiles_are_those_of_prometheus(
    counts: dict[int, int], percent: float, expected_s: float | None
) -> None:
    row = [counts.get(bucket, 0) for bucket in range(len(BUCKETS_S) + 1)]
    assert percentile_s(row, percent) == (None if expected_s is None else pytest.approx(expected_s))


def test_camera_that_goes_while_its_times_are_asked_for_is_forgotten_all_the_same() -> None:
    telemetry = Telemetry()
    telemetry.stopwatch("gone").observe("encode", 0.01)
    assert sum(map(sum, telemetry.counts("gone"))) == 1
    telemetry.forget("gone")
    assert sum(map(sum, telemetry.counts("gone"))) == 0
    assert b"gone" not in generate_latest(telemetry.registry)


def test_times_are_those_of_the_last_minute() -> None:
    telemetry, now = Telemetry(), [0.0]
    latencies = Latencies(telemetry, clock=lambda: now[0])
    watch = telemetry.stopwatch("front")
    encode = STAGES.index("encode")

    def frames() -> tuple[float | None, int]:
        window_s, counts = latencies.read(["front"])
        return window_s, int(total(counts.values())[encode].sum())

    watch.observe("encode", 0.1)
    assert frames() == (None, 1)
    now[0] = 10
    watch.observe("encode", 0.1)
    assert frames() == (10, 1)
    now[0] = 64
    assert frames() == (64, 1)
    now[0] = 70
    assert frames() == (60, 0)
    now[0] = 500
    assert frames() == (None, 2)


def test_counts_of_a_camera_that_came_again_are_its_own() -> None:
    now = [0.0]
    telemetry = Telemetry()
    latencies = Latencies(telemetry, clock=lambda: now[0])
    for _ in range(5):
        telemetry.stopwatch("front").observe("draw", 0.1)
    latencies.read(["front"])
    again = Telemetry()
    again.stopwatch("front").observe("draw", 0.1)
    latencies._telemetry = again
    now[0] = 10
    _, counts = latencies.read(["front"])
    assert counts["front"].sum() == 1


# Load.


def test_processes_are_told_apart_by_what_they_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(load_module, "READ_EVERY_S", 0.0)
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    idle = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    meter = LoadMeter()

    def processes() -> dict[int, ProcessLoad]:
        load = meter.read({busy.pid: "detector 1"}, tmp_path / "not" / "there")
        assert load is not None
        assert load.disk is not None
        assert load.disk.total_bytes > load.disk.free_bytes > 0
        assert 0 < (load.memory_available_bytes or 0) < (load.memory_total_bytes or 0)
        return {process.pid: process for process in load.processes}

    try:
        first = processes()
        assert {pid: first[pid].name for pid in (busy.pid, idle.pid)} == {
            busy.pid: "detector 1",
            idle.pid: "video",
        }
        assert first[busy.pid].cores is None
        assert wait_until(lambda: (processes()[busy.pid].cores or 0) > 0.05)
        assert processes()[idle.pid].memory_bytes > 1_000_000
    finally:
        for process in (busy, idle):
            process.kill()
            process.communicate()
    assert {busy.pid, idle.pid}.isdisjoint(processes())


def test_load_is_read_once_a_second_however_many_ask(tmp_path: Path) -> None:
    meter = LoadMeter()
    first = meter.read({}, tmp_path)
    assert meter.read({}, tmp_path) is first


# Advice.


def _advice(reason: str, state: CameraState = "offline", **camera: object) -> str:
    config = CameraConfig.model_validate({"source": "rtsp://10.1.2.3/live", **camera})
    return advice_for("front", config, state, reason)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("the camera refuses the user name or password", "cameras.front.password"),
        ("the camera asks for a user name and password", "Set cameras.front.username"),
        ("10.1.2.3: connection refused", "nothing listens at port 554"),
        ("10.1.2.3: no route to host", "No way leads from this machine to 10.1.2.3"),
        ("10.1.2.3: no answer within 10 s", "ping 10.1.2.3"),
        ("cam.example: this name is not known", "IP address"),
        ("the camera has no stream under this path (404)", "path"),
        ("Logitech C920 is unplugged", "Plug it in again"),
        ("/dev/video0 is in use by obs", "Close the program"),
        ("something that was never heard of", "Look at cameras.front"),
    ],
)
def test_reason_has_its_advice(reason: str, expected: str) -> None:
    assert expected in _advice(reason)


def test_lost_packets_are_told_from_other_stalls() -> None:
    assert "transport to tcp" in _advice("no data for 10 s", "stalled", transport="udp")
    assert "transport" not in _advice("no data for 10 s", "stalled")


OF_NO_CAMERA = {"interrupted", "the demo is not open", "the file is not open"}
"""What sources say to who uses them wrongly, or ends them."""


def _said_by_sources() -> Iterator[str]:
    """Yield the texts that sources give as reasons, with blanks for what is filled in, unless that is all."""
    for path in (Path(stream_server.__file__).parent / "sources").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            named = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args
            if not named or node.func.id not in ("SourceError", "AuthenticationFailed"):
                continue
            match node.args[0]:
                case ast.Constant(value=str() as text):
                    yield text
                case ast.JoinedStr(values=parts):
                    text = "".join(str(p.value) if isinstance(p, ast.Constant) else " " for p in parts)
                    if text.replace("the webcam", "").strip(" :"):
                        yield text


@pytest.mark.parametrize("reason", sorted(set(_said_by_sources()) - OF_NO_CAMERA))
def test_every_reason_has_an_advice_of_its_own(reason: str) -> None:
    assert not _advice(reason).startswith("Look at")


# Troubles.


def _worker(number: int, state: WorkerState = "idle") -> WorkerStatus:
    return WorkerStatus(number, 100 + number, state, 0, 0, 0.0, 0)


def _pool(error: str | None, *states: WorkerState) -> PoolStatus:
    workers = tuple(_worker(number, state) for number, state in enumerate(states, 1))
    return PoolStatus("centernet", workers, 1, 0, False, error)


@pytest.mark.parametrize(
    ("status", "level", "advice"),
    [
        (_pool(None, "starting"), None, ""),
        (_pool("detector worker 1 was ended by SIGKILL", "idle", "idle"), None, ""),
        (_pool("detector worker 1 was ended by SIGKILL", "idle", "starting"), "warning", "memory"),
        (_pool("detector worker 1 was ended by SIGSEGV", "down"), "error", "models info centernet"),
        (_pool("/m.tflite: cannot read the model: no such file", "down"), "error", "detector.model"),
        (_pool("detector worker 1 did not answer within 10 s", "stopping"), "error", "detector.timeout_s"),
        (_pool("what nobody knows", "down"), "error", "models info centernet"),
    ],
)
def test_lost_detectors_are_told(status: PoolStatus, level: str | None, advice: str) -> None:
    found = list(detector_troubles(status, with_reason=True))
    assert [trouble.level for trouble in found] == ([level] if level else [])
    assert all(advice in trouble.advice and str(status.error) in trouble.what for trouble in found)
    for trouble in detector_troubles(status, with_reason=False):
        assert str(status.error) not in trouble.what + trouble.advice


class _Watched:
    """As much of a pipeline as the pace of its detection is told by."""

    def __init__(self, name: str, done: float, skipped: int = 9, state: CameraState = "online") -> None:
        self.name = name
        self.config = CameraConfig.model_validate({"source": "demo:", "detect": {"fps": 5}})
        self.camera = SimpleNamespace(fps=10.0, is_online=state == "online")
        self.analysis = object()
        self.detections_per_s = done
        self.counters = SimpleNamespace(skipped=skipped)


@pytest.mark.parametrize(
    ("watched", "camera", "what"),
    [
        ([_Watched("front", 4.9)], None, None),
        ([_Watched("front", 1.0, skipped=0)], None, None),
        ([_Watched("front", 1.0, state="offline")], None, None),
        ([_Watched("front", 1.0), _Watched("yard", 5.0)], "front", "1.0 of 5.0 frames a second are"),
        (
            [_Watched("front", 1.0), _Watched("yard", 2.0)],
            None,
            "3.0 of 10.0 frames a second of 2 cameras are",
        ),
    ],
)
def test_slow_detection_is_told_once(watched: list[Any], camera: str | None, what: str | None) -> None:
    found = list(pace_troubles(watched, _pool(None, "busy")))
    assert [trouble.camera for trouble in found] == ([] if what is None else [camera])
    assert all(str(what) in trouble.what for trouble in found)
    assert not list(pace_troubles(watched, _pool(None, "starting")))


def _load(available: int | None, ours: int = 0) -> Load:
    process = ProcessLoad(1, "web", 0.1, ours)
    return Load(2, 0.5, 4 * GIB, available, None, (process,))


@pytest.mark.parametrize(
    ("load", "advice"),
    [
        (_load(None), None),
        (_load(GIB), None),
        (_load(GIB // 10), "Other programs"),
        (_load(GIB // 10, 3 * GIB), "Lower detector.workers"),
    ],
)
def test_want_of_memory_is_told_with_who_takes_it(load: Load, advice: str | None) -> None:
    found = [trouble.advice for trouble in memory_troubles(load)]
    assert len(found) == (advice is not None)
    assert all(str(advice) in text for text in found)


@pytest.mark.parametrize(
    ("free", "size", "is_full"),
    [
        (3 * GIB, 2000 * GIB, False),
        (GIB, 2000 * GIB, True),
        (GIB, 8 * GIB, False),
        (GIB // 4, 8 * GIB, True),
    ],
)
def test_full_disk_is_told(free: int, size: int, is_full: bool) -> None:
    assert len(list(disk_troubles(DiskSpace(free, size)))) == is_full


def test_clock_before_the_installation_is_wrong() -> None:
    now = time.time()
    assert not list(clock_troubles(now, now))
    (trouble,) = clock_troubles(0.0, now)
    assert "1970-01-01" in trouble.what


def test_last_seat_taken_is_told() -> None:
    assert not list(crowd_troubles(9, 10))
    assert "server.max_viewers" in next(crowd_troubles(10, 10)).advice


def test_bad_edit_of_the_file_is_told() -> None:
    shown = SettingsView("config.yaml", None, None, [], {}, [])
    assert not list(settings_troubles(shown))
    wrong = SettingsView("config.yaml", None, "cameras.front.fps: got 0", ["server.port"], {}, [])
    edit, restart = settings_troubles(wrong)
    assert "cameras.front.fps: got 0" in edit.what
    assert "server.port" in restart.what


_ERROR = Problem(level="error", camera=None, what="nothing is detected", advice="")
_WARNING = Problem(level="warning", camera=None, what="a disk is full", advice="")


@pytest.mark.parametrize(
    ("states", "detection", "troubles", "level", "summary"),
    [
        ([], "off", [], "warning", "There is no camera."),
        (["online"], "off", [], "ok", "All is well: the camera shows pictures."),
        (
            ["online", "online", "idle"],
            "on",
            [],
            "ok",
            "All is well: 2 of 3 cameras show pictures, 1 of 3 cameras waits for a viewer, detection runs.",
        ),
        (
            ["online", "online"],
            "on",
            [_WARNING],
            "warning",
            "1 thing needs attention; all 2 cameras show pictures, detection runs.",
        ),
        (["offline", "online"], "on", [], "error", "1 of 2 cameras shows no picture."),
        (["stalled"], "off", [_ERROR], "error", "The camera shows no picture; nothing is detected."),
        (
            ["connecting"],
            "starting",
            [],
            "ok",
            "All is well: the camera is being connected, detection is starting.",
        ),
    ],
)
def test_verdict_is_one_sentence(
    states: list[CameraState], detection: Any, troubles: list[Problem], level: str, summary: str
) -> None:
    assert verdict(states, detection, troubles) == (level, summary)


# Who may know what.


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Flask, dict[str, str]]]:
    """Two cameras, `front` and one that is lost, and tokens by name."""
    folder = tmp_path_factory.mktemp("people")
    database = f"sqlite:///{folder}/accounts.db"
    config = Config.load(
        None,
        auth={"database": database},
        cameras={"front": SMALL, "yard": {"source": "http://127.0.0.1:9/yard.mjpg"}},
        detector={"workers": 0},
    )
    with closing(Store.open(database)) as store, Engine(config) as engine:
        front, yard = frozenset({"front"}), frozenset({"yard"})
        tokens = {
            "root": store.add_token("root", "admin"),
            "viewer": store.add_token("viewer"),
            "front": store.add_token("front", cameras=front),
            "front-admin": store.add_token("front-admin", "admin", front),
            "yard": store.add_token("yard", cameras=yard),
        }
        engine.accounts.refresh()
        cameras = {name: pipeline.camera for name, pipeline in engine.pipelines.items()}
        assert wait_until(lambda: cameras["front"].is_online and cameras["yard"].state == "offline")
        yield create_app(engine), tokens


def _ask(app: tuple[Flask, dict[str, str]], name: str, path: str = "/api/v1/status") -> Any:
    flask, tokens = app
    client: FlaskClient = flask.test_client()
    return client.get(path, headers={"Authorization": f"Bearer {tokens[name]}"})


@pytest.mark.parametrize(
    ("name", "cameras", "machine", "watching", "log"),
    [
        ("root", ["front", "yard"], True, True, True),
        ("viewer", ["front", "yard"], True, False, False),
        ("front-admin", ["front"], False, True, False),
        ("front", ["front"], False, False, False),
    ],
)
def test_everybody_is_told_what_they_may_know(
    app: tuple[Flask, dict[str, str]], name: str, cameras: list[str], machine: bool, watching: bool, log: bool
) -> None:
    status = _ask(app, name).json
    assert [camera["name"] for camera in status["cameras"]] == cameras
    assert [status[part] is not None for part in ("machine", "watching", "log")] == [machine, watching, log]
    page = _ask(app, name, "/status").text
    assert ('id="machine-title"' in page, 'id="log"' in page) == (machine, log)


@pytest.mark.parametrize("name", ["front", "front-admin"])
def test_nothing_is_told_of_cameras_that_may_not_be_seen(
    app: tuple[Flask, dict[str, str]], name: str
) -> None:
    engine: Engine = app[0].extensions["stream_server"]
    logging.getLogger("stream_server").warning("camera yard: something")
    with engine.watch("yard", Variant(), 5, "192.0.2.7"):
        answer = _ask(app, name)
        assert "yard" not in answer.text
        assert "192.0.2.7" not in answer.text
        assert answer.json["viewers"] == 0
        assert answer.json["is_ready"] is True
        assert answer.json["summary"] == "All is well: the camera shows pictures."
        assert _ask(app, "root").json["watching"][0]["address"] == "192.0.2.7"
    frames = {stage["stage"]: stage["frames"] for stage in _ask(app, "yard").json["latency"]["stages"]}
    assert frames["capture"] == 0


def test_admin_reads_the_log_from_a_line_on(app: tuple[Flask, dict[str, str]]) -> None:
    log = logging.getLogger("stream_server.diagnostics.status")
    log.addHandler(RECENT_LOG)
    try:
        log.warning("first")
        newest = _ask(app, "root").json["log"][-1]
        assert (newest["level"], newest["text"]) == ("WARNING", "first")
        log.warning("second")
        newer = _ask(app, "root", f"/api/v1/status?log_after={newest['number']}").json["log"]
        assert [line["text"] for line in newer] == ["second"]
    finally:
        log.removeHandler(RECENT_LOG)
    answer = _ask(app, "root", "/api/v1/status?log_after=-1")
    assert answer.status_code == 400
    assert "log_after" in answer.json["detail"]


def test_cameras_come_and_go_while_it_is_looked(tmp_path: Path) -> None:
    config = Config.load(None, cameras={"front": SMALL}, detector={"workers": 0})
    more = config.model_copy(
        update={"cameras": {**config.cameras, "new": CameraConfig.model_validate(SMALL)}}
    )
    with Engine(config) as engine, create_app(engine).test_client() as client:

        def names() -> list[str]:
            answer = client.get("/api/v1/status").json
            assert answer is not None
            return [camera["name"] for camera in answer["cameras"]]

        assert names() == ["front"]
        engine.apply(more)
        assert names() == ["front", "new"]
        engine.apply(config)
        assert names() == ["front"]


# A server.


def test_server_tells_viewers_processes_and_what_is_wrong() -> None:
    with (
        HTTPCamera(authentication="basic") as camera,
        Server(
            *SMALL_DEMO, *NO_DETECTOR,
            "--set", f"cameras.gate.source={camera.with_credentials('admin:Gartentor-99')}",
        ) as server,
        Viewer(server.port, "/cameras/demo/stream.mjpg?width=160&overlay=none") as viewer,
    ):  # fmt: skip
        viewer.read(5)
        server.wait_for_camera(lambda info: info["state"] == "auth_failed", 30, "gate")
        answer = server.get("/api/v1/status")
        status = answer.json
        (trouble,) = (each for each in status["troubles"] if each["camera"] == "gate")
        assert trouble["level"] == "error"
        assert "cameras.gate.password" in trouble["advice"]
        assert "Gartentor-99" not in answer.text
        (watching,) = status["watching"]
        assert (watching["camera"], watching["address"], watching["overlay"]) == ("demo", "127.0.0.1", "none")
        assert watching["width"] == 160
        assert watching["bytes"] > 1000
        names = {process["name"]: process["pid"] for process in status["machine"]["processes"]}
        assert names == {"supervisor": server.process.pid, "web": server.web_worker}
        assert any("auth_failed" in line["text"] for line in status["log"])
        assert status["latency"]["stages"][0]["frames"] > 0
