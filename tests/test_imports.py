"""Which room may import which: every package stands on a floor, and imports only from those below it."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.paths import CHECKOUT

FLOORS = (
    ("stream_server.errors", "stream_server.services"),
    ("stream_server.base",),
    ("stream_server.config", "stream_server.media", "stream_server.telemetry", "stream_server.database"),
    ("stream_server.detection", "stream_server.drawing", "stream_server.accounts", "stream_server.net"),
    ("stream_server.sources", "stream_server.streaming", "stream_server.schemas"),
    ("stream_server.cameras", "stream_server.images", "stream_server.video", "stream_server.discovery"),
    ("stream_server.pipeline", "stream_server.jobs"),
    ("stream_server.engine",),
    ("stream_server.settings",),
    ("stream_server.diagnostics",),
    (
        "stream_server.web.context",
        "stream_server.web.html",
    ),
    ("stream_server.web.arguments", "stream_server.web.forms", "stream_server.web.schemas"),
    ("stream_server.web.request_body",),
    ("stream_server.web.security",),
    ("stream_server.web.transport",),
    ("stream_server.web.live",),
    ("stream_server.web.api",),
    ("stream_server.web.compat", "stream_server.web.openapi"),
    ("stream_server.web.pages",),
    ("stream_server.web.app",),
    ("stream_server.serve",),
    ("stream_server.cli",),
)
DETECTOR_FLOORS = (
    ("detector.errors", "detector.model_file", "detector.plain_yaml"),
    ("detector.detections", "detector.machine", "detector.checksums", "detector.locks"),
    ("detector.backends", "detector.heads", "detector.zoo"),
    ("detector.labels", "detector.inference", "detector.pool"),
    ("detector.detector",),
)
"""From the lowest to the highest; the library `detector` stands below all of `stream_server`."""

ONLY_IN = {
    "flask": ("stream_server.web", "stream_server.serve"),
    "click": ("stream_server.cli",),
    "gunicorn": ("stream_server.serve", "stream_server.web.transport"),
    "sqlalchemy": (
        "stream_server.database",
        "stream_server.accounts.store",
        "stream_server.accounts.tables",
        "stream_server.jobs.store",
        "stream_server.jobs.tables",
    ),
    "av": ("stream_server.media", "stream_server.sources", "stream_server.video"),
}
NOT_IN = {
    "cv2": (
        "stream_server.config",
        "stream_server.base",
        "stream_server.telemetry",
        "stream_server.accounts",
        "stream_server.web.security",
    )
}
FREE = ("stream_server", "stream_server.__main__", "detector")
"""Faces, which hand on what others have."""


def _modules() -> Iterator[tuple[str, ast.Module]]:
    for package in ("stream_server", "detector"):
        for path in sorted((CHECKOUT / package).rglob("*.py")):
            parts = path.relative_to(CHECKOUT).with_suffix("").parts
            name = ".".join(parts).removesuffix(".__init__")
            yield name, ast.parse(path.read_text(encoding="utf-8"))


MODULES = dict(_modules())


def _imports(name: str) -> set[str]:
    """Return the modules that a module imports, anywhere in it, but for those of types alone."""
    found: set[str] = set()
    skipped: set[ast.AST] = set()
    for node in ast.walk(MODULES[name]):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            skipped.update(each for part in node.body for each in ast.walk(part))
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found.update({each for each in names if each in MODULES} or {node.module})
    return found


def _is_in(name: str, rooms: tuple[str, ...]) -> bool:
    return any(name == room or name.startswith(f"{room}.") for room in rooms)


def _room(name: str) -> tuple[int, str] | None:
    """Return floor and room of a module of ours, None for a face or what others wrote."""
    if name in FREE:
        return None
    for level, rooms in enumerate((*DETECTOR_FLOORS, *FLOORS)):
        for room in rooms:
            if _is_in(name, (room,)):
                return level, room
    return None


def test_every_module_stands_on_a_floor() -> None:
    packages = {"stream_server.web"} | set(FREE)
    assert [name for name in MODULES if name not in packages and _room(name) is None] == []


@pytest.mark.parametrize("name", MODULES)
def test_module_imports_only_from_below(name: str) -> None:
    ours = _room(name)
    if ours is None:
        return
    level, room = ours
    wrong = [
        imported
        for imported in sorted(_imports(name))
        if (theirs := _room(imported)) and theirs[1] != room and theirs[0] >= level
    ]
    assert not wrong, f"{name} is on floor {level} and imports from there or above: {wrong}"


@pytest.mark.parametrize("name", MODULES)
def test_libraries_stay_in_their_rooms(name: str) -> None:
    libraries = {imported.partition(".")[0] for imported in _imports(name)}
    strangers = {library for library in libraries & ONLY_IN.keys() if not _is_in(name, ONLY_IN[library])}
    strangers |= {library for library in libraries & NOT_IN.keys() if _is_in(name, NOT_IN[library])}
    assert not strangers, f"{name} imports {strangers}"


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = {name: {each for each in _imports(name) if each in MODULES and each != name} for name in MODULES}
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " -> ".join((*way[way.index(name) :], name))
        if name not in done:
            for each in sorted(graph[name]):
                visit(each, (*way, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_configuration_is_read_without_codecs() -> None:
    program = "import sys, stream_server.config; print(*sys.modules)"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=CHECKOUT)
    assert not {"cv2", "av", "flask", "click"} & set(done.stdout.split())
