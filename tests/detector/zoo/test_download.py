"""Downloads: they end whole or say why not, and go on where they stopped."""

from __future__ import annotations

import fcntl
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from detector.errors import DownloadError
from detector.zoo.download import download
from tests.support.fileserver import FileServer

CONTENT = bytes(range(256)) * 2000
HALF = len(CONTENT) // 2


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def fetch(url: str, target: Path, **options: float) -> list[tuple[int, int | None]]:
    """Download without pauses; return what was said on the way."""
    said: list[tuple[int, int | None]] = []
    download(
        url,
        target,
        progress=lambda done, total: said.append((done, total)),
        max_bytes=int(options.get("max_bytes", 1e9)),
        timeout_s=options.get("timeout_s", 5),
        pause_s=0,
    )
    return said


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("tells_length", [True, False])
@pytest.mark.parametrize("content", [b"", b"x", CONTENT])
def test_file_arrives_whole(tmp_path: Path, content: bytes, tells_length: bool) -> None:
    with FileServer(content, tells_length=tells_length) as server:
        said = fetch(server.url, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == content
    assert names(tmp_path) == {"file"}
    assert said[0] == (0, len(content) if tells_length else None)
    assert said[-1][0] == len(content)


def test_broken_connection_goes_on_where_it_stopped(tmp_path: Path) -> None:
    with FileServer(CONTENT, cuts=[1000, HALF]) as server:
        fetch(server.url, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert [headers.get("Range") for headers in server.requests] == [
        None,
        "bytes=1000-",
        f"bytes={HALF + 1000}-",
    ]


def test_next_call_goes_on_where_the_last_stopped(tmp_path: Path) -> None:
    with FileServer(CONTENT, cuts=[HALF, 0, 0, 0, 0, 0]) as server:
        with pytest.raises(DownloadError, match=r"ended after 0\.3 MB of 0\.5 MB; run it again to go on"):
            fetch(server.url, tmp_path / "file")
        assert names(tmp_path) == {"file.part", "file.part.json"}
        server.cuts.clear()
        said = fetch(server.url, tmp_path / "file")
    assert said[0] == (HALF, len(CONTENT))
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_whole_part_needs_nothing_more(tmp_path: Path) -> None:
    with FileServer(CONTENT, cuts=[HALF, 0, 0, 0, 0, 0]) as server:
        with pytest.raises(DownloadError):
            fetch(server.url, tmp_path / "file")
        (tmp_path / "file.part").write_bytes(CONTENT)  # as if it had been stopped right before the end
        fetch(server.url, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


@pytest.mark.parametrize("change", ["content", "no ranges", "no etag", "weak etag", "other address"])
def test_part_that_cannot_be_continued_is_fetched_anew(tmp_path: Path, change: str) -> None:
    etag = {"no etag": "", "weak etag": 'W/"1"'}.get(change)
    with FileServer(CONTENT, cuts=[HALF, 0, 0, 0, 0, 0], etag=etag) as server:
        with pytest.raises(DownloadError):
            fetch(server.url, tmp_path / "file")
        server.cuts.clear()
        server.content = CONTENT[::-1]
        server.ranges = change != "no ranges"
        fetch(server.url + "2" * (change == "other address"), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT[::-1]


def test_server_without_ranges_is_asked_again_from_the_start(tmp_path: Path) -> None:
    with FileServer(CONTENT, cuts=[HALF], ranges=False) as server:
        fetch(server.url, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("statuses", "message"),
    [
        ([404], "the server answers 404 Not Found"),
        ([403], "the server answers 403 Forbidden"),
        ([503] * 5, "the server answers 503 Service Unavailable; run it again to go on"),
    ],
)
def test_refusal_is_told_in_one_line(tmp_path: Path, statuses: list[int], message: str) -> None:
    with FileServer(CONTENT, statuses=statuses) as server, pytest.raises(DownloadError) as error:
        fetch(server.url, tmp_path / "file")
    assert str(error.value) == f"{server.url}: {message}"
    assert not server.statuses
    assert not names(tmp_path)


def test_busy_server_is_asked_again(tmp_path: Path) -> None:
    with FileServer(CONTENT, statuses=[503, 429]) as server:
        fetch(server.url, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


@pytest.mark.parametrize("tells_length", [True, False])
def test_file_above_the_limit_is_refused(tmp_path: Path, tells_length: bool) -> None:
    with (
        FileServer(CONTENT, tells_length=tells_length) as server,
        pytest.raises(DownloadError, match=r"more than the 0\.1 MB allowed"),
    ):
        fetch(server.url, tmp_path / "file", max_bytes=100_000)
    assert not names(tmp_path)


@pytest.fixture
def silent_server() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"


def test_silent_server_is_given_up(tmp_path: Path, silent_server: str) -> None:
    with pytest.raises(DownloadError, match="the server is silent; run it again"):
        fetch(silent_server, tmp_path / "file", timeout_s=0.05)


def test_no_server_is_told(tmp_path: Path) -> None:
    with FileServer(b"") as server:
        pass
    with pytest.raises(DownloadError, match="the connection failed: Connection refused; run it again"):
        fetch(server.url, tmp_path / "file")


@pytest.mark.parametrize("url", ["", "file:///etc/passwd", "ftp://host/file", "data:,x", "http://", "model"])
def test_only_addresses_on_the_web_are_opened(tmp_path: Path, url: str) -> None:
    with pytest.raises(DownloadError, match="expected an address that starts with https:// or http://"):
        fetch(url, tmp_path / "file")
    assert not names(tmp_path)


def test_redirect_is_followed(tmp_path: Path) -> None:
    with FileServer(CONTENT) as server, FileServer(b"", redirect_to=server.url) as first:
        fetch(first.url, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_password_is_for_the_first_server_alone(tmp_path: Path) -> None:
    with FileServer(CONTENT) as server, FileServer(b"", redirect_to=server.url) as first:
        fetch(first.url.replace("//", "//me:p%40ss@"), tmp_path / "file")
    assert first.requests[0]["Authorization"] == "Basic bWU6cEBzcw=="
    assert "Authorization" not in server.requests[0]


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/file"])
def test_redirect_away_from_the_web_is_not_followed(tmp_path: Path, target: str) -> None:
    with FileServer(b"", redirect_to=target) as server, pytest.raises(DownloadError):
        fetch(server.url, tmp_path / "file")


def test_full_disk_is_told_and_what_came_is_kept(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with FileServer(CONTENT) as server:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # the kernel's own "no more"
        try:
            with pytest.raises(DownloadError, match=r"file\.part: cannot be written: File too large"):
                fetch(server.url, tmp_path / "file")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert (tmp_path / "file.part").stat().st_size == 100_000
        fetch(server.url, tmp_path / "file")
    assert server.requests[1]["Range"] == "bytes=100000-"
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_disk_without_room_is_told_before_the_first_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: _Usage())
    with (
        FileServer(CONTENT) as server,
        pytest.raises(DownloadError, match=r"0\.5 MB needed, 0\.1 MB free"),
    ):
        fetch(server.url, tmp_path / "file")


class _Usage:
    free = 100_000


def test_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with FileServer(CONTENT) as server, pytest.raises(DownloadError, match="cannot be written: No such file"):
        fetch(server.url, tmp_path / "none" / "file")


def test_file_that_has_just_become_whole_is_not_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part, whole = tmp_path / "file.part", tmp_path / "file"
    part.write_bytes(CONTENT)
    monkeypatch.setattr(fcntl, "flock", lambda *_: part.replace(whole))  # as who had the lock does at its end
    with FileServer(CONTENT) as server, pytest.raises(DownloadError, match="by another process"):
        fetch(server.url, whole)
    assert whole.read_bytes() == CONTENT


def test_second_download_of_the_same_file_is_refused(tmp_path: Path) -> None:
    with FileServer(CONTENT) as server, (tmp_path / "file.part").open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(DownloadError, match="is being downloaded by another process"):
            fetch(server.url, tmp_path / "file")
