"""The folder where downloaded models are kept.

MODELS/NAME/model.tflite or MODELS/NAME/saved_model/, and MODELS/NAME/download.json, which says where it came
from and holds the checksums of that first download: every later one must be the same, and so must what is
loaded.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from detector.checksums import check_sha256, sha256_of
from detector.errors import DownloadError
from detector.locks import alone_in
from detector.zoo.download import MAX_BYTES, Progress, download, without_credentials
from detector.zoo.entries import ZooModel
from detector.zoo.unpack import unpack

logger = logging.getLogger(__name__)

_RECORD = "download.json"


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of a downloaded model.

    size, sha256: of the file that was downloaded. model_sha256: of the model (see `detector.checksums`).
    """

    url: str
    size: int
    sha256: str
    model_sha256: str


def models_folder() -> Path:
    """Return where models are kept: $STREAM_SERVER_MODELS, else stream-server/models among the user's data.

    These are in $XDG_DATA_HOME, else ~/.local/share (XDG Base Directory Specification).
    """
    if folder := os.environ.get("STREAM_SERVER_MODELS"):
        return Path(folder)
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data).expanduser() / "stream-server" / "models"


def model_path(model: ZooModel) -> Path:
    """Return where the model is, or will be once it is pulled."""
    return models_folder() / model.name / _file_name(model)


def read_record(model: ZooModel) -> Record | None:
    """Return what is known of a model that was pulled; None for one that was not, or not wholly."""
    path = models_folder() / model.name / _RECORD
    try:
        return Record(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def pull(
    model: ZooModel,
    *,
    progress: Progress,
    url: str | None = None,
    again: bool = False,
    max_bytes: int = MAX_BYTES,
    pause_s: float = 1.0,
) -> Record:
    """Fetch a model into the folder of models, unless it is there, and return what is known of it.

    url: a mirror's address of the same file. again: also when it is there. max_bytes: of the download.

    Raises DownloadError when it cannot be fetched or is not what it was the first time; ModelError when what
    is there is damaged.
    """
    if not again and (known := _known(model)):
        return known
    _make(models_folder())
    with alone_in(models_folder(), lambda: logger.warning("%s: waits for another download", model.name)):
        if not again and (known := _known(model)):
            return known  # another process has fetched it meanwhile
        return _fetch(model, url or model.download.url, progress, max_bytes, pause_s)


def _known(model: ZooModel) -> Record | None:
    """Return what is known of a model that is there. Raises ModelError where it is damaged."""
    known = read_record(model)
    if known:
        check_sha256(model_path(model), known.model_sha256)
    return known


def _fetch(model: ZooModel, source: str, progress: Progress, max_bytes: int, pause_s: float) -> Record:
    known = read_record(model)
    folder = models_folder() / model.name
    file = folder.with_name(f"{model.name}.download")
    address = without_credentials(source)
    try:
        download(source, file, progress=progress, max_bytes=max_bytes, pause_s=pause_s)
        sha256 = _check(file, known.sha256 if known else None, address, folder)
        return _install(model, file, address, sha256)
    finally:
        file.unlink(missing_ok=True)


def _install(model: ZooModel, file: Path, url: str, sha256: str) -> Record:
    """Put the downloaded file in its place, whole; who opens the model meanwhile has the old one or this."""
    folder = models_folder() / model.name
    new, old = (folder.with_name(f"{model.name}.{which}") for which in ("new", "old"))
    shutil.rmtree(new, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)
    try:
        new.mkdir()
        size = file.stat().st_size
        target = new / _file_name(model)
        if model.download.member:
            unpack(file, model.download.member, target)
        else:
            file.replace(target)
        record = Record(url, size, sha256, _check(target, model.download.sha256, url, folder))
        (new / _RECORD).write_text(json.dumps(asdict(record), indent=1) + "\n", encoding="utf-8")
        if folder.exists():
            folder.replace(old)
        new.replace(folder)
    except OSError as exc:
        raise DownloadError(f"{folder}: cannot be written: {exc.strerror}") from exc
    finally:
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
    return record


def _check(path: Path, expected: str | None, url: str, folder: Path) -> str:
    """Return the checksum of `path`. Raises DownloadError when another one is expected."""
    found = sha256_of(path)
    if expected not in (None, found):
        raise DownloadError(
            f"{url}: its SHA-256 is {found}, expected {expected}: the file was changed or damaged on its way"
            + (f"; to take it all the same remove {folder}" if folder.exists() else "")
        )
    return found


def _file_name(model: ZooModel) -> str:
    return "saved_model" if model.download.member == "saved_model" else "model.tflite"


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise DownloadError(f"{folder}: cannot be made: {exc.strerror}") from exc
