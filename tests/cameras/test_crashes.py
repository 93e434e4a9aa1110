"""Cameras whose pictures crash the web worker."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from stream_server.cameras import crashes
from stream_server.cameras.crashes import PATIENCE, CrashBoard
from stream_server.config import SourceConfig
from stream_server.errors import SourceError
from tests.support.cameras.crashing import AT_ONCE, BY_A_PICTURE, ELSEWHERE
from tests.support.patience import PATIENCE_S
from tests.support.server import Server

COMMAND = (sys.executable, "-m", "tests.support.cameras.crashing")
CONFIG = """\
detector: {{workers: 0}}
cameras:
  good: {{source: "demo:", width: 320, height: 180, fps: 10}}
  bad: {{source: "demo:", width: {width}, height: 180, fps: 10}}
"""


@pytest.fixture
def board() -> Iterator[CrashBoard]:
    with closing(CrashBoard()) as board:
        yield board


@pytest.mark.parametrize("width", [AT_ONCE, BY_A_PICTURE, ELSEWHERE])
def test_camera_that_crashes_the_worker_is_left_out_and_named(tmp_path: Path, width: int) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG.format(width=width))
    with Server("--config", str(config), command=COMMAND) as server:
        server.wait_for_line(rf"camera bad: its pictures crashed .*, {PATIENCE + 1} times")
        reason = f"left out: its pictures crashed the server {PATIENCE + 1} times"
        server.wait_for_camera(lambda info: info["reason"] == reason, PATIENCE_S, "bad")
        server.wait_for_camera(lambda info: info["state"] == "online", PATIENCE_S, "good")
        worker = server.web_worker
        (trouble,) = server.get("/api/v1/status").json["troubles"]
        assert (trouble["camera"], trouble["what"]) == ("bad", f"offline: {reason}")
        assert "settings are changed" in trouble["advice"]
        config.write_text(CONFIG.format(width=368))
        server.wait_for_camera(lambda info: info["state"] == "online", PATIENCE_S, "bad")
        assert server.web_worker == worker, "nothing crashed any more"


def test_cameras_that_crashed_are_opened_last_and_alone(
    board: CrashBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr("stream_server.cameras.crashes.time.monotonic", lambda: now[0])
    first, second = SourceConfig(source="demo:", width=320), SourceConfig(source="demo:", width=640)
    for name, config in (("first", first), ("second", second)):
        state = board._read()
        state["threads"]["7f"] = [name, _print_of(board, config)]
        for _ in range(PATIENCE):
            board._attribute(state, "Fatal Python error: Aborted\n\nCurrent thread 0x000000000000007f (most")
        board._write(state)
    board._began = now[0]
    with pytest.raises(SourceError, match="last and alone"):
        board.check("first", first)
    now[0] += 6
    board.check("first", first)
    with pytest.raises(SourceError, match="last and alone"):
        board.check("second", second)
    now[0] += 6
    board.check("second", second)
    board.check("second", SourceConfig(source="demo:", width=800))


def _print_of(board: CrashBoard, config: SourceConfig) -> str:
    board.note_thread("other", config)
    threads = board._read()["threads"].values()
    return next(fingerprint for name, fingerprint in threads if name == "other")


def test_crash_of_a_librarys_thread_is_nobodys(board: CrashBoard, caplog: pytest.LogCaptureFixture) -> None:
    board._attribute(board._read(), "Fatal Python error: Segmentation fault\n\nCurrent thread 0x01 (most")
    assert "unknown" in caplog.text
    board.check("any", SourceConfig(source="demo:"))


def test_ended_threads_are_forgotten(board: CrashBoard) -> None:
    """Another thread may get the number of one that ended, and has nothing to do with its camera."""
    config = SourceConfig(source="demo:")
    crashes.use(board)
    try:
        with crashes.working_on("front", config):
            assert [camera for camera, _ in board._read()["threads"].values()] == ["front"]
        with pytest.raises(SourceError), crashes.working_on("back", config):
            raise SourceError("broken")
        assert board._read()["threads"] == {}
    finally:
        crashes.use(None)
