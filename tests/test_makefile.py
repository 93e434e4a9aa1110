"""`make run` as a newcomer types it, and what `make` installs."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
import yaml

from stream_server.config import Config
from tests.support.needs import need
from tests.support.paths import CHECKOUT
from tests.support.server import NO_DETECTOR, Server

SHIPPED = CHECKOUT / "config.yaml"
LOCAL = "config.local.yaml"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with what `make run` needs, in whose environment the product is installed already."""
    for name in ("Makefile", "config.yaml", "setup.cfg", "pyproject.toml"):
        shutil.copy(CHECKOUT / name, tmp_path)
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "pip").touch()
    (programs.parent / ".run").touch()
    command = programs / "stream-server"
    command.write_text(f'#!/bin/sh\nPYTHONPATH={CHECKOUT} exec {sys.executable} -m stream_server "$@"\n')
    command.chmod(0o755)
    return tmp_path


class MakeRun(Server):
    """`make run ARGS="--port 0 …"` in a folder."""

    def __init__(self, *arguments: str, cwd: Path) -> None:
        super().__init__(*arguments, cwd=cwd)
        at = self._command.index(sys.executable)
        words = self._command[self._command.index("run") + 1 :]
        self._command[at:] = [need("make"), "run", f"ARGS={' '.join(words)}"]


def test_a_camera_added_on_the_page_is_written_into_a_file_that_git_ignores(checkout: Path) -> None:
    with MakeRun(*NO_DETECTOR, cwd=checkout) as server:
        asked = Request(f"{server.url}/api/v1/settings/cameras/garden", b'{"source": "demo:"}', method="PUT")
        asked.add_header("Content-Type", "application/json")
        with urlopen(asked, timeout=10) as answer:
            assert answer.status == 201
    assert (checkout / "config.yaml").read_text() == SHIPPED.read_text()
    written = (checkout / LOCAL).read_text()
    assert yaml.safe_load(written)["cameras"] == {"garden": {"source": "demo:"}}
    with MakeRun(*NO_DETECTOR, cwd=checkout) as server:
        assert server.camera("garden")["state"]
    assert (checkout / LOCAL).read_text() == written
    git = subprocess.run([need("git"), "check-ignore", LOCAL], cwd=CHECKOUT, capture_output=True, check=False)
    assert git.returncode == 0


def test_what_the_shipped_file_shows_can_be_used_by_taking_the_marks_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRONT_DOOR_PASSWORD", "secret")
    file = tmp_path / "config.yaml"
    file.write_text(re.sub(r"^( *)# ?( *[\w-]+:)", r"\1\2", SHIPPED.read_text(), flags=re.MULTILINE))
    config = Config.load(file)
    assert set(config.cameras) == {"front-door", "garden", "desk"}
    assert config.detector.classes


@pytest.mark.parametrize("target", ["run", "test", "lint"])
def test_the_product_is_installed_as_it_stands_and_pip_shows_how_far_it_is(target: str) -> None:
    """A copy in site-packages would be what is tested from then on."""
    command = [need("make"), "--dry-run", "--always-make", target]
    shown = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout
    installs = re.findall(r"^[^#]*\.venv/bin/pip install (.*)$", shown, re.MULTILINE)
    assert installs
    for options in installs:
        assert "--editable" in options
        assert "--quiet" not in options
