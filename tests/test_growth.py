"""Text from outside costs time in proportion to its length, whatever it is: none stops the server."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pytest
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException

from detector.errors import DetectorError
from detector.labels.files import _parse as parse_labels
from stream_server.base import redaction
from stream_server.config import CameraConfig, Config
from stream_server.config.source_url import parse_source
from stream_server.config.text import compose, parse_yaml
from stream_server.config.validation import explain_errors, shorten
from stream_server.diagnostics.remedies import advice_for
from stream_server.discovery.soap import NotSoap
from stream_server.discovery.soap import parse as parse_soap
from stream_server.drawing.text import drawable
from stream_server.errors import StreamServerError
from stream_server.media.image_headers import read_header
from stream_server.media.jpeg import SOI
from stream_server.media.mjpeg_parser import MjpegParser
from stream_server.net.http_auth import parse_challenges
from stream_server.sources.playlist import best_variant, with_whole_addresses
from stream_server.web.api.image_requests import DetectBody
from stream_server.web.arguments import parse_json
from stream_server.web.compat.doods import DoodsRequest
from stream_server.web.compat.google_vision import AnnotateBody
from stream_server.web.live.images import FrameHead
from stream_server.web.live.wall import WallMessage
from stream_server.web.security.login import _OWN_PATH
from stream_server.web.transport.arrival import Arrival

SMALL, LARGE, HUGE = 4_000, 64_000, 1_000_000
"""Characters; text of the last size comes over HTTP and in logs, of the others from files and cameras."""
ROOM = 4.0
"""More than this many times the time that the growth of the text would explain is too much."""
LEAST_S = 0.002
"""Below, a clock and a busy machine tell nothing."""

CAMERA = CameraConfig(source="rtsp://10.0.0.1/live")
REFUSED = (StreamServerError, DetectorError, HTTPException, NotSoap, ValueError)

BITS = [
    "a", "0", "[", "]", "{", '"', "\\", "/", ":", "://", "@", "=", "?", "-", ".", ",", "<", " ", "\n", "\r\n",
    "\0", "é", "a:", "://a:b", "://a:", "?password=", "&password=a_b", "/user=", 'a="', 'Basic realm="a\\',
    'URI="', "#EXT-X-STREAM-INF:", "item {", "item { name: '", "'a' ", "1 a\n", "- ", "&a *a ", "!!int ",
    "<a>", "<!--", "--frame\r\n", "\xff\xd8\xff", "\xff\xda", '\\"', "'\"a\\",
]  # fmt: skip


def _json(
    model: type[WallMessage | FrameHead | DetectBody | DoodsRequest | AnnotateBody], form: str
) -> Callable[[str], object]:
    return lambda text: parse_json(model, form.replace("TEXT", text))


def _feed(text: str) -> object:
    parser, data = MjpegParser("frame"), text.encode("latin-1", "replace")
    for at in range(0, len(data), 4096):
        parser.feed(data[at : at + 4096])
    return parser


def _arrive(head: bytes, text: str) -> object:
    arrival = Arrival()
    for number in head + text.encode("latin-1", "replace"):
        arrival.add(bytes((number,)))
        if arrival.has_body:
            break
    return arrival


TAKERS: dict[str, tuple[Callable[[str], object], int]] = {
    "heads of requests": (partial(_arrive, b"GET / HTTP/1.1\r\nX: "), LARGE),
    "bodies of requests": (partial(_arrive, b"PUT / HTTP/1.1\r\nContent-Length: 65536\r\n\r\n"), LARGE),
    "log lines": (redaction.redact, HUGE),
    "addresses that are shown": (redaction.public_address, LARGE),
    "addresses that are masked": (redaction.mask_address, LARGE),
    "addresses that are unmasked": (lambda text: redaction.unmask_address(text, "rtsp://a:b@c/"), LARGE),
    "addresses of cameras": (parse_source, LARGE),
    "values in messages": (shorten, HUGE),
    "a value of a query or form": (lambda text: _detect(max_detections=text), HUGE),
    "a key of a query or form": (lambda text: _detect(**{text: 1}), HUGE),
    "JSON to detect": (_json(DetectBody, "TEXT"), HUGE),
    "JSON to detect, a value": (_json(DetectBody, '{"max_detections": "TEXT"}'), HUGE),
    "JSON of the wall": (_json(WallMessage, "TEXT"), LARGE),
    "JSON of the wall, a list": (_json(WallMessage, '{"cameras": [TEXT'), LARGE),
    "JSON of frames": (_json(FrameHead, "TEXT"), LARGE),
    "JSON of DOODS": (_json(DoodsRequest, '{"detect": {TEXT'), HUGE),
    "JSON of Vision": (_json(AnnotateBody, '{"requests": [TEXT'), HUGE),
    "settings of a camera": (lambda text: _camera(text, text), LARGE),
    "names of cameras": (lambda text: Config.parse({"cameras": {text: {"source": "demo:"}}}), LARGE),
    "values on the command line": (lambda text: compose({}, {}, (f"a.b={text}",)), 8_000),
    "YAML": (lambda text: parse_yaml(text, "file"), 8_000),
    "files of labels": (lambda text: parse_labels(text, ".txt"), LARGE),
    "label maps": (lambda text: parse_labels(text, ".pbtxt"), 250_000),
    "label maps, a word": (lambda text: parse_labels(f"item {{ id: 1 name: {text}", ".pbtxt"), 250_000),
    "challenges": (lambda text: parse_challenges([text]), LARGE),
    "playlists": (lambda text: with_whole_addresses(text, "http://a/b"), LARGE),
    "masters": (lambda text: best_variant(text, "http://a/b"), LARGE),
    "SOAP": (lambda text: parse_soap(text.encode("utf-8", "replace")), LARGE),
    "MJPEG": (_feed, HUGE),
    "a picture's header": (lambda text: read_header(SOI + text.encode("latin-1", "replace")), HUGE),
    "text on pictures": (drawable.__wrapped__, LARGE),
    "paths after the login": (_OWN_PATH.fullmatch, LARGE),
    "reasons of cameras": (lambda text: advice_for("a", CAMERA, "offline", text), 16_000),
}
"""What takes text from outside, and how much of it there can be at most."""


def _detect(**values: object) -> object:
    try:
        return DetectBody.model_validate(values)
    except ValidationError as exc:
        return explain_errors(exc, DetectBody)


def _camera(source: str, title: str) -> Config:
    return Config.parse({"cameras": {"a": {"source": source, "title": title}}})


def _cpu_s(take: Callable[[str], object], text: str, times: int) -> float:
    best = float("inf")
    for _ in range(times):
        started = time.thread_time()
        with suppress(*REFUSED):
            take(text)
        best = min(best, time.thread_time() - started)
    return best


@pytest.mark.slow
@pytest.mark.parametrize("name", TAKERS)
def test_time_grows_no_faster_than_the_text(name: str) -> None:
    take, most = TAKERS[name]
    for bit in BITS:
        small, large = ((bit * (size // len(bit) + 1))[:size] for size in (min(SMALL, most // 8), most))
        limit_s = ROOM * max(LEAST_S, _cpu_s(take, small, 3) * len(large) / len(small))
        taken_s = _cpu_s(take, large, 1)
        if taken_s > limit_s:  # once more: the machine may have been at something else
            taken_s = _cpu_s(take, large, 3)
        assert taken_s <= limit_s, f"{most} characters of {bit!r}"
