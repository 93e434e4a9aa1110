"""The examples of how to send pictures are run, each as those who copy it do."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.needs import need
from tests.posts import base64_of, post, post_form
from tests.server import CHECKOUT, SMALL_DEMO, Answer, Server

if TYPE_CHECKING:
    from playwright.sync_api import Page

EXAMPLES = CHECKOUT / "examples" / "api"
PICTURE = CHECKOUT / "tests" / "data" / "astronaut.jpg"
COLLECTION: dict[str, Any] = json.loads((EXAMPLES / "postman_collection.json").read_text())


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(*SMALL_DEMO, "--set", "detector.workers=1") as server:
        server.wait_for_camera(lambda info: bool(info["objects"]), 60)
        yield server


def run(server: Server, *command: str, cwd: Path) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, "STREAM_SERVER": server.url},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def test_curl_gets_json_and_the_picture(server: Server, tmp_path: Path) -> None:
    need("curl")
    lines = run(server, "sh", str(EXAMPLES / "detect.sh"), str(PICTURE), cwd=tmp_path).splitlines()
    one, two = (json.loads(line)["images"] for line in lines)
    assert [found["label"] for image in (*one, *two) for found in image["detections"]] == ["person"] * 3
    assert (tmp_path / "annotated.jpg").read_bytes().startswith(b"\xff\xd8")


def test_python_prints_what_is_found(server: Server, tmp_path: Path) -> None:
    shown = run(server, sys.executable, str(EXAMPLES / "detect.py"), str(PICTURE), str(PICTURE), cwd=tmp_path)
    assert [line.startswith(f"{PICTURE}: person 0.") for line in shown.splitlines()] == [True, True]


@pytest.mark.browser
def test_javascript_works_in_a_page(server: Server, page: Page) -> None:
    page.goto(server.url)
    script = (EXAMPLES / "detect.js").read_text()
    found = page.evaluate(
        f"""async (picture) => {{
            {script}
            const bytes = Uint8Array.from(atob(picture), (letter) => letter.charCodeAt(0));
            const wrong = await detect(new Blob([bytes]), {{classes: "person"}}).catch(String);
            return wrong.detections;
        }}""",
        base64_of(PICTURE.read_bytes()),
    )
    assert [one["label"] for one in found] == ["person"]


@pytest.mark.parametrize("item", COLLECTION["item"], ids=lambda item: str(item["name"]))
def test_postmans_requests_are_answered(server: Server, item: dict[str, Any]) -> None:
    answer = send(server, item["request"])
    assert answer.status == 200, answer.text
    if answer.headers["content-type"] == "image/jpeg":
        assert answer.body.startswith(b"\xff\xd8")
    else:
        assert "person" in answer.text


def send(server: Server, asked: dict[str, Any]) -> Answer:
    """Send what Postman would; the variables are those of the collection."""
    url = urlsplit(asked["url"]["raw"].replace("{{server}}", server.url))
    path = f"{url.path}?{url.query}"
    headers = {header["key"]: header["value"] for header in asked["header"]}
    body = asked.get("body", {})
    match body.get("mode"):
        case None:
            return server.get(path, headers)
        case "raw":
            text = body["raw"].replace("{{base64}}", base64.b64encode(PICTURE.read_bytes()).decode())
            return post(server.port, path, text.encode(), headers)
        case "formdata":
            fields = {part["key"]: part["value"] for part in body["formdata"] if part["type"] == "text"}
            return post_form(server.port, path, [PICTURE.read_bytes()], fields)
        case mode:
            assert mode == "file"
            assert body["file"]["src"] == "{{picture}}"
            return post(server.port, path, PICTURE.read_bytes(), headers)


def test_collection_is_one_that_postman_reads() -> None:
    assert COLLECTION["info"]["schema"].endswith("/collection/v2.1.0/collection.json")
    assert {variable["key"] for variable in COLLECTION["variable"]} == {
        "server",
        "token",
        "picture",
        "base64",
    }
