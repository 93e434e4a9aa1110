"""Clients that nobody here wrote, each in an environment of its own: DOODS, tus, OpenAPI, OctoPrint."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
import yaml

from stream_server.accounts.store import Store
from tests.support.leaks import wait_until
from tests.support.needs import need_foreign
from tests.support.nginx import free_port
from tests.support.paths import CHECKOUT, DATA
from tests.support.server import END_WITH_US, Server, get, settings
from tests.support.videos import write_scenes
from tests.support.viewers import Viewer

PICTURE = DATA / "astronaut.jpg"
SCRIPTS = CHECKOUT / "tests" / "foreign"
OCTOPRINT = CHECKOUT / "examples" / "octoprint" / "config.yaml"
CAMERA = "{source: 'demo:', width: 320, height: 180, fps: 5, detect: {enabled: false}}"
PHONE = "{source: 'push:', detect: {enabled: false}}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def token(folder: Path) -> str:
    """An admin's token."""
    with closing(Store.open(f"sqlite:///{folder}/accounts.db")) as store:
        return store.add_token("foreign", "admin")


@pytest.fixture(scope="module")
def server(folder: Path, token: str) -> Iterator[Server]:
    file = folder / "config.yaml"
    file.write_text(f"cameras: {{demo: {CAMERA}, phone: {PHONE}}}\n")
    options = settings(
        "detector.workers=1",
        "api.models=[centernet-mobilenetv3]",
        f"auth.database=sqlite:///{folder}/accounts.db",
        "videos.nice=0",
    )
    with Server("--config", str(file), *options) as server:
        key = {"Authorization": f"Bearer {token}"}
        assert wait_until(lambda: server.get("/detectors", key).status == 200, 30)
        yield server


@pytest.fixture(scope="module")
def video(folder: Path) -> Path:
    """A video of more than one piece of 4096 bytes."""
    path = folder / "short.mp4"
    write_scenes(path, 12, size_wh=(320, 240), codec="mjpeg", pixel_format="yuvj420p")
    assert path.stat().st_size > 3 * 4096
    return path


