"""The folder of models: what is pulled is checked, and stays what it was."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from detector.checksums import sha256_of
from detector.errors import DownloadError, ModelError
from detector.zoo.entries import ZOO, Download, ZooModel
from detector.zoo.store import Record, model_path, models_folder, pull, read_record
from tests.detector.zoo.test_unpack import MODEL, make
from tests.support.fileserver import FileServer
from tests.support.leaks import wait_until
from tests.support.needs import CHECKOUT
from tests.support.patience import PATIENCE_S

CONTENT = b"\x00\x00\x00\x00TFL3" + bytes(5000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STREAM_SERVER_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "models"


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer(CONTENT) as server:
        yield server


def model_at(url: str, member: str | None = None, sha256: str | None = None) -> ZooModel:
    return replace(ZOO[0], name="some", download=Download(url, member, sha256))  # type: ignore[arg-type]


def fetch(model: ZooModel, **options: str | bool) -> Record:
    return pull(model, progress=lambda *_: None, pause_s=0, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "/home/me/.local/share/stream-server/models"),
        ({"XDG_DATA_HOME": "/data"}, "/data/stream-server/models"),
        ({"XDG_DATA_HOME": "/data", "STREAM_SERVER_MODELS": "/models"}, "/models"),
        ({"XDG_DATA_HOME": "", "STREAM_SERVER_MODELS": ""}, "/home/me/.local/share/stream-server/models"),
    ],
)
def test_folder_is_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: str
) -> None:
    for name in ("XDG_DATA_HOME", "STREAM_SERVER_MODELS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/me")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert models_folder() == Path(expected)


def test_model_is_pulled_once(server: FileServer, folder: Path) -> None:
    model = model_at(server.url)
    assert read_record(model) is None
    record = fetch(model)
    assert record == Record(server.url, len(CONTENT), SHA256, SHA256)
    assert record == read_record(model) == fetch(model)
    assert model_path(model) == folder / "some" / "model.tflite"
    assert model_path(model).read_bytes() == CONTENT
    assert len(server.requests) == 1
    assert [path.name for path in folder.iterdir()] == ["some"]


PULL = """\
import sys
from dataclasses import replace
from detector.zoo.store import pull
from detector.zoo.entries import ZOO, Download
model = replace(ZOO[0], name="some", download=Download(sys.argv[1], sys.argv[2] or None, None))
print(pull(model, progress=lambda *_: None, pause_s=0, again="again" in sys.argv).sha256)
"""


def pulling(url: str, member: str = "", *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PULL, url, member, *arguments],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("member", "again", "requests"), [("", "", 1), ("saved_model", "", 1), ("", "again", 3)]
)
def test_processes_that_pull_the_same_model_at_once_share_it(
    server: FileServer, folder: Path, tmp_path: Path, member: str, again: str, requests: int
) -> None:
    if member:
        server.content = make(tmp_path, MODEL).read_bytes()
    server.may_answer.clear()
    with ExitStack() as stack:
        first = stack.enter_context(pulling(server.url, member, again))
        assert wait_until(lambda: len(server.requests) == 1)
        others = [stack.enter_context(pulling(server.url, member, again)) for _ in range(2)]
        for other in others:
            assert other.stderr
            assert other.stderr.readline() == "some: waits for another download\n"
        server.may_answer.set()
        told = [process.communicate(timeout=PATIENCE_S) for process in (first, *others)]
    assert told == [(f"{hashlib.sha256(server.content).hexdigest()}\n", "")] * 3
    assert len(server.requests) == requests
    record = read_record(model_at(server.url, member or None))
    assert record
    assert record.model_sha256 == sha256_of(model_path(model_at(server.url, member or None)))
    assert [path.name for path in folder.iterdir()] == ["some"]


def test_model_is_pulled_by_who_waits_for_a_process_that_is_killed(server: FileServer, folder: Path) -> None:
    server.may_answer.clear()
    with pulling(server.url) as first:
        assert wait_until(lambda: len(server.requests) == 1)
        with pulling(server.url) as second:
            assert second.stderr
            assert second.stderr.readline() == "some: waits for another download\n"
            first.kill()
            server.may_answer.set()
            assert second.communicate(timeout=PATIENCE_S) == (f"{SHA256}\n", "")
        first.communicate(timeout=PATIENCE_S)
    assert model_path(model_at(server.url)).read_bytes() == CONTENT
    assert [path.name for path in folder.iterdir()] == ["some"]


def test_saved_model_is_taken_out_of_its_archive(server: FileServer, tmp_path: Path, folder: Path) -> None:
    server.content = make(tmp_path, MODEL).read_bytes()
    model = model_at(server.url, "saved_model")
    record = fetch(model)
    assert (folder / "some/saved_model/variables/variables.index").read_bytes() == b"weights"
    assert record.model_sha256 == sha256_of(model_path(model)) != record.sha256


def test_pulling_again_replaces_it(server: FileServer) -> None:
    model = model_at(server.url)
    fetch(model)
    model_path(model).write_bytes(b"damaged")
    fetch(model, again=True)
    assert model_path(model).read_bytes() == CONTENT


def test_damaged_model_is_told(server: FileServer) -> None:
    model = model_at(server.url)
    fetch(model)
    model_path(model).write_bytes(b"damaged")
    with pytest.raises(ModelError, match=r"model\.tflite: its SHA-256 is .* expected"):
        fetch(model)


def test_file_changed_on_the_server_is_refused(server: FileServer, folder: Path) -> None:
    model = model_at(server.url)
    fetch(model)
    server.content = b"other"
    with pytest.raises(
        DownloadError, match=f"expected {SHA256}: the file was changed .* remove {folder}/some"
    ):
        fetch(model, again=True)
    assert model_path(model).read_bytes() == CONTENT
    assert [path.name for path in folder.iterdir()] == ["some"]


def test_mirror_must_have_the_same_file(server: FileServer) -> None:
    model = model_at("http://127.0.0.1:1/gone")
    fetch(model, url=server.url)
    with FileServer(b"other") as mirror, pytest.raises(DownloadError, match="its SHA-256 is"):
        fetch(model, url=mirror.url, again=True)
    assert fetch(model, url=server.url, again=True).url == server.url


@pytest.mark.parametrize("member", [None, "1.tflite"])
def test_known_checksum_is_enforced_on_the_first_download(
    server: FileServer, folder: Path, tmp_path: Path, member: str | None
) -> None:
    if member:
        server.content = make(tmp_path, {member: CONTENT}).read_bytes()
    with pytest.raises(DownloadError, match=r"its SHA-256 is .*, expected 0000"):
        fetch(model_at(server.url, member, "0" * 64))
    assert not list(folder.iterdir())
    assert fetch(model_at(server.url, member, SHA256)).model_sha256 == SHA256


def test_bad_archive_leaves_nothing(server: FileServer, folder: Path) -> None:
    with pytest.raises(DownloadError, match="is no whole"):
        fetch(model_at(server.url, "saved_model"))
    assert not list(folder.iterdir())


@pytest.mark.parametrize("text", ["", "{", "[]", '{"url": "x"}'])
def test_model_without_a_record_is_pulled_again(server: FileServer, folder: Path, text: str) -> None:
    model = model_at(server.url)
    fetch(model)
    (folder / "some" / "download.json").write_text(text)
    assert read_record(model) is None
    assert fetch(model) == read_record(model)


def test_names_and_addresses_are_there_once() -> None:
    names = [name for model in ZOO for name in (model.name, *model.aliases)]
    urls = [model.download.url for model in ZOO]
    assert len(names) == len(set(names))
    assert len(urls) == len(set(urls))
    assert all(url.startswith("https://") for url in urls)
