"""How long videos are kept, whether the server runs on or is started again."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session as Transaction

from stream_server.config import Config
from stream_server.database.connection import open_database
from stream_server.jobs.job import VideoOptions
from stream_server.jobs.jobs import Jobs
from stream_server.jobs.tables import VideoRow
from tests.support.leaks import wait_until
from tests.support.videos import write_scenes
from tests.web.api.test_videos import Videos

DAY_S = 86400.0


def _jobs(folder: Path, **videos: object) -> Jobs:
    return Jobs(Config.load(None, videos={"folder": str(folder / "videos"), "max_running": 1, **videos}))


class Shelf:
    """Videos that a server which has ended left in `folder`, as old as they are said to be."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, age_s: float, state: str = "uploading", byte_age_s: float | None = None) -> str:
        """Keep a video that was begun, or has ended, so long ago; return its id."""
        with closing(_jobs(self.folder)) as jobs:
            job = jobs.add_upload("anna", "a.mp4", 100, VideoOptions())
            jobs.write(job, 0, iter([b"x" * 10]))
            then = time.time() - (age_s if byte_age_s is None else byte_age_s)
            os.utime(jobs.folder.source(job), (then, then))
            with Transaction(self._database()) as transaction, transaction.begin():
                values = {"state": state, "created_at": time.time() - age_s, "ended_at": time.time() - age_s}
                transaction.execute(update(VideoRow).where(VideoRow.id == job.id).values(**values))
        return job.id

    def _database(self):  # noqa: ANN202
        engine = open_database(f"sqlite:///{self.folder}/videos/videos.db", create=True)
        assert engine
        return engine


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


@pytest.mark.parametrize("state", ["done", "failed"])
def test_what_has_ended_long_ago_is_deleted_when_the_server_starts(shelf: Shelf, state: str) -> None:
    old, new = shelf.add(31 * DAY_S, state), shelf.add(29 * DAY_S, state)
    with closing(_jobs(shelf.folder)) as jobs:
        jobs.start()
        assert wait_until(lambda: [job.id for job in jobs.jobs()] == [new])
        assert wait_until(lambda: not jobs.folder.of(old).exists())


def test_upload_is_kept_for_a_day_from_its_last_byte(shelf: Shelf) -> None:
    given_up, slow = shelf.add(3 * DAY_S), shelf.add(3 * DAY_S, byte_age_s=3600)
    with closing(_jobs(shelf.folder)) as jobs:
        jobs.start()
        assert wait_until(lambda: not jobs.folder.of(given_up).exists())
        (left,) = jobs.jobs()
        assert left.id == slow
        assert jobs.kept_until(left) == pytest.approx(time.time() + DAY_S - 3600, abs=60)


def test_nothing_is_deleted_where_it_is_to_be_kept_for_ever(shelf: Shelf) -> None:
    upload = shelf.add(1000 * DAY_S)
    done, older = shelf.add(1000 * DAY_S, "done"), shelf.add(1200 * DAY_S, "done")
    with closing(_jobs(shelf.folder, keep_s=None, keep_uploads_s=None)) as jobs:
        jobs.start()
        assert [jobs.kept_until(job) for job in jobs.jobs()] == [None] * 3
    with closing(_jobs(shelf.folder, keep_s=1100 * DAY_S, keep_uploads_s=None)) as jobs:
        jobs.start()
        assert wait_until(lambda: not jobs.folder.of(older).exists())
        assert {job.id for job in jobs.jobs()} == {upload, done}


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Videos]:
    folder = tmp_path_factory.mktemp("kept")
    write_scenes(folder / "short.mp4", 5)
    with Videos(folder, "videos.keep_s=2", "videos.keep_uploads_s=2") as videos:
        yield videos


def test_running_server_says_how_long_it_keeps_and_does_so(videos: Videos) -> None:
    done = videos.end(videos.add("short.mp4"))
    ended, until = (datetime.fromisoformat(done[key]) for key in ("ended_at", "kept_until"))
    assert (until - ended).total_seconds() == pytest.approx(2, abs=0.01)
    assert videos.files(done["id"])
    upload = videos.begin("cut.mp4", 1000)
    assert videos.append(upload, 0, b"x" * 10).status == 204
    for id in (done["id"], upload):
        assert wait_until(lambda id=id: videos.ask("GET", f"/{id}").status == 404)
        assert wait_until(lambda id=id: not (videos.folder / f"video-{id}").exists())


def test_full_server_takes_nothing_more_and_deletes_nothing(tmp_path: Path) -> None:
    write_scenes(tmp_path / "short.mp4", 5)
    with Videos(tmp_path, "videos.quota_bytes=3000") as videos:
        done = videos.end(videos.add("short.mp4"))
        answer = videos.ask("POST", "?name=b.mp4", b"", {"Upload-Length": "3000"})
        assert (answer.status, "videos.quota_bytes" in answer.json["detail"]) == (507, True)
        assert videos.info(done["id"])["state"] == "done"
        assert videos.ask("DELETE", f"/{done['id']}").status == 204
        assert videos.ask("POST", "?name=b.mp4", b"", {"Upload-Length": "3000"}).status == 201
