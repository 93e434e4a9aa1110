"""The pages and the streams in Firefox, which shows multipart pictures by code of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.browser import MOVES
from tests.support.firefox import Firefox, Tab
from tests.support.server import NINE, NINE_SMALL_DEMOS, NO_DETECTOR, Server

pytestmark = [pytest.mark.browser, pytest.mark.server(*NINE_SMALL_DEMOS, *NO_DETECTOR)]

PLAIN_IMAGE = """
(address) => {
  const image = new Image();
  image.src = address;
  document.body.replaceChildren(image);
}
"""
ASKED_FOR = "() => performance.getEntriesByType('resource').map(({name}) => name).join()"
GONE_TIMEOUT_S = 20.0


@pytest.fixture(scope="module")
def firefox() -> Iterator[Firefox]:
    with Firefox() as firefox:
        yield firefox


@pytest.fixture
def tab(firefox: Firefox) -> Iterator[Tab]:
    """A tab; what its pages complain about fails the test."""
    with firefox.open() as tab:
        yield tab
    complaints, firefox.complaints = firefox.complaints, []
    assert not complaints, complaints


@pytest.mark.parametrize(
    "path", ["/cameras/cam1/stream.mjpg", "/?action=stream", "/stream", "/video_feed", "/api/cam1"]
)
def test_plain_image_moves(tab: Tab, server: Server, path: str) -> None:
    tab.goto(f"{server.url}/embed/cam1")
    tab.evaluate(PLAIN_IMAGE, path)
    assert tab.evaluate(MOVES, "img") > 100
    assert server.has_viewers(1)


@pytest.mark.parametrize(
    ("path", "picture"), [("/cameras/cam1", "#picture"), ("/embed/cam1", "stream-camera img")]
)
def test_picture_moves_and_its_viewer_goes_with_the_page(
    tab: Tab, server: Server, path: str, picture: str
) -> None:
    tab.goto(server.url + path)
    assert tab.evaluate(MOVES, picture) > 100
    assert server.has_viewers(1)
    tab.goto("about:blank")
    assert server.has_viewers(0)


def test_nine_cameras_all_move_and_their_viewers_go_with_the_page(tab: Tab, server: Server) -> None:
    tab.goto(server.url)
    for name in NINE:
        assert tab.evaluate(MOVES, f'[data-camera="{name}"] canvas') > 100
    assert server.has_viewers(9)
    assert "stream.mjpg" not in tab.evaluate(ASKED_FOR), "they come over one WebSocket"
    tab.goto("about:blank")
    assert server.has_viewers(0)