def run(command: list[str | Path], environment: Mapping[str, str] | None = None) -> str:
    """Run a program to its end, with exit code 0 and nothing on stderr, and return what it prints."""
    done = subprocess.run(
        [*END_WITH_US, *command],
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


def python(script: str, *arguments: str | Path, environment: Mapping[str, str] | None = None) -> str:
    return run([need_foreign("clients/bin/python"), SCRIPTS / script, *arguments], environment)


def uploaded(address: str, token: str) -> Any:
    """Return what the server says of an upload, which it then has to forget, so that others need not wait."""
    headers = {"Authorization": f"Bearer {token}"}
    with urlopen(Request(address, headers=headers), timeout=10) as answer:
        info = json.load(answer)
    with urlopen(Request(address, headers=headers, method="DELETE"), timeout=10) as answer:
        assert answer.status == 204
    return info


# DOODS.


def test_pydoods_finds_a_person(server: Server, token: str) -> None:
    told = json.loads(python("find_by_pydoods.py", server.url, token, PICTURE))
    assert "default" in [detector["name"] for detector in told["detectors"]["detectors"]]
    assert told["found"]["id"] == "7"
    (found,) = told["found"]["detections"]
    assert found["label"] == "person"
    assert found["confidence"] > 40
    assert 0 <= found["left"] < found["right"] <= 1


# Uploads in pieces.


def test_tuspy_goes_on_with_an_upload(server: Server, token: str, video: Path) -> None:
    address = python("upload_by_tuspy.py", f"{server.url}/api/v1/videos", token, video).strip()
    info = uploaded(address, token)
    assert (info["name"], info["bytes"], info["received"]) == (video.name, *[video.stat().st_size] * 2)


@pytest.mark.parametrize("options", ["{}", '{"overridePatchMethod": true}'])
def test_tus_js_client_goes_on_with_an_upload(server: Server, token: str, video: Path, options: str) -> None:
    modules = need_foreign("node/node_modules")
    command = ["node", SCRIPTS / "upload_by_tus_js.cjs", f"{server.url}/api/v1/videos", token, video]
    address = run([*command, options], {"NODE_PATH": str(modules)}).strip()
    info = uploaded(address, token)
    assert (info["name"], info["bytes"], info["received"]) == (video.name, *[video.stat().st_size] * 2)


# The document of the API.


def test_a_client_is_generated_whole_and_works(
    server: Server, token: str, video: Path, tmp_path: Path
) -> None:
    document = tmp_path / "openapi.json"
    document.write_bytes(get(server.port, "/openapi.json", {"Authorization": f"Bearer {token}"}).body)
    programs = need_foreign("clients/bin")
    path = {"PATH": f"{programs}:{os.environ['PATH']}"}
    shown = run(
        [
            programs / "openapi-python-client", "generate", "--path", document, "--meta", "none",
            "--output-path", tmp_path / "generated", "--config", SCRIPTS / "openapi-python-client.yaml",
        ],
        path,
    )  # fmt: skip
    assert "WARNING" not in shown
    where = {"PYTHONPATH": str(tmp_path)}
    told = json.loads(python("use_generated.py", server.url, token, PICTURE, video, environment=where))
    assert told == {
        "cameras": ["demo", "phone"],
        "snapshot": "ffd8",
        "pushed": 1,
        "added": {"source": "demo:", "enabled": False},
        "found": ["person"],
        "health": "ok",
        "metrics": True,
        "state": "done",
        "result": "ftyp",
        "listed": True,
        "removed": 204,
    }


# OctoPrint.


KEY = "0123456789ABCDEF0123456789ABCDEF"
PLUGINS = [
    "achievements", "announcements", "backup", "corewizard", "discovery", "errortracking", "gcodeviewer",
    "health_check", "pluginmanager", "softwareupdate", "tracking", "virtual_printer",
]  # fmt: skip
"""What the test does without: it takes time, or asks other machines."""


def test_octoprint_takes_the_example_and_gets_a_snapshot(tmp_path: Path) -> None:
    octoprint = need_foreign("octoprint/bin/octoprint")
    camera = f"cameras.front-door={CAMERA}"
    with Server("--set", camera, "--set", "detector.workers=0") as server:
        example = yaml.safe_load(OCTOPRINT.read_text().replace("http://192.168.1.10:8080", server.url))
        ours = example["plugins"]["classicwebcam"]
        example["plugins"]["_disabled"] = PLUGINS
        more = {"server": {"firstRun": False, "onlineCheck": {"enabled": False}}, "api": {"key": KEY}}
        (tmp_path / "config.yaml").write_text(yaml.safe_dump({**example, **more}))
        port = free_port()
        command = [*END_WITH_US, octoprint, "serve", "--basedir", tmp_path, "--host", "127.0.0.1"]
        command += ["--port", str(port), "--iknowwhatimdoing"]
        with (tmp_path / "log").open("wb") as log:
            process = subprocess.Popen(
                command, stdout=log, stderr=log, env={**os.environ, "HOME": str(tmp_path)}
            )
        try:
            assert wait_until(lambda: _settings(port) is not None or process.poll() is not None, 90)
            found = _settings(port)
            assert found, (tmp_path / "log").read_text()
            (webcam,) = found["webcam"]["webcams"]
            assert webcam["compat"]["stream"] == ours["stream"]
            assert webcam["compat"]["snapshot"] == ours["snapshot"]
            assert webcam["extras"]["cacheBuster"] is True
            with Viewer(server.port, f"{ours['stream']}&1700000000000".removeprefix(server.url)) as viewer:
                viewer.read(2)
            test = {"command": "url", "url": ours["snapshot"], "method": "GET"}
            assert (
                _ask(port, "/api/util/test", {**test, "content_type_whitelist": ["image/*"]})["result"]
                is True
            )
        finally:
            process.terminate()
            process.wait(30)


def _settings(port: int) -> Any:
    try:
        return _ask(port, "/api/settings")
    except (OSError, HTTPException):  # until all is loaded, it answers with words that are no HTTP
        return None


def _ask(port: int, path: str, body: object = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    headers = {"X-Api-Key": KEY, "Content-Type": "application/json"}
    with urlopen(Request(f"http://127.0.0.1:{port}{path}", data, headers), timeout=20) as answer:
        return json.load(answer)
