"""The API's document: it is complete, the page shows it, and a real server does what it says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings

from stream_server.config import Config
from stream_server.engine import Engine
from stream_server.video.formats import KINDS
from stream_server.video.output import contact_sheet
from stream_server.video.output.side_files import SideFile
from stream_server.web.api.video_files import media_type_of
from stream_server.web.app import create_app
from stream_server.web.openapi.document import REASONS, describe
from stream_server.web.openapi.operations import OPERATIONS
from stream_server.web.security.access import NEEDS
from tests.support.needs import need_module
from tests.support.server import SMALL_DEMO, Server, run_command

if TYPE_CHECKING:
    from playwright.sync_api import Page

schemathesis = need_module("schemathesis")
schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")

EXAMPLES = 60
DOCUMENTED = re.compile(r"/api/v1/|/cameras/[^/]+/(stream|snapshot)|/healthz|/readyz|/metrics|/openapi.json")
ENDLESS = {"live.events", "streaming.stream"}
SEARCHES = {"discovery_api.discover"}
"""Each answer takes seconds; tests/web/pages/test_first_run.py asks for some."""
PHONE = "cameras.phone={source: 'push:', on_demand: true, detect: {enabled: false}}"
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
)


@pytest.fixture(scope="module")
def app() -> Iterator[Flask]:
    engine = Engine(Config())
    yield create_app(engine)
    engine.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    videos = ("--set", f"videos.folder={folder}", "--set", f"auth.database=sqlite:///{folder}/accounts.db")
    with Server(*SMALL_DEMO, "--set", PHONE, "--set", "detector.workers=1", *videos) as server:
        server.wait_for_camera(lambda info: info["latency_ms"] is not None, 30)
        yield server


@pytest.fixture(scope="module")
def document(app: Flask) -> dict[str, Any]:
    return describe(app)


def test_every_route_for_programs_is_described(app: Flask) -> None:
    rules = [rule for rule in app.url_map.iter_rules() if DOCUMENTED.match(rule.rule)]
    assert {rule.endpoint for rule in rules if not rule.websocket} == set(OPERATIONS)
    described = {operation.about for operation in OPERATIONS.values()}
    assert {rule.endpoint for rule in rules if rule.websocket} <= described
    assert set(OPERATIONS) <= set(NEEDS)


def test_each_operation_says_what_it_does(document: dict[str, Any]) -> None:
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    for operation in operations:
        assert re.fullmatch(r"[A-Z].{5,}\.", operation["summary"])
        assert {int(status) for status in operation["responses"]} <= set(REASONS)
        for parameter in operation.get("parameters", ()):
            assert parameter["description"], (operation["operationId"], parameter["name"])
            assert "null" not in str(parameter["schema"])


def test_bodies_and_answers_are_of_real_kinds_with_a_schema(document: dict[str, Any]) -> None:
    """Generators of clients leave out what is not."""
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    described = [part for operation in operations for part in operation["responses"].values()]
    described += [operation["requestBody"] for operation in operations if "requestBody" in operation]
    contents = [(kind, media) for part in described for kind, media in part.get("content", {}).items()]
    assert contents
    for kind, media in contents:
        assert re.fullmatch(r"[a-z]+/[a-z0-9.+-]+", kind)
        assert media["schema"]


def test_all_that_is_made_of_videos_has_a_media_type() -> None:
    sides = {side.suffix for side in (*SideFile.__subclasses__(), contact_sheet.Sheet)}
    for suffix in {*KINDS, *sides, ".jpg"}:
        assert media_type_of(Path(f"a{suffix}")) != "application/octet-stream", suffix


def test_references_lead_somewhere(document: dict[str, Any]) -> None:
    names = set(re.findall(r'"\$ref": "#/components/schemas/(\w+)"', json.dumps(document)))
    assert names == set(document["components"]["schemas"])


def test_command_prints_the_document(document: dict[str, Any], tmp_path: Path) -> None:
    done = run_command("openapi", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == document
    assert not any(tmp_path.iterdir())


def test_document_is_served_with_where_it_is_served(server: Server, document: dict[str, Any]) -> None:
    served = server.get("/openapi.json")
    assert served.headers["content-type"] == "application/json"
    assert served.json == {**document, "servers": [{"url": "/"}]}


@pytest.mark.parametrize("path", ["/cameras/demo/stream.mjpg", "/api/v1/cameras/demo/events"])
def test_endless_answers_are_of_the_kind_described(
    server: Server, document: dict[str, Any], path: str
) -> None:
    described = document["paths"][path.replace("demo", "{camera}")]["get"]["responses"]["200"]["content"]
    answer = server.get(path, method="HEAD")
    assert answer.status == 200
    assert answer.headers["content-type"].partition(";")[0] in described


@pytest.mark.browser
def test_page_shows_every_route_and_copies_its_command_line(
    server: Server, document: dict[str, Any], page: Page
) -> None:
    page.goto(f"{server.url}/docs")
    shown = page.locator("section h2").all_inner_texts()
    for path, methods in document["paths"].items():
        for method in methods:
            assert f"{method.upper()} {path}" in shown
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    section = page.locator("#api_list_cameras")
    section.get_by_role("button", name="Copy").click()
    page.get_by_role("button", name="Copied").wait_for()
    line = page.evaluate("navigator.clipboard.readText()")
    assert line == f"curl {server.url}/api/v1/cameras"


# A real server, asked whatever the document allows and more.


@pytest.fixture(scope="module")
def api(server: Server) -> Any:
    return schemathesis.openapi.from_url(f"{server.url}/openapi.json")


@pytest.mark.parametrize(
    ("endpoint", "mode"),
    [(endpoint, "positive") for endpoint in sorted(OPERATIONS.keys() - ENDLESS - SEARCHES)]
    + [
        (endpoint, "negative")
        for endpoint in sorted(OPERATIONS.keys() - ENDLESS)
        if OPERATIONS[endpoint].query
    ],
)
def test_every_answer_is_as_described(api: Any, endpoint: str, mode: str) -> None:
    """Positive: asked what the document allows; negative: what it does not."""
    operation = api.find_operation_by_id(endpoint.replace(".", "_"))
    checks = schemathesis.checks.CHECKS.get_by_names(CHECKS)

    @given(case=operation.as_strategy(generation_mode=schemathesis.GenerationMode(mode)))
    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def ask(case: Any) -> None:
        if generated := case.path_parameters.get("camera"):
            ours = "phone" if case.method == "POST" else "demo"
            case.path_parameters["camera"] = ours if len(generated) % 3 else generated
        case.call_and_validate(checks=checks, timeout=10)

    ask()
