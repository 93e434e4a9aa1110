"""Searching for cameras: what is found, what is asked with a password, and answers that lie."""

from __future__ import annotations

import base64
import threading
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import pytest

from stream_server.config.source_url import parse_source
from stream_server.discovery import MAKERS, Search, lasting_path
from stream_server.discovery import search as search_module
from stream_server.discovery import soap as soap_module
from stream_server.discovery import wsdiscovery as wsdiscovery_module
from stream_server.discovery.makers import maker_of
from stream_server.discovery.onvif import Login, own_address
from stream_server.discovery.soap import NotSoap, envelope, parse
from stream_server.discovery.wsdiscovery import find_interfaces, is_at, probe, read_answer
from stream_server.errors import AuthenticationFailed, LimitError, OptionError, SourceError
from stream_server.sources.v4l2 import WebcamInfo
from tests.support.cameras.onvif import OnvifCamera
from tests.support.patience import cheaply
from tools import camera_addresses

HERE = IPv4Interface("127.1.0.1/16")
"""Of the loopback's networks the one in which no other test searches."""
SENDER = IPv4Address("127.1.0.9")
WITHIN_S = 0.2


@pytest.fixture
def search(monkeypatch: pytest.MonkeyPatch) -> Search:
    monkeypatch.setattr(wsdiscovery_module, "WITHIN_S", WITHIN_S)
    monkeypatch.setattr(probe, "__defaults__", (WITHIN_S,))
    return Search(lambda: [HERE], list)


# What is found.


def test_nothing_there_is_found_in_the_time_it_may_take(search: Search) -> None:
    found = search.run()
    assert found.onvif == ()
    assert WITHIN_S <= found.took_s < WITHIN_S + 1


def test_a_camera_that_asks_nobody_tells_its_streams(search: Search) -> None:
    with OnvifCamera("127.1.0.2/16", streams={"a": "rtsp://{address}:8554/a?x=1&y=2"}) as camera:
        (found,) = search.run().onvif
    assert (found.name, str(found.address)) == ("Front Door X100", camera.address)
    assert found.source_hints == (f"rtsp://{camera.address}:8554/a?x=1&y=2",)
    assert found.are_told
    assert not found.needs_password


def test_each_camera_is_listed_once_by_its_address(search: Search) -> None:
    with OnvifCamera("127.1.0.4/16"), OnvifCamera("127.1.0.3/16"):
        addresses = [str(camera.address) for camera in search.run().onvif]
    assert addresses == ["127.1.0.3", "127.1.0.4"]


def test_a_camera_that_wants_a_password_is_guessed_by_its_maker(search: Search) -> None:
    with OnvifCamera("127.1.0.2/16", password="secret", scopes=["name/HIKVISION%20DS-2CD2143"]) as camera:
        (found,) = search.run().onvif
    assert found.needs_password
    assert not found.are_told
    assert found.maker == "Hikvision, Annke, HiLook"
    assert found.source_hints[0] == f"rtsp://{camera.address}/Streaming/Channels/101"
    assert "GetStreamUri" not in camera.asked


@pytest.mark.parametrize("login", ["token", "http"])
def test_a_camera_tells_its_streams_to_who_logs_in(search: Search, login: str) -> None:
    wrong_clock = timedelta(days=-9000, seconds=77)
    with OnvifCamera("127.1.0.2/16", password="s<cret", login=login, clock_ahead=wrong_clock) as camera:
        search.run()
        with pytest.raises(AuthenticationFailed, match="refuses the user name or password"):
            search.ask(camera.interface.ip, Login("admin", "wrong"))
        found = search.ask(camera.interface.ip, Login("admin", "s<cret"))
    assert found.are_told
    assert found.source_hints == tuple(f"rtsp://{camera.address}:554/{name}" for name in ("main", "sub"))
    said = "".join(camera.authorizations)
    assert said
    for form in ("s<cret", "s&lt;cret", base64.b64encode(b"admin:s<cret").decode()):
        assert form not in said, "a password travels as a digest alone"


def test_only_what_answered_is_asked_with_a_password(search: Search) -> None:
    with OnvifCamera("127.1.0.2/16", password="secret") as camera:
        with pytest.raises(OptionError, match="did not answer a search lately"):
            search.ask(camera.interface.ip, Login("admin", "secret"))
        assert camera.asked == []


