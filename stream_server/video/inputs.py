"""What is named on the command line, as single videos, and where each goes."""

from __future__ import annotations

import glob
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stream_server.errors import SourceError
from stream_server.video.film import SUFFIXES
from stream_server.video.opening import is_camera
from stream_server.video.slides import pictures_in
from stream_server.video.writing import KINDS, OutputError

_MARK = ".annotated"


@dataclass(frozen=True, slots=True)
class Task:
    """One video. name: a path or a camera's address."""

    name: str
    out: Path


def plan(inputs: tuple[str, ...], output: Path | None) -> tuple[list[Task], list[str]]:
    """Return what is to be done, and for each input that is nothing the reason, with its name.

    output: a file for one video, or a folder. Raises OutputError when several videos would become one file.
    """
    names, troubles = [], []
    for given in inputs:
        try:
            names += list(_videos(given))
        except SourceError as exc:
            troubles.append(exc.reason)
    is_file = output is not None and output.suffix.lower() in KINDS and not output.is_dir()
    if is_file and len(names) > 1:
        raise OutputError(f"{output}: {len(names)} videos cannot become one file; give a folder")
    tasks = [Task(name, output if is_file and output else _out(name, output)) for name in names]
    if same := [str(out) for out, count in Counter(task.out for task in tasks).items() if count > 1]:
        raise OutputError(f"several videos would become {same[0]}; give them one by one")
    for task in tasks:
        if not is_camera(task.name) and task.out.exists() and task.out.samefile(task.name):
            raise OutputError(f"{task.out}: is the input itself")
    return tasks, troubles


def _videos(given: str) -> Iterator[str]:
    """Yield the videos that `given` stands for. Raises SourceError when it stands for none."""
    path = Path(given)
    if is_camera(given) or path.is_file():
        yield given
    elif path.is_dir():
        yield from _in_folder(path)
    elif glob.has_magic(given):
        found = [name for name in sorted(glob.glob(given, recursive=True)) if not _is_ours(Path(name))]
        if not found:
            raise SourceError(f"{given}: nothing is called like that")
        for name in found:
            yield from _videos(name)
    else:
        yield given  # opening it will say what is wrong


def _in_folder(folder: Path) -> Iterator[str]:
    try:
        found = sorted(
            path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file()
        )
    except OSError as exc:
        raise SourceError(f"cannot read {folder}: {(exc.strerror or str(exc)).lower()}") from None
    videos = [str(path) for path in found if not _is_ours(path)]
    if pictures_in(folder) and not videos:
        videos = [str(folder)]
    if not videos:
        raise SourceError(f"{folder}: neither a video nor a picture is in it")
    yield from videos


def _is_ours(path: Path) -> bool:
    """Whether it is what this command writes beside its inputs."""
    return path.stem.endswith(_MARK) or path.suffix in (".part", ".cut", ".journal")


def _out(name: str, folder: Path | None) -> Path:
    if is_camera(name):
        stem = re.sub(r"[^\w.-]+", "-", re.sub(r"^\w+://([^/]*@)?", "", name)).strip("-.") or "camera"
        return (folder or Path()) / f"{stem}{_MARK}.mp4"
    path = Path(name)
    suffix = path.suffix.lower() if path.suffix.lower() in KINDS and path.is_file() else ".mp4"
    stem = path.resolve().name if path.is_dir() else path.stem
    return (folder or path.parent) / f"{stem}{_MARK}{suffix}"
