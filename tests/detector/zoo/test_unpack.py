"""Archives: what is the model comes out of them, and nothing else anywhere."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from detector.errors import DownloadError
from detector.zoo.unpack import unpack

MODEL = {"a/saved_model/saved_model.pb": b"graph", "a/saved_model/variables/variables.index": b"weights"}


def make(folder: Path, files: dict[str, bytes], *others: tarfile.TarInfo) -> Path:
    """Return an archive with these files, and after them the others, which have no content."""
    path = folder / "model.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for info in others:
            tar.addfile(info)
    return path


def other(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("prefix", ["", "./", "deep/er/"])
def test_folder_comes_out_from_wherever_it_is(tmp_path: Path, prefix: str) -> None:
    files = {prefix + name: content for name, content in {**MODEL, "a/checkpoint/ckpt-0": b"no"}.items()}
    unpack(make(tmp_path, files), "saved_model", tmp_path / "out")
    assert files_below(tmp_path / "out") == {
        "saved_model.pb": b"graph",
        "variables/variables.index": b"weights",
    }


@pytest.mark.parametrize("prefix", ["", "./", "folder/"])
def test_file_comes_out_under_its_new_name(tmp_path: Path, prefix: str) -> None:
    unpack(make(tmp_path, {f"{prefix}1.tflite": b"TFL3"}), "1.tflite", tmp_path / "model.tflite")
    assert (tmp_path / "model.tflite").read_bytes() == b"TFL3"


@pytest.mark.parametrize("files", [{}, {"a/model.pb": b"", "saved_model.txt": b"", "b/saved_models/x": b""}])
def test_archive_without_the_model_is_told(tmp_path: Path, files: dict[str, bytes]) -> None:
    with pytest.raises(DownloadError, match=r"^model\.tar\.gz: there is no saved_model in it$"):
        unpack(make(tmp_path, files), "saved_model", tmp_path / "out")


@pytest.mark.parametrize(
    "name", ["../saved_model/x", "/saved_model/x", "saved_model/../../x", "saved_model/..", "a/../../x"]
)
def test_name_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "in").mkdir()
    archive = make(tmp_path, {name: b"evil"})
    with pytest.raises(DownloadError, match="leads out of the archive"):
        unpack(archive, "saved_model", tmp_path / "in" / "out")
    assert files_below(tmp_path).keys() == {"model.tar.gz"}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
@pytest.mark.parametrize("name", ["a/saved_model/x", "elsewhere"])
def test_link_or_device_is_refused(tmp_path: Path, name: str, kind: bytes) -> None:
    archive = make(tmp_path, MODEL, other(name, kind, "/etc/passwd"))
    with pytest.raises(DownloadError, match="is a link or a device"):
        unpack(archive, "saved_model", tmp_path / "out")


def test_file_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    archive = make(tmp_path, {"saved_model/x": b"1", "./saved_model/x": b"2"})
    with pytest.raises(DownloadError, match="cannot be unpacked: File exists"):
        unpack(archive, "saved_model", tmp_path / "out")


def test_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="holds more than"):
        unpack(make(tmp_path, {"saved_model/x": bytes(101)}), "saved_model", tmp_path / "out", max_bytes=100)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x1f\x8b\x08\x00broken"])
def test_what_is_no_archive_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.tar.gz"
    path.write_bytes(content)
    with pytest.raises(DownloadError, match=r"^model\.tar\.gz: "):
        unpack(path, "saved_model", tmp_path / "out")


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_archive_cut_short_is_told(tmp_path: Path, share: float) -> None:
    import os

    path = make(tmp_path, {"saved_model/x": os.urandom(100_000)})
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(DownloadError, match=r"model\.tar\.gz: "):
        unpack(path, "saved_model", tmp_path / "out")
