"""Videos over HTTP: sent whole, in pieces or named; watched, fetched, deleted; also after a crash."""

from __future__ import annotations

import base64
import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from stream_server.accounts.store import Store
from stream_server.config import Config
from stream_server.engine import Engine
from stream_server.web.app import create_app
from tests.support.leaks import wait_until
from tests.support.needs import need
from tests.support.posts import post
from tests.support.server import COMMAND, Answer, Server, get
from tests.support.videos import probe, write_scenes, write_with_latin_title

VIDEOS = "/api/v1/videos"
DEMO = ("--set", "cameras.demo={source: 'demo:', width: 320, height: 180, fps: 10, detect: {enabled: false}}")
TUS = {"Tus-Resumable": "1.0.0"}
PIECE = {**TUS, "Content-Type": "application/offset+octet-stream"}
FRAMES = 12
DONE_TIMEOUT_S = 120.0


class Videos:
    """A server whose files are all in `folder`, and its videos."""

    def __init__(
        self, folder: Path, *settings: str, root: Path | None = None, command: tuple[str, ...] = COMMAND
    ) -> None:
        self.folder = folder / "videos"
        ours = (
            "videos.nice=0",
            f"videos.folder={self.folder}",
            f"videos.media_root={root or folder}",
            f"auth.database=sqlite:///{folder}/accounts.db",
            *settings,
        )
        options = [part for setting in ours for part in ("--set", setting)]
        layout = {"STREAM_SERVER_LAYOUT": "1x1"}
        self.server = Server(*DEMO, *options, environment=layout, command=command)

    def __enter__(self) -> Videos:
        self.server.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.__exit__(None, None, None)

    def ask(
        self, method: str, path: str = "", body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        return post(self.server.port, VIDEOS + path, body, headers, method=method)

    def add(self, path: str, **options: object) -> str:
        """Name a video below the media root, and return its id."""
        body = json.dumps({"path": path, **options}).encode()
        answer = self.ask("POST", "", body, {"Content-Type": "application/json"})
        assert answer.status == 201, answer.text
        return str(answer.json["id"])

    def begin(self, name: str, size: int, query: str = "") -> str:
        """Announce an upload, and return its id."""
        told = f"filename {base64.b64encode(name.encode()).decode()},filetype dmlkZW8vbXA0"
        headers = {**TUS, "Upload-Length": str(size), "Upload-Metadata": told}
        answer = self.ask("POST", query, b"", headers)
        assert answer.status == 201, answer.text
        assert answer.headers["location"].endswith(f"{VIDEOS}/{answer.json['id']}")
        return str(answer.json["id"])

    def append(self, id: str, offset: int, data: bytes) -> Answer:
        return self.ask("PATCH", f"/{id}", data, {**PIECE, "Upload-Offset": str(offset)})

    def info(self, id: str) -> dict[str, Any]:
        info: dict[str, Any] = self.ask("GET", f"/{id}").json
        return info

    def wait(self, id: str, fact: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return what is said of a video once `fact` is true of it."""
        info: dict[str, Any] = {}

        def is_so() -> bool:
            info.update(self.info(id))
            return fact(info)

        assert wait_until(is_so, DONE_TIMEOUT_S), info
        return info

    def end(self, id: str) -> dict[str, Any]:
        return self.wait(id, lambda info: info["state"] in ("done", "failed"))

    def files(self, id: str) -> list[str]:
        """Return the files the server has of a video."""
        folder = self.folder / f"video-{id}"
        with suppress(FileNotFoundError):  # it goes just now
            return sorted(path.name for path in folder.rglob("*"))
        return []


def is_at_work(info: dict[str, Any]) -> bool:
    """Is a frame through? A worker that has just begun has no progress to tell yet."""
    return info["state"] == "running" and info["progress"] is not None and info["progress"]["frames"] > 0


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A media root, and beside it a video that is none of its."""
    folder = tmp_path_factory.mktemp("media")
    root = folder / "root"
    (root / "sub").mkdir(parents=True)
    write_scenes(root / "short.mp4", FRAMES)
    write_scenes(root / "sub" / "long.mp4", 2000)
    write_scenes(folder / "secret.mp4", 1)
    (root / "link.mp4").symlink_to(folder / "secret.mp4")
    (root / "broken.mp4").write_bytes(b"\0" * 5000)
    (root / "note.txt").write_text("no video")
    return root


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Iterator[Videos]:
    folder = tmp_path_factory.mktemp("server")
    limits = (
        "videos.max_bytes=400000",
        "videos.max_jobs_per_user=4",
        "videos.quota_bytes=2000000",
        "videos.max_length_s=90",
    )
    with Videos(folder, *limits, root=root) as videos:
        yield videos


@pytest.fixture(scope="module")
def short(root: Path) -> bytes:
    return (root / "short.mp4").read_bytes()


def test_where_there_was_no_video_there_is_no_database(tmp_path: Path) -> None:
    with Videos(tmp_path) as videos:
        answer = videos.ask("GET")
        assert (answer.status, answer.json) == (200, {"videos": []})
        assert videos.ask("GET", "/0123456789abcdef").status == 404
    files = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert {name for name in files if not name.endswith(".lock")} == set()


# Ways to send one.


def test_video_in_one_request_is_annotated_and_can_be_fetched_in_parts(
    videos: Videos, short: bytes, tmp_path: Path
) -> None:
    answer = videos.ask("POST", "?name=a/b/street.mp4&side=json,csv&every=2&trails=true", short)
    assert (answer.status, answer.json["state"], answer.json["name"]) == (201, "queued", "street.mp4")
    info = videos.end(answer.json["id"])
    assert info["state"] == "done", info
    assert (info["summary"]["frames"], info["summary"]["analysed"]) == (FRAMES, FRAMES // 2)
    whole = get(videos.server.port, info["result"])
    assert (whole.status, whole.headers["content-type"]) == (200, "video/mp4")
    (tmp_path / "result.mp4").write_bytes(whole.body)
    assert len(probe(tmp_path / "result.mp4").times_s) == FRAMES
    part = get(videos.server.port, info["result"], headers={"Range": "bytes=100-199"})
    assert (part.status, part.body) == (206, whole.body[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(whole.body)}"
    beyond = get(videos.server.port, info["result"], headers={"Range": "bytes=99999999-"})
    assert beyond.status == 416
    files = {file["name"]: file for file in info["files"]}
    assert set(files) == {"street.annotated.mp4", "street.annotated.ndjson", "street.annotated.csv"}
    lines = get(videos.server.port, files["street.annotated.ndjson"]["url"])
    assert "attachment" in lines.headers["content-disposition"]
    assert len(lines.text.splitlines()) == FRAMES
    assert "input.mp4" not in videos.files(info["id"])


def test_a_video_may_be_larger_than_all_other_requests(tmp_path: Path, short: bytes) -> None:
    """It is taken whole, and as the one piece that tus-js-client sends if it is told nothing."""
    size = 21 * 1024 * 1024
    body = short + bytes(size - len(short))
    with Videos(tmp_path) as videos:
        assert videos.ask("POST", "?name=whole.mp4", body).status == 201
        answer = videos.append(videos.begin("piece.mp4", size), 0, body)
        assert (answer.status, answer.headers.get("upload-offset")) == (204, str(size)), answer.text


def test_pieces_become_a_video_whatever_is_tried_between_them(videos: Videos, short: bytes) -> None:
    id = videos.begin("pieces.mp4", len(short))
    assert videos.append(id, 0, short[:1000]).headers["upload-offset"] == "1000"
    for offset in (0, 999, 1001):
        assert videos.append(id, offset, b"wrong").status == 409
    wrong_kind = {**TUS, "Content-Type": "video/mp4", "Upload-Offset": "1000"}
    assert videos.ask("PATCH", f"/{id}", b"wrong", wrong_kind).status == 415
    other_version = {**PIECE, "Tus-Resumable": "0.2.2", "Upload-Offset": "1000"}
    refused = videos.ask("PATCH", f"/{id}", b"wrong", other_version)
    assert (refused.status, refused.headers["tus-version"]) == (412, "1.0.0")
    for answer in (refused, videos.ask("GET", "/0123456789abcdef"), videos.ask("PUT", f"/{id}", b"")):
        assert answer.headers["tus-resumable"] == "1.0.0", answer
    assert videos.append(id, 1000, short[1000:] + b"more").status == 409
    head = videos.ask("HEAD", f"/{id}", headers=TUS)
    offset = int(head.headers["upload-offset"])
    assert (head.headers["upload-length"], head.headers["cache-control"]) == (str(len(short)), "no-store")
    assert videos.info(id)["received"] == offset
    assert videos.append(id, offset, short[offset:]).status == 204
    assert videos.end(id)["summary"]["frames"] == FRAMES
    assert videos.append(id, len(short), b"").status == 409


def test_server_says_which_protocol_it_speaks(videos: Videos) -> None:
    headers = videos.ask("OPTIONS").headers
    assert headers["tus-version"] == "1.0.0"
    assert headers["tus-extension"] == "creation,termination"
    assert headers["tus-max-size"] == "400000"


def test_video_in_the_media_root_is_annotated_where_it_lies(videos: Videos, root: Path) -> None:
    by_name, by_path = videos.add("short.mp4", end_s=0.2), videos.add(str(root / "short.mp4"))
    assert videos.end(by_name)["summary"]["frames"] < FRAMES
    assert videos.end(by_path)["summary"]["frames"] == FRAMES
    assert (root / "short.mp4").exists()


@pytest.mark.parametrize(
    "path",
    ["", ".", "../secret.mp4", "link.mp4", "/etc/passwd", "sub", "missing.mp4", "note.txt", "a\0b.mp4"],
)
def test_nothing_else_of_the_server_can_be_named(videos: Videos, path: str) -> None:
    answer = videos.ask("POST", "", json.dumps({"path": path}).encode(), {"Content-Type": "application/json"})
    assert (answer.status, answer.json["field"]) == (422, "name" if path == "note.txt" else "path")


# What is refused.


@pytest.mark.parametrize(
    ("query", "body", "headers", "status"),
    [
        ("?name=a.mp4", b"", {}, 422),
        ("", b"x", {}, 422),
        ("?name=a.exe", b"x", {}, 422),
        ("?name=.mp4", b"x", {}, 422),
        ("?name=a%0Ab.mp4", b"x", {}, 422),
        (f"?name={'a' * 201}.mp4", b"x", {}, 422),
        ("?name=a.mp4&every=0", b"x", {}, 422),
        ("?name=a.mp4&colour=red", b"x", {}, 422),
        ("?name=a.mp4&start_s=5&end_s=2", b"x", {}, 422),
        ("?name=a.mp4", b"x" * 400_001, {}, 413),
        ("?name=a.mp4", b"x", {"Content-Type": "multipart/form-data; boundary=b"}, 415),
        ("?name=a.mp4", b"", {"Upload-Length": "many"}, 400),
        ("?name=a.mp4", b"", {"Upload-Length": "400001"}, 413),
        ("", b"", {"Upload-Length": "5", "Upload-Metadata": "filename not-base64"}, 400),
        ("", b"not json", {"Content-Type": "application/json"}, 400),
        ("?name=a.mp4", b"x", {"Tus-Resumable": "2.0.0"}, 412),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_kept(
    videos: Videos, query: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    before = len(videos.ask("GET").json["videos"])
    answer = videos.ask("POST", query, body, headers)
    assert answer.status == answer.json["status"] == status, answer.text
    assert len(videos.ask("GET").json["videos"]) == before


@pytest.mark.parametrize(
    ("path", "options", "reason"),
    [
        ("broken.mp4", {}, "cannot play broken.mp4"),
        ("short.mp4", {"start_s": 1000}, "no picture"),
    ],
)
def test_video_that_cannot_be_annotated_says_why(
    videos: Videos, root: Path, path: str, options: dict[str, object], reason: str
) -> None:
    info = videos.end(videos.add(path, **options))
    assert info["state"] == "failed"
    assert reason in info["reason"]
    assert str(root) not in info["reason"]
    assert wait_until(lambda: videos.files(info["id"]) == [])
    assert videos.ask("GET", f"/{info['id']}/result").status == 409


def test_upload_whose_title_is_no_utf_8_is_annotated(videos: Videos, tmp_path: Path) -> None:
    data = write_with_latin_title(tmp_path / "in.mp4").read_bytes()
    info = videos.end(videos.ask("POST", "?name=in.mp4", data).json["id"])
    assert (info["state"], info["summary"]["frames"]) == ("done", FRAMES)


def test_unreadable_upload_says_why(videos: Videos) -> None:
    answer = videos.ask("POST", "?name=broken.mkv", b"no video at all")
    info = videos.end(answer.json["id"])
    assert info["state"] == "failed"
    assert str(videos.folder) not in info["reason"]


def test_limits_hold(tmp_path: Path, root: Path) -> None:
    limits = ("videos.max_jobs_per_user=2", "videos.quota_bytes=30000", "videos.max_length_s=60")
    with Videos(tmp_path, *limits, root=root) as videos:
        too_long = videos.end(videos.add("sub/long.mp4"))
        assert "longer than 60 s" in too_long["reason"]
        first = videos.begin("first.mp4", 20_000)
        too_much = videos.ask("POST", "?name=b.mp4", b"", {"Upload-Length": "10001"})
        assert (too_much.status, too_much.json["title"]) == (507, "Insufficient Storage")
        second = videos.begin("second.mp4", 9_000)
        too_many = videos.ask("POST", "?name=c.mp4", b"", {"Upload-Length": "1"})
        assert (too_many.status, too_many.headers["retry-after"]) == (429, "5")
        for id in (first, second):
            assert videos.ask("DELETE", f"/{id}").status == 204
        grown = videos.end(videos.add("sub/long.mp4", end_s=50, every=10, format="avi"))
        assert "quota_bytes" in grown["reason"]
        assert videos.files(grown["id"]) == []


# While they are worked on.


def test_deleting_stops_work_at_once_and_leaves_nothing(videos: Videos) -> None:
    family = len(videos.server.family())
    id = videos.add("sub/long.mp4")
    info = videos.wait(id, lambda info: is_at_work(info) and info["progress"]["fps"] > 0)
    assert info["progress"]["expected"] == 2000
    assert info["progress"]["left_s"] > 0
    answer = videos.ask("DELETE", f"/{id}")
    assert answer.status == 204
    assert videos.ask("GET", f"/{id}").status == 404
    assert videos.files(id) == []
    assert wait_until(lambda: len(videos.server.family()) == family)


def _events(port: int, id: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield name and data of each event until there are no more."""
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", f"{VIDEOS}/{id}/events")
    response = connection.getresponse()
    assert (response.status, response.getheader("Content-Type")) == (200, "text/event-stream")
    with closing(connection), response:
        for line in response:
            if line.startswith(b"event: "):
                name = line[7:].decode().strip()
            if line.startswith(b"data: "):
                yield name, json.loads(line[6:])


def test_events_tell_how_it_goes_until_it_is_over(videos: Videos) -> None:
    told = list(_events(videos.server.port, videos.add("short.mp4")))
    states = [data["state"] for _, data in told]
    assert {name for name, _ in told} == {"video"}
    assert states[-1] == "done"
    assert sorted(states, key=["queued", "running", "done"].index) == states


def test_events_tell_that_it_was_deleted(videos: Videos) -> None:
    id = videos.add("sub/long.mp4")
    events = _events(videos.server.port, id)
    next(events)
    assert videos.ask("DELETE", f"/{id}").status == 204
    assert list(events)[-1] == ("deleted", {})


@pytest.mark.slow
def test_cameras_keep_their_rate_while_a_video_is_annotated(tmp_path: Path, root: Path) -> None:
    busy = (
        "cameras.demo={source: 'demo:', width: 640, height: 360, fps: 15, detect: {fps: 8}}",
        "videos.nice=19",
    )
    with Videos(tmp_path, *busy, root=root) as videos:
        videos.server.wait_for_camera(lambda info: info["latency_ms"] is not None, 30)
        alone = _rates(videos.server)
        id = videos.add("sub/long.mp4")
        videos.wait(id, is_at_work)
        kept = 0.0
        for _ in range(4):  # others on this machine may take what a camera lacks once, not again and again
            together = _rates(videos.server)
            assert is_at_work(videos.info(id))
            kept = max(kept, min(now / before for now, before in zip(together, alone, strict=True)))
            if kept > 0.8:
                break
    assert kept > 0.8, (alone, together)


def _rates(server: Server) -> tuple[float, float]:
    """Return frames and detections a second of the camera, of the next three seconds."""
    first, began, seen = server.camera()["frames"], time.monotonic(), set()

    def look() -> bool:
        seen.add(server.get("/api/v1/cameras/demo/detections").json["sequence"])
        return time.monotonic() > began + 3

    assert wait_until(look)
    took_s = time.monotonic() - began
    return (server.camera()["frames"] - first) / took_s, len(seen) / took_s


# When something breaks.


def test_upload_and_work_go_on_after_the_server_was_killed(tmp_path: Path, root: Path) -> None:
    data = (root / "sub" / "long.mp4").read_bytes()
    with Videos(tmp_path, root=root) as videos:
        job = videos.add("sub/long.mp4", end_s=12, every=3)
        upload = videos.begin("cut.mp4", len(data), "?end_s=0.4")
        connection = HTTPConnection("127.0.0.1", videos.server.port, timeout=10)
        connection.putrequest("PATCH", f"{VIDEOS}/{upload}")
        for name, value in {**PIECE, "Upload-Offset": "0", "Content-Length": str(len(data))}.items():
            connection.putheader(name, value)
        connection.endheaders(data[:20_000])
        assert wait_until(lambda: videos.info(upload)["received"] > 10_000)
        before = videos.wait(job, lambda info: is_at_work(info) and info["progress"]["frames"] > 30)
        with closing(connection):
            for pid in videos.server.family():
                os.kill(pid, signal.SIGKILL)
        assert videos.server.is_gone()
    with Videos(tmp_path, root=root) as videos:
        offset = int(videos.ask("HEAD", f"/{upload}", headers=TUS).headers["upload-offset"])
        assert 10_000 < offset <= 20_000
        assert videos.append(upload, offset, data[offset:]).status == 204
        assert videos.info(job)["created_at"] == before["created_at"]
        assert videos.end(job)["summary"]["frames"] == 300
        assert videos.end(upload)["summary"]["frames"] == 10
        assert videos.files(job) == ["long.annotated.mp4", "out"]


def test_work_that_dies_is_begun_again_where_it_was(videos: Videos) -> None:
    id = videos.add("sub/long.mp4", end_s=12, every=3)
    videos.wait(id, lambda info: is_at_work(info) and info["progress"]["frames"] > 30)
    (worker,) = [pid for pid in videos.server.family() if "jobs.worker import" in _command_line(pid)]
    os.kill(worker, signal.SIGKILL)
    info = videos.end(id)
    assert info["summary"]["frames"] == 300
    assert videos.server.wait_for_line(f"video {id} .*begun again")


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def test_full_disk_is_said_and_an_upload_goes_on_when_there_is_room(tmp_path: Path, root: Path) -> None:
    """A limit on what a process may write to a file stands for a full disk: the same calls fail."""
    limited = (need("prlimit"), "--fsize=262144", *COMMAND)
    with Videos(tmp_path, root=root, command=limited) as videos:
        id = videos.begin("large.mp4", 400_000)
        answer = videos.append(id, 0, b"x" * 400_000)
        assert (answer.status, answer.json["title"]) == (507, "Insufficient Storage")
        assert videos.info(id)["received"] == 262144
        info = videos.end(videos.add("sub/long.mp4", every=10, format="avi"))
        assert "file too large" in info["reason"]
        assert videos.files(info["id"]) == []
    with Videos(tmp_path, root=root) as videos:
        assert videos.append(id, 262144, b"x" * (400_000 - 262144)).status == 204
        assert videos.end(id)["state"] == "failed"


# Whose they are.


@pytest.fixture
def client(tmp_path: Path) -> Iterator[tuple[FlaskClient, dict[str, dict[str, str]]]]:
    """An application with users, and the headers with which each asks."""
    address = f"sqlite:///{tmp_path}/accounts.db"
    config = Config.load(
        None,
        auth={"database": address},
        videos={"folder": str(tmp_path / "videos"), "media_root": str(tmp_path)},
    )
    with closing(Store.open(address)) as store, Engine(config) as engine:
        store.add_user("anna", "correct horse", "viewer")
        store.add_user("root", "correct horse", "admin")
        tokens = {
            "token": store.add_token("anna", "viewer"),
            "front": store.add_token("front", "admin", frozenset({"front"})),
        }
        engine.accounts.refresh()
        basic = {
            name: f"Basic {base64.b64encode(f'{name}:correct horse'.encode()).decode()}"
            for name in ("anna", "root")
        }
        shown = {**basic, **{name: f"Bearer {token}" for name, token in tokens.items()}}
        with create_app(engine).test_client() as client:
            yield client, {name: {"Authorization": value} for name, value in shown.items()}


def test_videos_are_their_owners_and_the_admins(
    client: tuple[FlaskClient, dict[str, dict[str, str]]], tmp_path: Path
) -> None:
    asking, who = client
    made = {}
    for name in ("anna", "token", "front"):
        begun = {**who[name], "Upload-Length": "5"}
        answer = asking.post(f"{VIDEOS}?name={name}.mp4", headers=begun)
        assert answer.status_code == 201
        assert answer.json
        made[name] = answer.json["id"]
    seen: dict[str, set[str]] = {}
    for name in who:
        listed = asking.get(VIDEOS, headers=who[name]).json
        assert listed
        seen[name] = {video["name"].removesuffix(".mp4") for video in listed["videos"]}
    everything = {"anna", "token", "front"}
    assert seen == {"anna": {"anna"}, "token": {"token"}, "front": {"front"}, "root": everything}
    for path in ("", "/events", "/result", "/files/x"):
        assert asking.get(f"{VIDEOS}/{made['anna']}{path}", headers=who["front"]).status_code == 404
    assert asking.delete(f"{VIDEOS}/{made['anna']}", headers=who["token"]).status_code == 404
    assert asking.delete(f"{VIDEOS}/{made['anna']}", headers=who["root"]).status_code == 204
    assert asking.get(VIDEOS).status_code == 401


def test_who_sees_one_camera_sees_no_files_of_the_server(
    client: tuple[FlaskClient, dict[str, dict[str, str]]], tmp_path: Path
) -> None:
    asking, who = client
    write_scenes(tmp_path / "a.mp4", 1)
    assert asking.post(VIDEOS, json={"path": "a.mp4"}, headers=who["front"]).status_code == 403
    assert asking.post(VIDEOS, json={"path": "a.mp4"}, headers=who["anna"]).status_code == 201
