"""The player in a real browser: many cameras, hidden and left pages, trouble, and other sites' pages."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stream_server.config import Config
from stream_server.errors import ConfigError
from tests.support.browser import MOVES, WITHIN_MS
from tests.support.leaks import wait_until
from tests.support.relay import Relay
from tests.support.server import NINE, NINE_SMALL_DEMOS, NO_DETECTOR, SMALL_DEMO, Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Request

PICTURE, DRAWN = "stream-camera img", "stream-camera canvas"
GONE_TIMEOUT_S = 20.0
HIDE = """
(hidden) => {
  Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
  document.dispatchEvent(new Event("visibilitychange"));
}
"""


class _Site(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What other sites serve."""
    return tmp_path_factory.mktemp("site")


def _site(folder: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Site, directory=str(folder))) as site:
        thread = threading.Thread(target=site.serve_forever, name="site", daemon=True)
        thread.start()
        yield f"http://localhost:{site.server_port}"
        site.shutdown()
        thread.join(30)


@pytest.fixture(scope="module")
def friend(folder: Path) -> Iterator[str]:
    """The origin of a site that the server is told of."""
    yield from _site(folder)


@pytest.fixture(scope="module")
def stranger(folder: Path) -> Iterator[str]:
    """The origin of a site that it is not told of."""
    yield from _site(folder)


@pytest.fixture(scope="module")
def server(friend: str) -> Iterator[Server]:
    """Nine cameras that cost next to nothing."""
    with Server(*NINE_SMALL_DEMOS, *NO_DETECTOR, "--set", f"server.embed_origins=[{friend!r}]") as server:
        yield server


def requests(page: Page) -> list[str]:
    """Return the list to which the page's streams and WebSockets are added."""
    asked: list[str] = []

    def note(request: Request) -> None:
        if any(part in request.url for part in ("stream.mjpg", "snapshot.jpg")):
            asked.append(request.url)

    page.on("request", note)
    page.on("websocket", lambda socket: asked.append(socket.url))
    return asked


def shown_width(page: Page) -> int:
    width: int = page.evaluate("document.querySelector('stream-camera img').naturalWidth")
    return width


# The page of all cameras.


def test_nine_cameras_all_move_over_one_connection(page: Page, server: Server) -> None:
    asked = requests(page)
    page.goto(server.url)
    for name in NINE:
        assert page.evaluate(MOVES, f'[data-camera="{name}"] canvas') > 100
    assert asked == [f"ws://127.0.0.1:{server.port}/api/v1/wall"]
    assert server.viewers == 9


def test_hidden_tab_is_no_viewer_and_comes_back(page: Page, server: Server) -> None:
    page.goto(server.url)
    assert server.has_viewers(9)
    page.evaluate(HIDE, True)
    assert server.has_viewers(0)
    page.evaluate(HIDE, False)
    assert server.has_viewers(9)
    assert page.evaluate(MOVES, '[data-camera="cam9"] canvas') > 100


def test_page_that_is_left_has_no_viewers_and_comes_back(page: Page, server: Server) -> None:
    page.goto(server.url)
    assert server.has_viewers(9)
    page.goto("about:blank")
    assert server.has_viewers(0)
    page.go_back()
    assert server.has_viewers(9)


def test_cameras_that_cannot_be_seen_are_not_watched(page: Page, server: Server) -> None:
    page.set_viewport_size({"width": 320, "height": 400})
    page.goto(server.url)
    page.locator("stream-camera[data-state=live]").first.wait_for()
    assert 0 < server.viewers < 9
    page.locator('[data-camera="cam9"]').scroll_into_view_if_needed()
    assert page.evaluate(MOVES, '[data-camera="cam9"] canvas') > 100


