"""`make test-fast` starts no server, no browser and no TensorFlow."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.support.fast import is_small
from tests.support.paths import CHECKOUT
from tests.support.server import COMMAND, END_WITH_US


@pytest.mark.parametrize(
    ("command", "small"),
    [
        ([], False),
        ([sys.executable, "-c", "from detector.pool.worker import main; main()"], True),
        ([*COMMAND, "run"], False),
        ([*END_WITH_US, sys.executable, "run.py"], False),
        (["/usr/bin/chromium", "-c"], False),
    ],
)
def test_our_workers_alone_are_small(command: list[str], small: bool) -> None:
    assert is_small(command) is small


@pytest.mark.parametrize(
    "path",
    ["web/security/test_hosts.py", "web/pages/test_firefox.py", "detector/backends/test_tensorflow.py"],
    ids=["server", "browser", "TensorFlow"],
)
def test_fast_run_starts_nothing_of_the_kind(path: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"tests/{path}"]
    done = subprocess.run(
        command, cwd=CHECKOUT, env={**os.environ, "FAST": "true"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert re.search(r"\d+ skipped", done.stdout), done.stdout
