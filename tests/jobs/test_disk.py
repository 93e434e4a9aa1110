"""Videos on a disk that is full, and in a database that is locked: each is told, and goes on afterwards."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from stream_server.config import Config, VideosConfig
from stream_server.jobs.job import VideoOptions
from stream_server.jobs.jobs import Jobs
from stream_server.jobs.lazy_store import LazyJobStore
from stream_server.jobs.retention import RetentionCleaner
from stream_server.jobs.storage import JobStorage
from stream_server.jobs.store import JobStore
from tests.support.disks import Disk, small_disk
from tests.support.leaks import wait_until
from tests.support.server import Answer
from tests.support.videos import write_scenes
from tests.web.api.test_videos import TUS, Videos

FRAMES = 60
MIB = 2**20


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("media")
    write_scenes(root / "short.mp4", FRAMES)
    write_scenes(root / "long.mp4", 1000)
    return root


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with small_disk(tmp_path / "disk", 8) as disk:
        yield disk


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the database of a folder as another program may."""
    with closing(sqlite3.connect(folder / "accounts.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        try:
            yield
        finally:
            other.execute("ROLLBACK")


def _is_told(answer: Answer, *statuses: int) -> bool:
    """Is it a problem of one of these kinds, that one may try again?"""
    assert answer.status in statuses, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["detail"]
    assert answer.status != 503 or int(answer.headers["retry-after"]) > 0
    return True


SOON = "auth.database=sqlite:///{}/accounts.db?timeout=0.1"
"""A database that waits for others no longer than that."""


def _has_no_traceback(videos: Videos) -> bool:
    return not [line for line in videos.server.log if "Traceback" in line]


# A full disk.


def test_full_disk_takes_no_video_and_keeps_nothing_of_it(disk: Disk, root: Path) -> None:
    with Videos(disk.path, root=root) as videos:
        assert videos.end(videos.add("short.mp4", format="avi"))["state"] == "done"
        kept = set(videos.folder.iterdir())
        disk.fill()
        named = b'{"path": "short.mp4"}'
        assert _is_told(videos.ask("POST", "?name=a.mp4", b"x" * 100_000), 507, 503)
        assert _is_told(videos.ask("POST", "?name=a.mp4", b"", {**TUS, "Upload-Length": "9"}), 507, 503)
        assert _is_told(videos.ask("POST", "", named, {"Content-Type": "application/json"}), 507, 503)
        assert set(videos.folder.iterdir()) == kept
        disk.clear()
        assert videos.end(videos.add("short.mp4", format="avi"))["state"] == "done"
        assert _has_no_traceback(videos)


def test_deleting_makes_room_on_a_full_disk(disk: Disk, root: Path) -> None:
    with Videos(disk.path, root=root) as videos:
        id = videos.begin("large.mp4", 4 * MIB)
        assert videos.append(id, 0, b"x" * 3 * MIB).status == 204
        disk.fill()
        assert videos.ask("DELETE", f"/{id}").status == 204
        assert disk.free_bytes >= 3 * MIB
        assert videos.ask("GET", f"/{id}").status == 404
        assert _has_no_traceback(videos)


def test_result_without_room_fails_and_the_next_is_done(disk: Disk, root: Path) -> None:
    with Videos(disk.path, root=root) as videos:
        assert videos.end(videos.add("short.mp4"))["state"] == "done"
        disk.fill(but=256 * 1024)
        info = videos.end(videos.add("long.mp4", format="avi", every=50))
        assert (info["state"], "no space left" in info["reason"]) == ("failed", True), info
        assert videos.files(info["id"]) == []
        disk.clear()
        assert videos.end(videos.add("short.mp4"))["state"] == "done"
        assert _has_no_traceback(videos)


# A locked database.


def test_locked_database_is_told_and_videos_go_on_afterwards(tmp_path: Path, root: Path) -> None:
    with Videos(tmp_path, SOON.format(tmp_path), root=root) as videos:
        id = videos.begin("a.mp4", 100)
        with locked(tmp_path):
            named = b'{"path": "short.mp4"}'
            assert _is_told(videos.ask("POST", "", named, {"Content-Type": "application/json"}), 503)
            assert _is_told(videos.ask("POST", "?name=b.mp4", b"x" * 1000), 503)
            assert _is_told(videos.append(id, 0, b"x" * 100), 503)
            for path in ("", f"/{id}", f"/{id}/result", f"/{id}/events"):
                assert _is_told(videos.ask("GET", path), 503)
            videos.server.wait_for_line("videos wait: .*locked")
        assert videos.end(videos.add("short.mp4"))["state"] == "done"
        assert len([line for line in videos.server.log if "videos wait" in line]) == 1
        assert _has_no_traceback(videos)


def test_work_that_ends_while_the_database_is_locked_is_done_once(tmp_path: Path, root: Path) -> None:
    with Videos(tmp_path, SOON.format(tmp_path), root=root) as videos:
        id = videos.add("short.mp4")
        videos.server.wait_for_line("work begins")
        with locked(tmp_path):
            videos.server.wait_for_line(f"video {id} .*: done", 120)
            videos.server.wait_for_line("videos wait: .*locked")
        assert videos.end(id)["state"] == "done"
        assert len([line for line in videos.server.log if "work begins" in line]) == 1
        assert _has_no_traceback(videos)


def test_deleting_is_told_to_come_later_and_then_leaves_nothing(tmp_path: Path, root: Path) -> None:
    with Videos(tmp_path, SOON.format(tmp_path), root=root) as videos:
        id = videos.add("long.mp4")
        videos.server.wait_for_line("work begins")
        with locked(tmp_path):
            assert _is_told(videos.ask("DELETE", f"/{id}"), 503)
        assert videos.ask("DELETE", f"/{id}").status == 204
        assert wait_until(lambda: not videos.files(id))
        assert videos.end(videos.add("short.mp4"))["state"] == "done"
        assert _has_no_traceback(videos)


def _jobs(folder: Path, **videos: object) -> Jobs:
    settings = {"folder": str(folder / "videos"), "max_running": 1, **videos}
    database = {"database": SOON.format(folder).partition("=")[2]}
    return Jobs(Config.load(None, auth=database, videos=settings))


def test_upload_that_ends_while_the_database_is_locked_is_queued_afterwards(tmp_path: Path) -> None:
    with closing(_jobs(tmp_path)) as jobs:
        job = jobs.add_upload("anna", "a.mp4", 20, VideoOptions())
        jobs.start()
        with locked(tmp_path):
            assert jobs.write(job, 0, iter([b"x" * 20])) == 20
        assert wait_until(lambda: (found := jobs.find(job.id)) is not None and found.state == "failed")


def test_keeper_says_once_what_keeps_it_from_deleting(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    looks = []

    class Watched(LazyJobStore):
        def find(self) -> JobStore | None:
            looks.append(1)
            return super().find()

    with closing(_jobs(tmp_path)) as jobs:
        job = jobs.add_upload("anna", "a.mp4", 20, VideoOptions())
    stores = Watched(SOON.format(tmp_path).partition("=")[2])
    config = VideosConfig(keep_uploads_s=0.1)
    removed: list[str] = []
    keeper = RetentionCleaner(config, JobStorage(tmp_path / "videos"), stores, removed.append)
    with closing(stores), closing(keeper):
        with locked(tmp_path):
            keeper.start()
            assert wait_until(lambda: len(looks) > 3)
        assert wait_until(lambda: job.id in removed)
    told = [record for record in caplog.records if record.levelname == "ERROR"]
    assert [record.exc_info for record in told] == [None]
    assert told[0].getMessage().endswith("locked")
