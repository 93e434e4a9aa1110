"""What is named on the command line, as single videos, and where each goes."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stream_server.base.file_names import alternatives, shortened
from stream_server.errors import SourceError, reason_of
from stream_server.video.formats import KINDS, NAME_BYTES, OutputError
from stream_server.video.input.film import SUFFIXES
from stream_server.video.input.opening import is_camera
from stream_server.video.input.slides import pictures_in

_MARK = ".annotated"


@dataclass(frozen=True, slots=True)
class VideoInput:
    """One video. name: a path or a camera's address."""

    name: str
    out: Path


def plan(
    inputs: tuple[str, ...], output: Path | None, *, has_sides: bool = False
) -> tuple[list[VideoInput], list[str]]:
    """Return what is to be done, each video once, and why nothing can be done with some inputs.

    output: a file for one video, or a folder. has_sides: whether files beside the videos are written, too.
    Raises OutputError when several videos would become one file, or one itself.
    """
    names, troubles = [], []
    for given in inputs:
        try:
            names += list(_videos(given))
        except (SourceError, OSError, ValueError) as exc:
            troubles.append(reason_of(exc))
    names = list({(name if is_camera(name) else os.path.realpath(name)): name for name in names}.values())
    if output is None or output.suffix.lower() not in KINDS or output.is_dir():
        return _distinct(names, output, has_sides=has_sides), troubles
    if len(names) > 1:
        raise OutputError(f"{output}: {len(names)} videos cannot become one file; give a folder")
    if names and not is_camera(names[0]) and os.path.realpath(names[0]) == os.path.realpath(output):
        raise OutputError(f"{output}: is the input itself")
    return [VideoInput(name, output) for name in names], troubles


def _distinct(names: list[str], folder: Path | None, *, has_sides: bool) -> list[VideoInput]:
    """Return what becomes of each video, in a file of its own that is none of the others."""
    taken = {os.path.abspath(name) for name in names}
    tasks = []
    for name in names:
        for out in _outs(name, folder):
            # What is beside it has its name, but for the suffix.
            marks = {os.path.abspath(path) for path in ((out, out.with_suffix("")) if has_sides else (out,))}
            if not marks & taken:
                taken |= marks
                tasks.append(VideoInput(name, out))
                break
    return tasks


def _videos(given: str) -> Iterator[str]:
    """Yield the videos that `given` stands for. Raises SourceError when it stands for none."""
    if is_camera(given) or os.path.isfile(given):
        yield given
    elif os.path.isdir(given):
        yield from _in_folder(Path(given))
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


def _outs(name: str, folder: Path | None) -> Iterator[Path]:
    """Yield what a video may become, short enough for what is written beside it."""
    if is_camera(name):
        stem = re.sub(r"[^\w.-]+", "-", re.sub(r"^\w+://([^/]*@)?", "", name)).strip("-.") or "camera"
        folder, given, suffix = folder or Path(), "", ".mp4"
    else:
        path = Path(name)
        folder, given = folder or path.parent, path.suffix
        suffix = given.lower() if given.lower() in KINDS and os.path.isfile(path) else ".mp4"
        stem = path.resolve().name if os.path.isdir(path) else path.stem
    stem = shortened(stem, NAME_BYTES - len(f"-99999{_MARK}{suffix}"))
    for each in alternatives(stem, given):
        yield folder / f"{each}{_MARK}{suffix}"