def test_a_second_search_is_refused_while_one_runs() -> None:
    has_begun, may_end = threading.Event(), threading.Event()

    def webcams() -> list[WebcamInfo]:
        has_begun.set()
        may_end.wait(10)
        raise OSError("ends the search")

    search = Search(list, webcams)

    def run() -> None:
        with suppress(OSError):
            search.run()

    first = threading.Thread(target=run)
    first.start()
    try:
        assert has_begun.wait(30)
        with pytest.raises(LimitError, match="is running"):
            search.run()
        with pytest.raises(LimitError, match="is running"):
            search.ask(SENDER, Login("admin", "secret"))
    finally:
        may_end.set()
        first.join()
    with pytest.raises(OSError, match="ends the search"):
        search.run()  # the next one may run again


def test_webcams_are_found_by_the_path_that_lasts() -> None:
    lasting = WebcamInfo("/dev/video2", "HD Webcam", "/dev/v4l/by-id/usb-HD-video-index0")
    assert lasting_path(lasting) == "/dev/v4l/by-id/usb-HD-video-index0"
    assert lasting_path(WebcamInfo("/dev/video2", "HD Webcam", None)) == "/dev/video2"
    assert lasting_path(WebcamInfo("/dev/video2", "odd", "/dev/v4l/by-id/a b")) == "/dev/video2"


def test_interfaces_are_this_machines_without_the_loopback() -> None:
    for interface in find_interfaces():
        assert not interface.is_loopback
        assert interface.network.prefixlen <= 32


# What hostile devices say.

BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "{id}">'
    + b"".join(b'<!ENTITY %c "%b">' % (c, b"&%c;" % (c - 1) * 50) for c in b"bcdefgh")
    + b"]><a>&h;</a>"
)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"{id}",
        b"\xff\xfe{id}",
        BOMB,
        b"{id}" + b"<a>" * 15000,
        envelope("<d:Hello/>", "{id}"),
        envelope("<d:ProbeMatches/>", "{id}"),
        b"x" * 60_000 + b"{id}",
    ],
    ids=["nothing", "no XML", "no UTF-8", "entities", "deep", "another message", "no match", "large"],
)
def test_an_answer_that_is_none_is_passed_over(search: Search, answer: bytes) -> None:
    with OnvifCamera("127.1.0.3/16", answers=[answer] * 3), OnvifCamera("127.1.0.2/16"):
        assert [str(camera.address) for camera in search.run().onvif] == ["127.1.0.2"]


def test_answers_without_end_end_the_search(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wsdiscovery_module, "MAX_DATAGRAMS", 50)
    monkeypatch.setattr(probe, "__defaults__", (20.0,))
    with OnvifCamera("127.1.0.2/16", answers=[b"<{id}"] * 80):
        assert search.run().took_s < 10


def test_an_answer_to_another_probe_is_passed_over() -> None:
    answer = envelope(
        "<d:ProbeMatches><d:ProbeMatch/></d:ProbeMatches>", "<a:RelatesTo>urn:uuid:1</a:RelatesTo>"
    )
    assert read_answer(answer, SENDER, "urn:uuid:2") is None
    assert read_answer(answer, SENDER, "urn:uuid:1") is not None


@pytest.mark.parametrize("sender", ["127.2.0.2/16", "127.1.0.2/16"])
def test_only_the_sender_itself_is_asked_and_only_on_our_network(search: Search, sender: str) -> None:
    with OnvifCamera("127.1.0.7/16", answers=[]) as victim:
        services = f"{victim.url} http://169.254.169.254/latest http://[::1]/x http://127.1.0.2@127.1.0.7/"
        with OnvifCamera(sender, services=services) as liar:
            liar.interface = HERE  # answers who searches there, from where it is
            found = search.run().onvif
        assert victim.asked == []
        assert liar.asked == []
        assert [camera.source_hints for camera in found] == ([()] if sender.startswith("127.1") else [])


@pytest.mark.parametrize(
    "soap",
    [b"", b"\x00" * 100, BOMB, b" " * 300_000, envelope("<tds:GetCapabilitiesResponse/>"), envelope("")],
    ids=["nothing", "no XML", "entities", "large", "no profiles", "no body"],
)
def test_a_service_that_answers_anything_is_a_camera_of_unknown_streams(search: Search, soap: bytes) -> None:
    with OnvifCamera("127.1.0.2/16", soap=soap) as camera:
        (found,) = search.run().onvif
        assert found.source_hints == ()
        with pytest.raises(SourceError, match=r"^the camera"):
            search.ask(camera.interface.ip, Login("admin", "secret"))


