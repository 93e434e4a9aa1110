"""`make test-fast`: where FAST=true a test skips as soon as it would start a program or load TensorFlow."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import pytest

IS_FAST = os.environ.get("FAST", "").lower() == "true"


def leave_out_of_fast_runs(what: str) -> None:
    """Skip the test where FAST=true, before it starts `what`."""
    if IS_FAST:
        pytest.skip(f"starts {what}: not where FAST=true")


def is_small(command: Sequence[object]) -> bool:
    """Return whether a command is a few lines of Python, as those of our workers are, and no server."""
    return tuple(command[:2]) == (sys.executable, "-c")


def watch_what_is_started() -> None:
    """Have tests skipped where FAST=true that start another program than a small one, in whatever way."""
    if not IS_FAST:
        return

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "subprocess.Popen" and "PYTEST_CURRENT_TEST" in os.environ:
            command = arguments[1]
            if isinstance(command, str) or not is_small(command):
                leave_out_of_fast_runs("a program")

    sys.addaudithook(hook)
