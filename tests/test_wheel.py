"""What people install: the wheel, in an environment of its own, away from the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.support.needs import need
from tests.support.paths import CHECKOUT
from tests.support.server import Server, run_command

pytestmark = pytest.mark.slow

SOURCES = ("detector", "stream_server", "templates", "static")
FILES = ("setup.cfg", "setup.py", "pyproject.toml", "README.md", "LICENSE")


def _run(*command: str | Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [str(word) for word in command],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built of a copy, so that nothing old in the checkout's `build` gets into it."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in SOURCES:
        shutil.copytree(CHECKOUT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(CHECKOUT / name, source)
    _run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", folder, source)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module", params=["linked", pytest.param("downloaded", marks=pytest.mark.soak)])
def programs(
    request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """The folder of programs of a new environment that holds the wheel and what it says it needs, no more."""
    folder = tmp_path_factory.mktemp("environment")
    if request.param == "linked":
        _install_linked(wheel, folder)
    else:
        _run(sys.executable, "-m", "venv", folder)
        _run(folder / "bin" / "pip", "install", "--disable-pip-version-check", wheel)
    yield folder / "bin"
    shutil.rmtree(folder)  # up to 600 MB, which pytest would keep for the next three runs


def _install_linked(wheel: Path, folder: Path) -> None:
    """Make an environment with the wheel, and what that needs from this one, which saves to download it."""
    _run(sys.executable, "-m", "venv", "--without-pip", folder)
    install = (sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "install", "--no-deps")
    _run(*install, "--disable-pip-version-check", wheel)
    (packages,) = folder.glob("lib/python*/site-packages")
    (installed,) = distributions(name="stream-server", path=[str(packages)])
    for needed in _needed_by(installed, {}).values():
        _link(needed, packages)


def _needed_by(package: Distribution, found: dict[str, Distribution]) -> dict[str, Distribution]:
    """Return by name what a package says it needs, and what that needs, as it is installed here."""
    for line in package.requires or ():
        requirement = Requirement(line)
        is_for_us = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if is_for_us and requirement.name not in found:
            needed = distribution(requirement.name)
            assert requirement.specifier.contains(needed.version, prereleases=True), line
            found[requirement.name] = needed
            _needed_by(needed, found)
    return found


def _link(package: Distribution, folder: Path) -> None:
    """Make a package of this environment one of the one in `folder`."""
    for name in {file.parts[0] for file in package.files or ()} - {"..", "__pycache__"}:
        if not (folder / name).exists():
            (folder / name).symlink_to(str(package.locate_file(name)))


@pytest.fixture(scope="module")
def server(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(
        "--source", "demo:", "--set", "detector.workers=1",
        command=(str(programs / "stream-server"),), cwd=tmp_path_factory.mktemp("elsewhere"),
    ) as server:  # fmt: skip
        yield server


def test_wheel_holds_all_that_the_packages_hold(wheel: Path) -> None:
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    inside = {"templates": "stream_server/templates", "static": "stream_server/static"}
    wanted = {
        path.relative_to(CHECKOUT).as_posix().replace(name, inside.get(name, name), 1)
        for name in SOURCES
        for path in (CHECKOUT / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packed == wanted


def test_installed_program_finds_templates_files_and_model(server: Server) -> None:
    info = server.wait_for_camera(lambda info: "cat" in info["objects"], 30, "camera")
    assert info["width"] == 1280
    assert "<title>Cameras · stream-server</title>" in server.get("/").text
    style = server.get("/static/style.css")
    assert style.status == 200
    assert style.headers["content-type"].startswith("text/css")
    snapshot = server.get("/cameras/camera/snapshot.jpg")
    assert snapshot.status == 200
    assert snapshot.body.startswith(b"\xff\xd8")


def test_installed_program_runs_its_own_code(programs: Path, tmp_path: Path) -> None:
    done = run_command(
        "-c",
        "import detector, stream_server; print(detector.__file__, stream_server.__file__)",
        command=(str(programs / "python"),),
        cwd=tmp_path,
    )
    assert done.stdout.count(str(programs.parent)) == 2


def test_checkout_runs_from_make(tmp_path: Path) -> None:
    """`make run` starts what this environment holds; that it makes one first is what `--dry-run` shows."""
    plan = subprocess.run(
        [need("make"), "--dry-run", "--always-make", "run", f"VENV={tmp_path}/venv"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    steps = ["-m venv", "pip install", "stream-server run --config"]
    places = [plan.find(step) for step in steps]
    assert places == sorted(places)
    assert places[0] >= 0
