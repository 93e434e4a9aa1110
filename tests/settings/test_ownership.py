"""A folder is one server's; a second one that would work in it does not start."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.support.leaks import wait_until
from tests.support.server import NO_DETECTOR, Server, run_command


def _settings(folder: Path, name: str = "config.yaml") -> tuple[str, ...]:
    config = folder / name
    config.write_text("cameras: {front: {source: 'push:'}}\n")
    database = f"auth.database=sqlite:///{folder}/data/accounts.db"  # the default, after the tests' own
    return ("--config", str(config), *NO_DETECTOR, "--set", database)


def _second(*settings: str) -> tuple[int, list[str]]:
    done = run_command("run", "--port", "0", *settings)
    return done.returncode, done.stderr.splitlines()


def test_second_server_in_a_folder_does_not_start(tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    with Server(*settings) as server:
        code, (line,) = _second(*settings)
        assert code == 2
        assert line == (
            f"stream-server: auth.database: {tmp_path}/data/accounts.db is in use by another server (process "
            f"{server.process.pid}, {server.url}/); stop it, or give this one a folder of its own (--config "
            "in another folder, or --set auth.database and videos.folder)"
        )
        assert run_command("token", "add", "one", *settings[:2]).returncode == 0  # commands may go on
        assert server.get("/healthz").status == 200


@pytest.mark.parametrize("name", ["second.yaml", "config.yaml"])
def test_second_server_with_the_same_videos_does_not_start(tmp_path: Path, name: str) -> None:
    videos = ("--set", f"videos.folder={tmp_path}/videos")
    (tmp_path / "videos").mkdir()
    (tmp_path / "other").mkdir()
    with Server(*_settings(tmp_path), *videos):
        code, (line,) = _second(*_settings(tmp_path / "other", name), *videos)
        assert code == 2
        assert line.startswith(f"stream-server: videos.folder: {tmp_path}/videos is in use by another server")


@pytest.mark.parametrize("key", ["auth.database", "videos.folder"])
def test_folder_that_was_not_there_is_taken_too(tmp_path: Path, key: str) -> None:
    value = {
        "auth.database": f"sqlite:///{tmp_path}/new/folder/a.db",
        "videos.folder": f"{tmp_path}/new/folder",
    }
    shared = ("--set", f"{key}={value[key]}")
    (tmp_path / "other").mkdir()
    with Server(*_settings(tmp_path), *shared):
        code, (line,) = _second(*_settings(tmp_path / "other"), *shared)
        assert code == 2
        assert line.startswith(f"stream-server: {key}: {tmp_path}/new/folder")
        assert "is in use by another server" in line


def test_folder_stays_taken_when_the_worker_is_another_and_is_free_after_the_end(tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    with Server(*settings) as server:
        old = server.web_worker
        os.kill(old, signal.SIGKILL)
        assert wait_until(lambda: _is_another(server, old), 20)
        assert _second(*settings)[0] == 2
        server.process.kill()  # the worker notices, and goes
        with Server(*settings) as next_one:
            assert next_one.get("/healthz").status == 200


def _is_another(server: Server, old: int) -> bool:
    try:
        return server.web_worker != old and server.get("/healthz", timeout_s=2).status == 200
    except (OSError, ValueError):
        return False


def test_server_that_can_write_nothing_starts(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("in the way")
    with Server(*_settings(tmp_path), "--set", f"auth.database=sqlite:///{tmp_path}/none/a.db") as server:
        assert server.get("/healthz").status == 200