def test_an_answer_without_end_is_not_read_to_its_end(search: Search) -> None:
    with OnvifCamera("127.1.0.2/16", soap=envelope(f"<!--{' ' * 300_000}-->")) as camera:
        search.run()
        with pytest.raises(SourceError, match="has more than 262144 bytes"):
            search.ask(camera.interface.ip, Login("admin", "secret"))


def test_a_camera_that_does_not_answer_is_waited_for_no_longer_than_others(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_module, "ASK_TIMEOUT_S", 0.3)
    with OnvifCamera("127.1.0.2/16", silent=True) as camera, OnvifCamera("127.1.0.3/16"):
        found = search.run()
        assert found.took_s < 2
        assert [camera.are_told for camera in found.onvif] == [False, True]
        with pytest.raises(SourceError, match="did not answer in time"):
            search.ask(camera.interface.ip, Login("admin", "secret"))


def test_entities_cost_no_time() -> None:
    with cheaply(0.1), pytest.raises(NotSoap, match="document type"):
        parse(BOMB)


def test_a_name_is_short_and_harmless(search: Search) -> None:
    with OnvifCamera("127.1.0.2/16", scopes=["name/%3Cscript%3E%0A" + "x" * 200, "hardware/%E2%80%AE"]):
        (found,) = search.run().onvif
    assert found.name.startswith("script xxx")
    assert len(found.name) == 64


@pytest.mark.parametrize(
    ("uri", "is_at_it"),
    [
        ("http://127.1.0.9/onvif", True),
        ("http://127.1.0.9:8080/onvif", True),
        ("https://127.1.0.9/onvif", False),
        ("http://127.1.0.8/onvif", False),
        ("http://a@127.1.0.9/onvif", False),
        ("http://127.1.0.9:99999/", False),
        ("http://127.1.0.9:0/", False),
        ("http://127.1.0.9\r\n/", False),
        ("file:///etc/passwd", False),
    ],
)
def test_a_service_is_the_senders_own(uri: str, is_at_it: bool) -> None:
    assert is_at(uri, SENDER) is is_at_it


@pytest.mark.parametrize(
    ("uri", "taken"),
    [
        ("rtsp://127.1.0.9/a", "rtsp://127.1.0.9/a"),
        ("rtsp://u:p@10.0.0.1:8554/a?b=1&c=2", "rtsp://127.1.0.9:8554/a?b=1&c=2"),
        ("RTSP://cam.local/a", "rtsp://127.1.0.9/a"),
        ("file:///etc/passwd", None),
        ("rtsp://x/a b", None),
        ("rtsp://x:99999/", None),
        ("demo:", None),
        ("", None),
    ],
)
def test_a_streams_address_is_at_the_camera(uri: str, taken: str | None) -> None:
    assert own_address(uri, SENDER) == taken


# What stands in specifications.


def test_the_token_is_the_standards() -> None:
    """The example in the ONVIF Application Programmer's Guide, section 6.1.1.3."""
    nonce = base64.b64decode("LKqI6G/AikKCQrN0zqZFlg==")
    now = datetime(2010, 9, 16, 7, 50, 45, tzinfo=timezone.utc)
    token = soap_module._username_token("user", "userpassword", nonce, now)
    assert ">tuOSpGlFlIXsozq4HFNeeGeFLEI=<" in token
    assert ">2010-09-16T07:50:45Z<" in token


# Makers.


def test_every_pattern_is_an_address_that_is_taken() -> None:
    for maker in MAKERS:
        for url in maker.hints(SENDER):
            assert parse_source(url).kind in ("rtsp", "http"), url


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("name/HIKVISION%20DS hardware/DS-2CD", "Hikvision"),
        ("name/Amcrest hardware/IP8M", "Dahua"),
        ("name/TP-IPC", None),
        ("name/Tapo hardware/C200", "TP-Link"),
        ("", None),
    ],
)
def test_makers_are_known_by_what_cameras_say(words: str, name: str | None) -> None:
    maker = maker_of(words)
    assert (maker and maker.name.split(",")[0].split(" ")[0]) == name


def test_the_documentation_lists_the_same_makers() -> None:
    page = Path(camera_addresses.PAGE).read_text(encoding="utf-8")
    assert camera_addresses.updated(page) == page, "run python -m tools.camera_addresses"