@pytest.mark.parametrize(
    ("size", "width"),
    [((320, 640), 320), ((600, 800), 640), ((1000, 700), 960), ((1280, 900), 1280), ((2400, 1400), 1920)],
)
def test_picture_is_asked_for_at_the_size_it_is_shown(
    page: Page, server: Server, size: tuple[int, int], width: int
) -> None:
    asked = requests(page)
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.goto(f"{server.url}/embed/cam1")
    assert page.evaluate(MOVES, PICTURE) > 100
    assert asked == [f"{server.url}/cameras/cam1/stream.mjpg?width={width}"]


# One camera.


def test_embed_page_shows_what_its_address_asks_for(page: Page, server: Server) -> None:
    asked = requests(page)
    page.goto(f"{server.url}/embed/cam1?overlay=none&fps=5&width=160&caption=0&1700000000")
    assert page.evaluate(MOVES, PICTURE) > 100
    (address,) = asked
    assert sorted(address.partition("?")[2].split("&")) == [
        "caption=false",
        "fps=5.0",
        "overlay=none",
        "width=160",
    ]


@pytest.mark.parametrize(("path", "status"), [("nobody", 404), ("cam1?width=-1", 400)])
def test_embed_page_of_nothing_is_refused(server: Server, path: str, status: int) -> None:
    assert server.get(f"/embed/{path}").status == status


def test_removed_player_lets_go_of_its_stream(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/embed/cam1")
    assert server.has_viewers(1)
    page.evaluate("window.player = document.querySelector('stream-camera'); player.remove()")
    assert server.has_viewers(0)
    page.evaluate("document.body.append(window.player)")
    assert page.evaluate(MOVES, PICTURE) > 100


def test_changed_wish_takes_effect(page: Page, server: Server) -> None:
    asked = requests(page)
    page.goto(f"{server.url}/embed/cam1?width=160")
    assert wait_until(lambda: shown_width(page) == 160)
    page.evaluate("document.querySelector('stream-camera').setAttribute('width', 'full')")
    assert wait_until(lambda: shown_width(page) == 320)
    assert server.has_viewers(1)
    assert len(asked) == 2


# Trouble. The browser's console tells of it, so these pages may complain.


@pytest.fixture
def troubled(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 640, "height": 360})
    page.set_default_timeout(2 * WITHIN_MS)
    yield page
    page.close()


def test_picture_moves_again_after_the_server_was_killed(troubled: Page) -> None:
    with Server(*SMALL_DEMO, *NO_DETECTOR) as server:
        troubled.goto(f"{server.url}/embed/demo")
        assert troubled.evaluate(MOVES, PICTURE) > 100
        os.kill(server.web_worker, signal.SIGKILL)
        server.wait_for_line("Watch at", since=1)
        assert server.wait_for_camera(lambda info: info["viewers"] == 1)
        assert troubled.evaluate(MOVES, PICTURE) > 100


def test_stalled_stream_is_said_to_be_and_opened_again(
    browser: Browser, troubled: Page, server: Server
) -> None:
    other = browser.new_page()
    pages = {"/embed/cam1": (troubled, PICTURE), "/": (other, DRAWN)}  # one by MJPEG, nine by WebSocket
    with Relay(server.port) as relay, closing(other):
        for path, (page, picture) in pages.items():
            page.goto(f"http://127.0.0.1:{relay.port}{path}")
            assert page.evaluate(MOVES, picture) > 100
        relay.freeze()
        for page, _ in pages.values():
            page.locator("stream-camera[data-state=lost]").first.wait_for(timeout=20_000)
        relay.pass_through()
        for page, picture in pages.values():
            page.locator("stream-camera[data-state=live]").first.wait_for(timeout=20_000)
            assert page.evaluate(MOVES, picture) > 100


def test_way_that_does_not_work_is_replaced_by_the_next(troubled: Page, server: Server) -> None:
    asked = requests(troubled)
    troubled.route("**/stream.mjpg*", lambda route: route.abort())
    troubled.goto(f"{server.url}/embed/cam1")
    assert troubled.evaluate(MOVES, PICTURE) > 100
    assert [address.partition("?")[0].rpartition("/")[2] for address in asked] == ["stream.mjpg", "wall"]


