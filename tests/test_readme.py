"""What the README says is so."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import cv2
import pytest

from stream_server.cli import command
from stream_server.config.source_url import parse_source
from stream_server.web.live.mjpeg import StreamQuery
from tests.support.paths import CHECKOUT, DATA
from tools.config_reference import README, updated

TEXT = README.read_text(encoding="utf-8")


def test_the_configuration_reference_is_current() -> None:
    assert updated(TEXT) == TEXT, "run python tools/config_reference.py"


def test_every_stream_parameter_is_explained() -> None:
    for name in StreamQuery.model_fields:
        assert re.search(rf"^\|.*`{name}`", TEXT, re.MULTILINE), name


@pytest.mark.parametrize("line", re.findall(r"^(?:\w+=\w+ )?stream-server run .*$", TEXT, re.MULTILINE))
def test_a_command_line_is_accepted(line: str) -> None:
    words = [word for word in shlex.split(line, comments=True) if "=" not in word or word.startswith("--")]
    context = command.commands["run"].make_context("run", words[2:])
    for source in context.params["sources"]:
        parse_source(source)


def test_the_detector_alone_works_as_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    picture = cv2.imread(str(DATA / "astronaut.jpg"))
    cv2.imwrite(str(tmp_path / "street.jpg"), picture)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    assert re.match(r"person 0\.\d+ \[", capsys.readouterr().out)


@pytest.mark.parametrize("path", re.findall(r"\]\(([\w./-]+)\)", TEXT))
def test_a_linked_file_is_there(path: str) -> None:
    assert (CHECKOUT / path).exists()
