"""Takes a model out of an archive that somebody else made."""

from __future__ import annotations

import shutil
import tarfile
import zlib
from pathlib import Path, PurePosixPath

from detector.errors import DownloadError

MAX_BYTES = 4 << 30
MAX_FILES = 10_000


def unpack(archive: Path, member: str, target: Path, *, max_bytes: int = MAX_BYTES) -> None:
    """Write the file or folder called `member`, anywhere in the `.tar.gz` archive, to `target`, which is new.

    Nothing else is written, nothing outside `target`, and no link: an archive with a link, a device or a name
    that leads out of it is refused. Modes and owners are not taken over.

    max_bytes: of all that is in the archive, unpacked.

    Raises DownloadError that names the archive and what is wrong with it.
    """
    try:
        with tarfile.open(archive, "r:gz") as tar:
            written = _copy(tar, member, target, max_bytes)
    except (tarfile.TarError, EOFError, zlib.error) as exc:
        raise DownloadError(f"{archive.name}: is no whole .tar.gz archive: {exc}") from exc
    except OSError as exc:
        raise DownloadError(f"{archive.name}: cannot be unpacked: {exc.strerror or exc}") from exc
    except _Refused as exc:
        raise DownloadError(f"{archive.name}: {exc}") from exc
    if not written:
        raise DownloadError(f"{archive.name}: there is no {member} in it")


class _Refused(Exception):
    """The archive is not to be trusted."""


def _copy(tar: tarfile.TarFile, member: str, target: Path, max_bytes: int) -> int:
    """Return how many files were written."""
    count = size = written = 0
    root: PurePosixPath | None = None
    for info in tar:
        count, size = count + 1, size + info.size
        if count > MAX_FILES or size > max_bytes:
            raise _Refused(f"holds more than {MAX_FILES} files or {max_bytes / 1e9:.1f} GB")
        path = _checked_path(info)
        if root is None and member in path.parts:
            root = PurePosixPath(*path.parts[: path.parts.index(member) + 1])
        if root is None or not info.isreg() or not path.is_relative_to(root):
            continue
        _write(tar, info, target / path.relative_to(root))
        written += 1
    return written


def _checked_path(info: tarfile.TarInfo) -> PurePosixPath:
    path = PurePosixPath(info.name)
    if path.is_absolute() or ".." in path.parts or "\0" in info.name:
        raise _Refused(f"refused: {info.name!r} leads out of the archive")
    if not (info.isreg() or info.isdir()):
        raise _Refused(f"refused: {info.name!r} is a link or a device")
    return path


def _write(tar: tarfile.TarFile, info: tarfile.TarInfo, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = tar.extractfile(info)
    assert content is not None  # a regular file has one
    with content, path.open("xb") as file:
        shutil.copyfileobj(content, file, 1 << 20)