def test_snapshots_are_shown_where_nothing_else_works(troubled: Page, server: Server) -> None:
    asked = requests(troubled)
    troubled.route("**/stream.mjpg*", lambda route: route.abort())
    troubled.route_web_socket("**/wall", lambda socket: socket.close())
    troubled.goto(f"{server.url}/embed/cam1")
    assert troubled.evaluate(MOVES, PICTURE) > 100
    assert "snapshot.jpg" in asked[-1]


# Pages of other sites.


def _write_page(folder: Path, server: Server) -> None:
    (folder / "page.html").write_text(
        f'<!doctype html><p>A page</p><script src="{server.url}/static/embed.js" data-camera="cam1" '
        'data-overlay="none"></script>'
    )
    (folder / "frame.html").write_text(f'<!doctype html><iframe src="{server.url}/embed/cam1"></iframe>')
    (folder / "favicon.ico").write_bytes(b"")


def test_script_plays_in_a_page_of_a_configured_site(
    page: Page, server: Server, friend: str, folder: Path
) -> None:
    _write_page(folder, server)
    asked = requests(page)
    page.goto(f"{friend}/page.html")
    page.locator("stream-camera[data-state=live]").wait_for()
    assert page.evaluate(MOVES, PICTURE) > 100
    assert [address.partition("?")[0] for address in asked] == [f"{server.url}/cameras/cam1/stream.mjpg"]


def test_script_shows_snapshots_in_a_page_of_any_site(
    troubled: Page, server: Server, stranger: str, folder: Path
) -> None:
    _write_page(folder, server)
    asked = requests(troubled)
    troubled.goto(f"{stranger}/page.html")
    troubled.locator("stream-camera[data-state=live]").wait_for()
    assert "snapshot.jpg" in asked[-1]
    assert server.has_viewers(0)


def test_frame_is_shown_by_configured_sites_only(
    troubled: Page, server: Server, friend: str, stranger: str, folder: Path
) -> None:
    _write_page(folder, server)
    for site, expected in ((friend, 1), (stranger, 0)):
        troubled.goto(f"{site}/frame.html")
        frame = troubled.frames[1]
        frame.wait_for_load_state()
        assert frame.locator("stream-camera").count() == expected


def test_only_the_embed_page_may_be_framed_by_others(server: Server, friend: str) -> None:
    policies = {
        path: server.get(path).headers["content-security-policy"].partition("frame-ancestors ")[2]
        for path in ("/embed/cam1", "/", "/cameras/cam1")
    }
    assert policies == {"/embed/cam1": f"'self' {friend}", "/": "'self'", "/cameras/cam1": "'self'"}


@pytest.mark.parametrize(("of", "allowed"), [("friend", True), ("stranger", False)])
def test_answers_are_shared_with_configured_sites_only(
    request: pytest.FixtureRequest, server: Server, of: str, allowed: bool
) -> None:
    origin = request.getfixturevalue(of)
    answer = server.get("/api/v1/cameras", {"Origin": origin})
    assert answer.headers.get("access-control-allow-origin") == (origin if allowed else None)
    assert answer.headers["vary"] == "Origin"


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ([], ()),
        (["*"], ("*",)),
        (["https://Home.example:8123/"], ("https://home.example:8123",)),
        (["http://[::1]:80"], ("http://[::1]:80",)),
        (["home.example"], None),
        (["https://home.example/page"], None),
        (["https://home.example; script-src *"], None),
        (["javascript:alert(1)"], None),
    ],
)
def test_configured_sites_are_origins(written: list[str], kept: tuple[str, ...] | None) -> None:
    if kept is None:
        with pytest.raises(ConfigError, match=r"server\.embed_origins\.0: got .*, expected scheme and host"):
            Config.load(None, server={"embed_origins": written})
    else:
        assert Config.load(None, server={"embed_origins": written}).server.embed_origins == kept
