"""What is to be copied from a camera's page: run as it stands there, by the programs it is for."""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import cv2
import pytest
import yaml

from stream_server.accounts.store import Store
from tests.support.needs import need
from tests.support.server import NO_DETECTOR, SMALL_DEMO, Server

WITHIN_S = 30.0


class Page(NamedTuple):
    """A camera's page, by the names of its snippets what there is to copy; what it needs to be run."""

    server: Server
    text: str
    snippets: Mapping[str, str]
    environment: Mapping[str, str]


def _page(server: Server, token: str = "", headers: Mapping[str, str] | None = None) -> Page:
    shown = {"Authorization": f"Bearer {token}"} if token else {}
    answer = server.get("/cameras/demo", {**shown, **(headers or {})})
    assert answer.status == 200
    found = re.findall(r'<code id="([\w-]+)">(.*?)</code>', answer.text, re.DOTALL)
    snippets = {name: html.unescape(text) for name, text in found}
    return Page(server, answer.text, snippets, {"TOKEN": token, "SDL_VIDEODRIVER": "dummy"})


@pytest.fixture(scope="module", params=["open", "by token"])
def page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The page of a server that everybody may ask, and of one that wants a token."""
    if request.param == "open":
        with Server(*SMALL_DEMO, *NO_DETECTOR) as server:
            yield _page(server)
        return
    database = f"sqlite:///{tmp_path_factory.mktemp('snippets')}/accounts.db"
    with closing(Store.open(database)) as store:
        token = store.add_token("demo", cameras=frozenset({"demo"}))
        with Server(*SMALL_DEMO, *NO_DETECTOR, "--set", f"auth.database={database}") as server:
            yield _page(server, token)


def _run(page: Page, command: str, folder: Path) -> str:
    done = subprocess.run(
        ["sh", "-ec", command],
        cwd=folder,
        env={**os.environ, **page.environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_curl_gets_picture_and_state(page: Page, tmp_path: Path) -> None:
    need("curl")
    _run(page, page.snippets["curl-picture"], tmp_path)
    picture = cv2.imread(str(tmp_path / "demo.jpg"))
    assert picture is not None
    assert picture.shape == (180, 320, 3)
    assert yaml.safe_load(_run(page, page.snippets["curl-state"], tmp_path))["state"] == "online"


def test_ffmpeg_records_the_stream(page: Page, tmp_path: Path) -> None:
    need("ffmpeg")
    _run(page, page.snippets["ffmpeg"].replace("-t 10", "-t 1"), tmp_path)
    video = cv2.VideoCapture(str(tmp_path / "demo.mp4"))
    frames = 0
    while video.read()[0]:
        frames += 1
    video.release()
    assert 5 <= frames <= 40


def test_ffplay_plays_the_stream(page: Page) -> None:
    need("ffplay")
    with subprocess.Popen(
        ["sh", "-ec", f"exec timeout 20 {page.snippets['ffplay']}"],
        env={**os.environ, **page.environment},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stderr
        told = next((line for line in running.stderr if "Video:" in line), "it ended")
        running.kill()
    assert "mjpeg" in told
    assert "320x180" in told


def test_opencv_reads_frames(page: Page) -> None:
    with subprocess.Popen(
        [sys.executable, "-uc", page.snippets["opencv"]],
        env={**os.environ, **page.environment},
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout
        assert [running.stdout.readline() for _ in range(3)] == ["(180, 320, 3)\n"] * 3
        running.kill()


def test_every_address_is_answered(page: Page) -> None:
    assert {"img", "player", "frame", "mjpeg-camera", "generic-camera", "sensor", "grafana", "vlc"} <= set(
        page.snippets
    )
    headers = {"Authorization": f"Bearer {page.environment['TOKEN']}"} if page.environment["TOKEN"] else {}
    for name, text in page.snippets.items():
        for address in re.findall(r"https?://[^\s\"'<>]+", text):
            path = urlsplit(address).path
            assert address.startswith(page.server.url), name
            assert page.server.get(path, headers, method="HEAD").status == 200, (name, address)


def test_token_is_asked_for_where_one_is_needed(page: Page) -> None:
    assert ("stream-server token add" in page.text) == bool(page.environment["TOKEN"])
    for text in page.snippets.values():
        assert ("TOKEN" in text) == bool(page.environment["TOKEN"]), text
        assert not page.environment["TOKEN"] or page.environment["TOKEN"] not in text


def test_sensor_is_yaml_that_reads_the_count(page: Page) -> None:
    (sensor,) = yaml.safe_load(page.snippets["sensor"])["rest"]
    assert sensor["resource"] == f"{page.server.url}/api/v1/cameras/demo"
    assert "value_json.objects.person" in sensor["sensor"][0]["value_template"]


def test_only_admins_are_led_to_zones_and_settings(page: Page) -> None:
    is_viewer = bool(page.environment["TOKEN"])
    assert ("Draw regions" in page.text) != is_viewer
    assert ("Camera settings" in page.text) != is_viewer


def test_addresses_are_those_that_others_use() -> None:
    with Server(
        *SMALL_DEMO, *NO_DETECTOR, "--set", "server.trusted_proxies=[127.0.0.1]",
        "--set", "server.allowed_hosts=[home.example]",
            "--set", "auth.open=true",
    ) as server:  # fmt: skip
        shown = _page(
            server,
            headers={
                "X-Forwarded-Host": "home.example",
                "X-Forwarded-Proto": "https",
                "X-Forwarded-Prefix": "/cams",
            },
        )
    assert (
        shown.snippets["img"] == '<img src="https://home.example/cams/cameras/demo/stream.mjpg" alt="demo">'
    )
    assert 'src="https://home.example/cams/static/embed.js"' in shown.snippets["player"]
    assert "127.0.0.1" not in "".join(shown.snippets.values())
