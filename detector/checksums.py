"""Checksums of model files."""

from __future__ import annotations

import hashlib
from pathlib import Path

from detector.errors import ModelError


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, or of a folder's list of files: "SHA-256  relative/path" lines, sorted.

    A folder's is what this prints in it: `find -type f | sed 's,^./,,' | LC_ALL=C sort | xargs sha256sum |
    sha256sum`.

    Raises ModelError for what cannot be read.
    """
    try:
        if not path.is_dir():
            return _sha256_of_file(path)
        names = sorted(part.relative_to(path).as_posix() for part in path.rglob("*") if part.is_file())
        lines = "".join(f"{_sha256_of_file(path / name)}  {name}\n" for name in names)
    except OSError as exc:
        raise ModelError(f"{path}: cannot read the model: {exc.strerror}") from exc
    return hashlib.sha256(lines.encode()).hexdigest()


def check_sha256(path: Path, expected: str) -> None:
    """Raise ModelError unless the file or folder has this checksum."""
    found = sha256_of(path)
    if found != expected.lower():
        raise ModelError(
            f"{path}: its SHA-256 is {found}, expected {expected}: another file, or a damaged one"
        )


def _sha256_of_file(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
