"""What is seen of `stream-server annotate` on a terminal, whatever else is written there meanwhile."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.terminal import Terminal
from tests.support.videos import probe, write_scenes

NAME = "a-rather-long-name-of-a-film-of-last-summer.mp4"
FRAMES = 6000
COMMAND = """
import ctypes, logging, os, sys, threading
import stream_server.cli.annotate.batch as batch
from stream_server.cli import main
from tests.video.test_outputs import make_pool
def write_beside():
    libc = ctypes.CDLL(None)
    while True:
        os.write(2, b"Corrupt JPEG data: 7 extraneous bytes before marker 0xd9\\n")
        logging.getLogger("beside").warning("a worker was lost")
        os.system("echo from another process >&2")
        libc.usleep(200_000)
if __name__ == "__main__":
    batch.make_pool = make_pool
    threading.Thread(target=write_beside, daemon=True).start()
    sys.exit(main())
"""
BESIDE = {
    "Corrupt JPEG data: 7 extraneous bytes before marker 0xd9",
    "a worker was lost",
    "from another process",
}


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(tmp_path_factory.mktemp("film") / NAME, FRAMES, options={"preset": "ultrafast"})


@pytest.fixture
def annotate(tmp_path: Path, film: Path) -> list[str]:
    """The command that annotates the film into `tmp_path`, while others write to the terminal."""
    script = tmp_path / "command.py"
    script.write_text(COMMAND)
    return [sys.executable, str(script), "annotate", str(film), "-o", str(tmp_path)]


HERE = {"PYTHONPATH": os.getcwd()}


def _ends_with(*patterns: str) -> Callable[[list[str]], bool]:
    """Return whether the last lines match these patterns."""

    def is_so(lines: list[str]) -> bool:
        last = lines[-len(patterns) :]
        return len(last) == len(patterns) and all(map(re.fullmatch, patterns, last))

    return is_so


@pytest.mark.parametrize(
    ("columns", "bar", "facts"),
    [
        (
            80,
            r"a-rather.+… [━╸╺]{30,}",
            r"\d{2,} of 6000 frames · \d+\.\d fps · \d+:\d\d left · \d+ objects?",
        ),
        (40, r"a-rather.+… [━╸╺]{18,}", r"\d{2,}/6000 (· )?[\d.]+ fps (· )?\d+:\d\d (· )?\d+ objects?"),
    ],
)
def test_bar_stays_whole_below_what_others_write(
    annotate: list[str], columns: int, bar: str, facts: str
) -> None:
    def is_whole(lines: list[str]) -> bool:
        """Return whether there is one bar at most, and nothing but that and what others wrote."""
        shown = "\n".join(line for line in lines if not re.fullmatch(f"{bar}|{facts}", line))
        left = re.sub("|".join(map(_wrapped(columns), BESIDE)), "", shown)
        return len([line for line in lines if "━" in line]) <= 1 and not left.strip()

    with Terminal(annotate, columns=columns, environment=HERE) as terminal:
        terminal.wait_for(_ends_with(bar, facts))
        terminal.wait_for(lambda lines: lines.count("a worker was lost") > 8 and is_whole(lines))


def _wrapped(columns: int) -> Callable[[str], str]:
    """Return what makes of a line the pattern of it in a window of that width."""
    return lambda line: "\n".join(re.escape(line[at : at + columns]) for at in range(0, len(line), columns))


def test_window_that_gets_another_size_and_ctrl_c_leave_the_screen_readable(
    annotate: list[str], tmp_path: Path
) -> None:
    with Terminal(annotate, environment=HERE) as terminal:
        terminal.wait_for(_ends_with(r"a-.+━+", r"\d{2,} of 6000 frames .+"))
        terminal.resize(100, 12)
        lines = terminal.wait_for(_ends_with(r"a-.+━+", r"\d+ of 6000 frames .+ objects?"))
        assert len([line for line in lines if "━" in line]) == 1
        terminal.resize(50, 12)  # what is on its way meanwhile is too wide, and stays
        terminal.wait_for(_ends_with(r"a-.+━+", r"\d+/6000 .+ objects?"))
        terminal.send(b"\x03")
        assert terminal.wait() == 130
        lines = terminal.lines
    out = tmp_path / NAME.replace(".mp4", ".annotated.mp4")
    (began,) = (number for number, line in enumerate(lines) if "stopping" in line)
    assert not [line for line in lines[began:] if "━" in line or " fps ·" in line]
    said = "".join(line.ljust(50) for line in lines[began:])
    assert "stopping: the file is being finished; once more to give up" in said
    count = len(probe(out).times_s)
    assert f"{count} frames at" in said
    assert f"stopped; what was done is in {out}; the same command with --resume goes on" in said


def test_quiet_shows_no_bar_and_output_that_goes_elsewhere_goes_there(
    annotate: list[str], tmp_path: Path
) -> None:
    command, said = shlex.join([*annotate, "--end", "0.4"]), tmp_path / "said"
    both = f"{command} --quiet; echo quiet >&2; {command} --overwrite > {shlex.quote(str(said))}"
    with Terminal(["sh", "-c", both], environment=HERE) as terminal:
        assert terminal.wait() == 0
        lines = terminal.lines
    assert set(lines) <= BESIDE | {"quiet"}
    (line,) = said.read_text().splitlines()
    assert line.endswith("1 person")
