"""The configuration file on the disk: whole at any time, and what it was but for its content."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from stream_server.errors import SettingsConflict
from stream_server.settings.config_file import ConfigFile
from tests.support.needs import CHECKOUT
from tests.support.patience import PATIENCE_S

OLD = "cameras: {}\n"
NEW = "cameras:\n  a: {source: 'demo:'}\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "config.yaml"
    made.write_text(OLD, encoding="utf-8")
    return made


def test_mode_and_owner_stay_and_nothing_is_left_beside(path: Path) -> None:
    path.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(path, 1234, 2345)
    before = path.stat()
    ConfigFile(path).write(NEW, instead_of=OLD)
    after = path.stat()
    assert path.read_text(encoding="utf-8") == NEW
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert after.st_ino != before.st_ino  # it was replaced: who reads it meanwhile reads a whole one
    assert os.listdir(path.parent) == ["config.yaml"]


@pytest.mark.slow
@pytest.mark.parametrize("in_place", [False, True])
def test_processes_that_write_at_once_lose_no_change(path: Path, in_place: bool) -> None:
    """Each adds its lines; who is told that the file was changed meanwhile reads it and tries again."""
    add = """\
import errno, os, sys
from pathlib import Path
from stream_server.errors import SettingsConflict
from stream_server.settings.config_file import ConfigFile

def busy(*_):
    raise OSError(errno.EBUSY, "mounted by itself")

file = ConfigFile(Path(sys.argv[1]))
if sys.argv[3] == "True":
    os.replace = busy
for number in range(100):
    while True:
        try:
            before = file.read()
            file.write(f"{before}{sys.argv[2]}{number}: 1\\n", instead_of=before)
            break
        except SettingsConflict:
            pass
"""
    processes = [
        subprocess.Popen([sys.executable, "-c", add, str(path), name, str(in_place)], cwd=CHECKOUT)
        for name in "abc"
    ]
    assert [process.wait(PATIENCE_S) for process in processes] == [0, 0, 0]
    lines = path.read_text(encoding="utf-8").splitlines()
    assert sorted(lines[1:]) == sorted(f"{name}{number}: 1" for name in "abc" for number in range(100))


def test_link_stays_and_what_it_points_at_is_written(path: Path) -> None:
    link = path.parent / "link.yaml"
    link.symlink_to("config.yaml")
    ConfigFile(link).write(NEW, instead_of=OLD)
    assert link.is_symlink()
    assert path.read_text(encoding="utf-8") == NEW


def test_readers_find_the_old_or_the_new_and_never_a_part(path: Path) -> None:
    texts = {OLD, NEW + "# much more\n" * 5000}
    file, found, done = ConfigFile(path), set(), threading.Event()

    def read() -> None:
        while not done.is_set():
            found.add(path.read_text(encoding="utf-8"))

    reader = threading.Thread(target=read)
    reader.start()
    now = OLD
    for _ in range(50):
        (other,) = texts - {now}
        file.write(other, instead_of=now)
        now = other
    done.set()
    reader.join()
    assert found <= texts


def test_what_somebody_else_wrote_in_between_is_not_overwritten(path: Path) -> None:
    with pytest.raises(SettingsConflict, match=r"config\.yaml was changed by somebody else"):
        ConfigFile(path).write(NEW, instead_of="cameras: {b: 1}\n")
    assert path.read_text(encoding="utf-8") == OLD
    assert os.listdir(path.parent) == ["config.yaml"]


@pytest.mark.parametrize("number", [errno.EBUSY, errno.EXDEV])
def test_file_mounted_by_itself_is_written_in_place(
    path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object) -> None:  # as Docker's mounts of single files do, which take a kernel to make
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "replace", refuse)
    before, file = path.stat(), ConfigFile(path)
    file.write(NEW, instead_of=OLD)
    file.write(OLD, instead_of=NEW)
    assert path.read_text(encoding="utf-8") == OLD
    assert path.stat().st_ino == before.st_ino
    assert os.listdir(path.parent) == ["config.yaml"]


def test_full_disk_leaves_the_old_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(SettingsConflict, match=r"config\.yaml cannot be written: No space left on device"):
        ConfigFile(path).write(NEW, instead_of=OLD)
    assert path.read_text(encoding="utf-8") == OLD
    assert os.listdir(path.parent) == ["config.yaml"]


def test_missing_file_says_so(path: Path) -> None:
    path.unlink()
    assert ConfigFile(path).why_read_only == f"{path} is not there any more"
