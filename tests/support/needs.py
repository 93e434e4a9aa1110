"""What a test needs of the machine: without it the test skips, and where CI=true it fails."""

from __future__ import annotations

import importlib
import os
import shutil
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import pytest

from tests.support.fast import leave_out_of_fast_runs
from tests.support.paths import CHECKOUT

FOREIGN = CHECKOUT / ".cache" / "foreign"


def need(program: str) -> str:
    """Return the path of `program`; without it skip the test, or fail it where CI=true."""
    leave_out_of_fast_runs("a program")
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin")  # where Debian has servers
    if path is None:
        _lacking(f"the program {program}; `make test` as root installs it")
    return path


def need_foreign(path: str) -> Path:
    """Return what `make test` has installed at `path` in .cache/foreign, or skip or fail as `need` does."""
    leave_out_of_fast_runs("a program")
    found = FOREIGN / path
    if not found.exists():
        _lacking(f"{found.relative_to(CHECKOUT)}; `make test` installs it")
    return found


def need_module(name: str) -> ModuleType:
    """Return the module `name`, imported; without it skip the test, or fail it where CI=true."""
    try:
        return importlib.import_module(name)
    except ImportError as exc:
        _lacking(f"the module {name} ({exc}); `make test` installs it")


def _lacking(what: str) -> NoReturn:
    reason = f"needs {what}"
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(f"{reason}, and where CI=true nothing may be skipped", pytrace=False)
    pytest.skip(reason)
