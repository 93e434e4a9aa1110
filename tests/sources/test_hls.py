"""HLS: live and finished playlists at their own pace, passwords, stalls, and playlists that lead astray."""

from __future__ import annotations

import base64
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import pytest

from stream_server.config import SourceConfig
from stream_server.errors import AuthenticationFailed, SourceError
from stream_server.media.frames import Picture
from stream_server.sources import open_source
from stream_server.sources.hls import MAX_IN_VAIN, RELOAD_S, HLSSource
from tests.support.cameras.videofile import number_of, numbered_image, write_numbered
from tests.support.nginx import NginxFiles
from tests.support.patience import soon
from tests.support.webserver import KeptOpen, WebServer

FRAMES, FPS, GOP = 24, 24, 6
USERNAME, PASSWORD = "admin", "hls-canary"

Content = bytes | Callable[[], bytes | None]


class Server:
    """Serves the files of a dictionary; a function is asked for its content, None leaves clients waiting.

    password: what the files ending with `locked` need. chunk_bytes: answers come in chunks of that size.
    redirects: from path to address. cookie: set by playlists, and needed for all else.
    """

    def __init__(
        self,
        files: Mapping[str, Content],
        password: str | None = None,
        *,
        locked: str = "",
        chunk_bytes: int = 0,
        redirects: Mapping[str, str] | None = None,
        cookie: str = "",
    ) -> None:
        self.asked: list[str] = []
        self.authorizations: list[str | None] = []
        self.closing = threading.Event()
        owner = self

        class Handler(KeptOpen):
            def do_GET(self) -> None:
                owner.asked.append(self.path)
                owner.authorizations.append(self.headers["Authorization"])
                is_locked = password and self.path.endswith(locked)
                if is_locked and self.headers["Authorization"] != basic(password or ""):
                    self.answer(401, b"who?", {"WWW-Authenticate": 'Basic realm="hls"'}, chunk_bytes)
                    return
                if to := (redirects or {}).get(self.path):
                    self.answer(302, headers={"Location": to}, chunk_bytes=chunk_bytes)
                    return
                is_list = ".m3u8" in self.path
                if cookie and not is_list and self.headers["Cookie"] != cookie:
                    self.answer(403, b"no cookie", chunk_bytes=chunk_bytes)
                    return
                headers = {"Set-Cookie": f"{cookie}; Path=/; HttpOnly"} if cookie and is_list else {}
                content = files.get(self.path)
                body = content() if callable(content) else content
                if content is not None and body is None:
                    owner.closing.wait(20)
                self.answer(200 if body is not None else 404, body or b"", headers, chunk_bytes)

        self._server = WebServer(Handler)

    def url(self, path: str = "/live.m3u8", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self._server.server_port}{path}"

    @property
    def connections(self) -> int:
        return self._server.connections

    def __enter__(self) -> Server:
        self._server.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.closing.set()
        self._server.__exit__(None, None, None)


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"{USERNAME}:{password}".encode()).decode()


def playlist(*uris: str, first: int = 0, is_live: bool = False, extra: str = "") -> bytes:
    """Return a media playlist (RFC 8216) of segments of a quarter second."""
    lines = [
        "#EXTM3U",
        "#EXT-X-VERSION:6",
        "#EXT-X-TARGETDURATION:1",
        f"#EXT-X-MEDIA-SEQUENCE:{first}",
        extra,
    ]
    for uri in uris:
        lines += [f"#EXTINF:{GOP / FPS:.3f},", uri]
    return "\n".join([*filter(None, lines), "" if is_live else "#EXT-X-ENDLIST", ""]).encode()


