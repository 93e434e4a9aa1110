"""The examples of how to send pictures are run, each as those who copy it do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.needs import need, need_foreign
from tests.support.paths import CHECKOUT, DATA
from tests.support.posts import base64_of
from tests.support.server import ONE_WORKER, SMALL_DEMO, Server

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.server(*SMALL_DEMO, *ONE_WORKER, finds=True)

EXAMPLES = CHECKOUT / "examples" / "api"
PICTURE = DATA / "astronaut.jpg"
COLLECTION: dict[str, Any] = json.loads((EXAMPLES / "postman_collection.json").read_text())


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


@pytest.fixture(scope="module")
def postman(server: Server, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What Postman's own runner got for each request, by its name; only server and picture are told."""
    newman = need_foreign("node/node_modules/newman/bin/newman.js")
    report = tmp_path_factory.mktemp("newman") / "report.json"
    options = ["--working-dir", str(PICTURE.parent), "--reporters", "json"]
    options += ["--reporter-json-export", str(report)]
    for name, value in (("server", server.url), ("picture", PICTURE.name)):
        options += ["--env-var", f"{name}={value}"]
    collection = str(EXAMPLES / "postman_collection.json")
    run(server, need("node"), str(newman), "run", collection, *options, cwd=report.parent)
    ran = json.loads(report.read_text())["run"]
    assert not ran["failures"]
    return {done["item"]["name"]: done["response"] for done in ran["executions"]}


@pytest.mark.parametrize("item", COLLECTION["item"], ids=lambda item: str(item["name"]))
def test_postmans_requests_are_answered(postman: dict[str, Any], item: dict[str, Any]) -> None:
    answer = postman[item["name"]]
    body = bytes(answer["stream"]["data"])
    assert answer["code"] == 200, body
    if {"key": "Content-Type", "value": "image/jpeg"} in answer["header"]:
        assert body.startswith(b"\xff\xd8")
    else:
        assert b'"person"' in body or b'"cat"' in body


def test_collection_is_one_that_postman_reads() -> None:
    assert COLLECTION["info"]["schema"].endswith("/collection/v2.1.0/collection.json")
    assert {variable["key"] for variable in COLLECTION["variable"]} == {
        "server",
        "token",
        "picture",
        "base64",
    }