@pytest.fixture(scope="module", params=["mpegts", "fmp4"])
def recording(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return record(tmp_path_factory.mktemp("hls"), request.param)


@pytest.fixture(scope="module")
def segments(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a recording in MPEG-TS: /live0.ts to /live3.ts."""
    return record(tmp_path_factory.mktemp("hls"), "mpegts")


def record(folder: Path, kind: str) -> dict[str, bytes]:
    options = {"hls_time": "0.25", "hls_list_size": "0", "hls_segment_type": kind}
    with av.open(str(folder / "live.m3u8"), "w", format="hls", options=options) as container:
        coding = {"g": str(GOP), "bf": "0", "tune": "zerolatency"}
        stream = container.add_stream("libx264", rate=FPS, options=coding)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(numbered_image(number, (64, 48)), format="bgr24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return {f"/{path.name}": path.read_bytes() for path in folder.iterdir()}


def hls_source(url: str, **settings: object) -> HLSSource:
    config = {"source": url, "connect_timeout_s": 5, "read_timeout_s": 5, **settings}
    source = open_source(SourceConfig.model_validate(config))
    assert isinstance(source, HLSSource)
    return source


@contextmanager
def opened(url: str, **settings: object) -> Iterator[HLSSource]:
    source = hls_source(url, **settings)
    try:
        source.open()
        yield source
    finally:
        source.close()


def next_picture(source: HLSSource) -> Picture:
    while True:
        if picture := source.read():
            return picture


def read_on(source: HLSSource) -> None:
    """Read until the source raises."""
    while True:
        source.read()


def refusal(url: str, **settings: object) -> SourceError:
    """Return why it cannot be opened."""
    with pytest.raises(SourceError) as caught, opened(url, **settings):
        pass
    return caught.value


def play(url: str, **settings: object) -> tuple[list[int], str]:
    """Return the numbers of all pictures, and why it ended."""
    numbers: list[int] = []
    try:
        with opened(url, **settings) as source:
            while True:
                numbers.append(number_of(next_picture(source).image))
    except SourceError as error:
        return numbers, error.reason


def test_every_picture_is_shown_at_its_time(recording: dict[str, bytes]) -> None:
    with Server(recording) as server, opened(server.url()) as source:
        assert source.description == "H.264 over HLS"
        assert source.size_wh == (64, 48)
        shown = [(number_of(next_picture(source).image), time.monotonic()) for _ in range(FRAMES)]
    assert [number for number, _ in shown] == list(range(FRAMES))
    gaps = np.diff([shown_at for _, shown_at in shown])
    assert gaps.sum() > 0.9 * (FRAMES - 1) / FPS
    assert np.median(gaps) < 2 / FPS


@pytest.mark.parametrize("chunk_bytes", [0, 1000])
def test_all_comes_over_one_connection(segments: dict[str, bytes], chunk_bytes: int) -> None:
    with Server(segments, chunk_bytes=chunk_bytes) as server:
        assert play(server.url())[0] == list(range(FRAMES))
        assert server.connections == 1


def test_nginx_serves_every_segment(segments: dict[str, bytes], tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    for path, content in segments.items():
        (root / path[1:]).write_bytes(content)
    with NginxFiles(tmp_path, root) as nginx:
        assert play(f"{nginx.url}/live.m3u8") == (list(range(FRAMES)), "the camera ended the stream")


def test_a_playlist_that_ends_is_an_end(segments: dict[str, bytes]) -> None:
    with Server(segments) as server:
        assert play(server.url()) == (list(range(FRAMES)), "the camera ended the stream")


def test_a_live_playlist_is_followed(segments: dict[str, bytes]) -> None:
    started = time.monotonic()

    def live() -> bytes:
        made = min(4, 2 + int((time.monotonic() - started) / (GOP / FPS)))
        return playlist(*(f"live{k}.ts" for k in range(made)), is_live=True)

    with (
        Server({**segments, "/live.m3u8": live}) as server,
        opened(server.url(), read_timeout_s=2) as source,
    ):
        numbers = [number_of(next_picture(source).image) for _ in range(FRAMES)]
        with (
            soon(at_least_s=1.5),
            pytest.raises(SourceError, match=r"^no new segment for 2 s$"),  # the playlist is still served
        ):
            next_picture(source)
    assert numbers == list(range(FRAMES))


def test_a_segment_that_is_missing_is_skipped(segments: dict[str, bytes]) -> None:
    files = {path: content for path, content in segments.items() if path != "/live1.ts"}
    with Server(files) as server:
        numbers, _ = play(server.url())
    assert numbers == [*range(GOP), *range(2 * GOP, FRAMES)]


def test_segments_may_be_ranges_of_one_file(segments: dict[str, bytes]) -> None:
    parts = [segments[f"/live{k}.ts"] for k in range(4)]
    lines, start = [], 0
    for part in parts:
        lines.append(f"#EXT-X-BYTERANGE:{len(part)}@{start}\nall.ts")
        start += len(part)
    with Server({"/live.m3u8": playlist(*lines), "/all.ts": b"".join(parts)}) as server:
        assert play(server.url())[0] == list(range(FRAMES))


def test_a_master_playlist_leads_to_its_video(segments: dict[str, bytes]) -> None:
    master = b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=100000\nlive.m3u8\n"
    with Server({**segments, "/master.m3u8": master}) as server:
        assert play(server.url("/master.m3u8"))[0] == list(range(FRAMES))


def test_addresses_are_relative_to_where_the_playlist_was_found(segments: dict[str, bytes]) -> None:
    moved = {f"/far/away{path}": content for path, content in segments.items()}
    master = b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\naway/live.m3u8?token=1\n"
    files = {**moved, "/far/master.m3u8": master, "/far/away/live.m3u8?token=1": moved["/far/away/live.m3u8"]}
    redirects = {"/live.m3u8": "/far/away/live.m3u8", "/master.m3u8": "/far/master.m3u8"}
    with Server(files, redirects=redirects) as server:
        for path in redirects:
            assert play(server.url(path))[0] == list(range(FRAMES))


@pytest.mark.parametrize("chunk_bytes", [0, 4096])
def test_cookies_of_the_playlist_are_shown_with_its_segments(
    segments: dict[str, bytes], chunk_bytes: int
) -> None:
    with Server(segments, cookie="session=1a2b", chunk_bytes=chunk_bytes) as server:
        assert play(server.url())[0] == list(range(FRAMES))


@pytest.mark.parametrize("name", ["seg?id={}", "seg{}", "seg/{}.jpg", "{}.php?x=.m3u8"])
def test_names_of_segments_tell_nothing(segments: dict[str, bytes], name: str) -> None:
    named = {f"/{name.format(k)}": segments[f"/live{k}.ts"] for k in range(4)}
    with Server({"/live.m3u8": playlist(*(path[1:] for path in named)), **named}) as server:
        assert play(server.url())[0] == list(range(FRAMES))


MASTER = """\
\ufeff#EXTM3U
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="English, stereo",DEFAULT=YES,URI="sound.m3u8"
#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="s",NAME="English",URI="words.m3u8"
#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=9999999,RESOLUTION=640x480,URI="keys.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=9000000,CODECS="mp4a.40.2",AUDIO="a"
sound.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=500,RESOLUTION=32x24,CODECS="mp4a.40.2,avc1.42c00b",AUDIO="a",SUBTITLES="s"
small.m3u8

#EXT-X-STREAM-INF:BANDWIDTH=900,AVERAGE-BANDWIDTH=1,RESOLUTION=64x48,CODECS="avc1.42c00b",SUBTITLES="s"
# a comment
live.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=800,RESOLUTION=64x48
worse.m3u8
"""


def test_largest_video_of_a_master_is_fetched_and_nothing_else(segments: dict[str, bytes]) -> None:
    with Server({**segments, "/master.m3u8": MASTER.replace("\n", "\r\n").encode()}) as server:
        assert play(server.url("/master.m3u8"))[0] == list(range(FRAMES))
        assert {path for path in server.asked if path.endswith(".m3u8")} == {"/master.m3u8", "/live.m3u8"}


def test_master_of_sound_alone_is_refused_in_words() -> None:
    master = b'#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS="mp4a.40.2"\nsound.m3u8\n'
    with Server({"/live.m3u8": master}) as server:
        assert refusal(server.url()).reason == "the playlist names no video"


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"/live.m3u8": b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlive.m3u8\n"}, "lead to other playlists"),
        ({"/live.m3u8": playlist("live.m3u8", "live.m3u8")}, "not a playlist of H.264"),
        (
            {"/live.m3u8": playlist(*["live.m3u8?again"] * 999), "/live.m3u8?again": playlist("x.ts")},
            "names itself",
        ),
        ({"/live.m3u8": playlist(*(f"gone{k}.ts" for k in range(5000)))}, "answers 404"),
        ({"/live.m3u8": playlist(*["empty.ts"] * 5000), "/empty.ts": b""}, "no picture"),
        ({"/live.m3u8": playlist(*["page.ts"] * 5000), "/page.ts": b"<html>" * 5000}, ""),
    ],
)
def test_circles_and_endless_lists_are_asked_for_a_few_times(files: dict[str, bytes], reason: str) -> None:
    with Server(files) as server:
        assert reason in refusal(server.url()).reason
        assert len(server.asked) <= MAX_IN_VAIN + 5


def test_live_playlist_is_not_asked_for_all_the_time(segments: dict[str, bytes]) -> None:
    live = playlist("live0.ts", is_live=True).replace(b"TARGETDURATION:1", b"TARGETDURATION:0")
    asked_at: list[float] = []

    def hasty() -> bytes:
        asked_at.append(time.monotonic())
        return live.replace(b"0.250", b"0.000")

    with (
        Server({**segments, "/live.m3u8": hasty}) as server,
        pytest.raises(SourceError),
        opened(server.url(), connect_timeout_s=2, read_timeout_s=2) as source,
    ):
        read_on(source)
    gaps = [later - sooner for sooner, later in itertools.pairwise(asked_at)]
    assert len(gaps) >= 2
    assert min(gaps) > 0.8 * RELOAD_S


def test_credentials_open_it_and_go_to_no_other_host(segments: dict[str, bytes]) -> None:
    with Server(segments) as elsewhere:
        files = {"/live.m3u8": playlist(*(elsewhere.url(f"/live{k}.ts", "localhost") for k in range(4)))}
        with Server(files, PASSWORD) as server:
            assert play(server.url(), username=USERNAME, password=PASSWORD)[0] == list(range(FRAMES))
            assert basic(PASSWORD) in server.authorizations
        assert set(elsewhere.authorizations) == {None}


@pytest.mark.parametrize("locked", [".m3u8", ".ts"])
def test_a_refused_password_is_tried_once(segments: dict[str, bytes], locked: str) -> None:
    with Server(segments, PASSWORD, locked=locked) as server:
        error = refusal(server.url(), username=USERNAME, password="wrong-canary")
        assert isinstance(error, AuthenticationFailed)
        assert error.reason == "the camera refuses the user name or password"
        assert server.authorizations.count(basic("wrong-canary")) == 1


def test_what_is_no_playlist_is_refused() -> None:
    for content in (b"", b"<html></html>", b"#EXTM3U\n", playlist("none.ts")):
        with Server({"/live.m3u8": content}) as server:
            assert refusal(server.url()).reason


def test_a_missing_playlist_and_a_closed_port_are_named() -> None:
    with Server({}) as server:
        assert refusal(server.url()).reason == "the camera answers 404 Not Found"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error = refusal(f"http://127.0.0.1:{port}/live.m3u8")
    assert error.reason == f"127.0.0.1:{port}: connection refused"


@pytest.mark.parametrize("silent", ["/live.m3u8", "/live0.ts"])
def test_a_server_that_does_not_answer_is_given_up_in_time(segments: dict[str, bytes], silent: str) -> None:
    with Server({**segments, silent: lambda: None}) as server, soon(at_least_s=0.9):
        assert refusal(server.url(), connect_timeout_s=1).reason == "no answer within 1 s"


def test_all_steps_of_opening_share_one_time(segments: dict[str, bytes]) -> None:
    """Each answer comes in time, all together they do not: the address tells nothing, and leads on twice."""
    master = b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlive.m3u8\n"
    late = threading.Event()

    def slow(content: bytes) -> Callable[[], bytes]:
        return lambda: (late.wait(0.8), content)[1]

    files = {path: slow(content) for path, content in {**segments, "/camera": master}.items()}
    with Server(files) as server:
        config = {"source": server.url("/camera"), "connect_timeout_s": 2, "read_timeout_s": 5}
        source = open_source(SourceConfig.model_validate(config))
        with pytest.raises(SourceError, match="no answer within 2 s"):
            source.open()
        source.close()
        late.set()
        assert len(server.asked) <= 3


def test_interrupt_ends_a_wait_for_a_segment(segments: dict[str, bytes]) -> None:
    with (
        Server({**segments, "/live2.ts": lambda: None}) as server,
        opened(server.url(), read_timeout_s=60) as source,
    ):
        timer = threading.Timer(1.0, source.interrupt)
        timer.start()
        with soon(), pytest.raises(SourceError, match=r"^interrupted$"):
            read_on(source)
        timer.join()


@pytest.mark.parametrize(
    "uri",
    [
        "file://{canary}",
        "file:{canary}",
        "{canary}",
        "concat:{canary}",
        "concat:file:{canary}|file:{canary}",
        "subfile,,start,0,end,0,,:{canary}",
        "data:video/mp2t;base64,{data}",
        "crypto:file:{canary}",
        "async:file:{canary}",
        "tcp://127.0.0.1:9",
        "gopher://127.0.0.1:9/x.ts",
        "ftp://127.0.0.1/x.ts",
    ],
)
@pytest.mark.parametrize("place", ["segment", "variant", "map", "key"])
def test_a_playlist_leads_to_nothing_but_http(tmp_path: Path, uri: str, place: str) -> None:
    canary = write_numbered(tmp_path / "canary.ts", 20)
    text = uri.format(canary=canary, data=base64.b64encode(canary.read_bytes()).decode())
    content = {
        "segment": playlist(text, text, text),
        "variant": f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{text}\n".encode(),
        "map": playlist("none.m4s", extra=f'#EXT-X-MAP:URI="{text}"'),
        "key": playlist("none.ts", extra=f'#EXT-X-KEY:METHOD=AES-128,URI="{text}"'),
    }[place]
    with Server({"/live.m3u8": content}) as server:
        numbers, _ = play(server.url(), connect_timeout_s=2)
        assert numbers == []
        assert all(path.startswith("/") and "canary-content" not in path for path in server.asked)


def test_a_redirect_leads_to_nothing_but_http(tmp_path: Path) -> None:
    canary = write_numbered(tmp_path / "canary.ts", 20)

    class Redirect(KeptOpen):
        def do_GET(self) -> None:
            self.answer(302, headers={"Location": f"file://{canary}"})

    with WebServer(Redirect) as redirecting:
        error = refusal(f"{redirecting.url}/live.m3u8")
    assert error.reason == "the camera redirects to something that is no address"


def test_encrypted_segments_are_refused(segments: dict[str, bytes]) -> None:
    key = '#EXT-X-KEY:METHOD=AES-128,URI="key.bin"'
    files = {**segments, "/live.m3u8": playlist("live0.ts", extra=key), "/key.bin": bytes(16)}
    with Server(files) as server:
        assert refusal(server.url()).reason == "its segments are encrypted, which is not supported"
