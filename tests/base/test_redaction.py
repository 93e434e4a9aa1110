from __future__ import annotations

import base64
import html
import json
import logging
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_server.base import redaction
from stream_server.base.redaction import (
    FORGET_AFTER_S,
    MAX_PASSING,
    Holder,
    RedactingFormatter,
    public_address,
    redact,
    register,
    register_address,
)
from stream_server.config import SourceConfig

PASSWORDS = ["C0-plain", "C0@:/?#[]", "C0 a+b%20", "C0\"\\'<&>", "C0-ü€😀", "C0\tnew\nline", "C0\udcff"]


@pytest.fixture(autouse=True)
def _forget_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_registry", redaction._Registry())


def test_text_without_secrets_is_left_alone() -> None:
    text = "http://[::1]:8080/a?width=640&x=y@z at 12:30, mail me@home.org: key=1"

    assert redact("") == ""
    assert redact(text) == text


@pytest.mark.parametrize("password", PASSWORDS)
def test_a_registered_secret_is_masked_in_every_form_it_is_shown_in(password: str) -> None:
    register(password)
    forms = [
        password,
        quote(password, safe="", errors="surrogatepass"),
        quote(password, errors="surrogatepass"),
        quote(password, safe="", errors="surrogatepass").lower().replace("c0", "C0"),
        quote_plus(password, errors="surrogatepass"),
        html.escape(password),
        json.dumps({"x": password}),
        json.dumps({"x": password}, ensure_ascii=False),
        repr({"x": password}),
    ]

    for form in forms:
        assert "C0" not in redact(f"before {form} after")
        assert redact(f"before {form} after").startswith("before ")
        assert redact(f"before {form} after").endswith(" after")


@pytest.mark.parametrize("short", ["", "a", "ab"])
def test_what_is_too_short_masks_nothing(short: str) -> None:
    register(short)

    assert redact("a table about abba") == "a table about abba"


def test_of_two_secrets_the_longer_one_goes_first() -> None:
    register("C0abc")
    register("C0abcdef")

    assert redact("C0abcdef C0abc") == "*** ***"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://user:C0@host/x", "rtsp://***@host/x"),
        ("rtsp://:C0@host/x", "rtsp://***@host/x"),
        ("rtsp://user:C0/a#b@c?d@host/x", "rtsp://***@host/x"),
        ("rtsp://me@home:C0@host/x", "rtsp://***@host/x"),
        ("'rtsp://u:C0@host' or \"http://u:C0@host\"", "'rtsp://***@host' or \"http://***@host\""),
        ("Did you mean file:rtsp://user:C0@host/x?", "Did you mean file:rtsp://***@host/x?"),
        ("http://host:80/a@b", "http://host:80/a@b"),
        ("http://host/?usr=admin&pwd=C0", "http://host/?usr=admin&pwd=***"),
        ("http://host/?pwd=C0&user=admin", "http://host/?pwd=***&user=admin"),
        ("http://host/?loginuse=a&loginpas=C0", "http://host/?loginuse=a&loginpas=***"),
        ("http://host/?Password=C0;x", "http://host/?Password=***;x"),
        ("http://host/?camera_pwd=C0&auth=C0", "http://host/?camera_pwd=***&auth=***"),
        ("http://host/?token=C0 is wrong", "http://host/?token=*** is wrong"),
        (
            "http://host/?access_token=C0&api_key=C0&sig=C0",
            "http://host/?access_token=***&api_key=***&sig=***",
        ),
        ("rtsp://host/user=a&password=C0&channel=1", "rtsp://host/user=a&password=***&channel=1"),
        ("rtsp://host/user=a_password=C0_channel=1.sdp", "rtsp://host/user=a_password=***_channel=1.sdp"),
        ("http://host/?pwd=&x=1", "http://host/?pwd=&x=1"),
        ("http://host/?keyframe=1&passive=2&token", "http://host/?keyframe=1&passive=2&token"),
    ],
)
def test_what_looks_like_a_secret_in_an_address_is_masked_unregistered(text: str, shown: str) -> None:
    assert redact(text) == shown


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("", ""),
        ("/dev/video0", "/dev/video0"),
        ("demo:", "demo:"),
        ("http://host/x?width=640", "http://host/x?width=640"),
        ("http://host:80/a@b", "http://host:80/a@b"),
        ("rtsp://user:C0@host/x", "rtsp://host/x"),
        ("http://u:C0@host/?usr=admin&pwd=C0", "http://host/?usr=admin&pwd=***"),
    ],
)
def test_an_address_is_shown_without_its_secrets(address: str, shown: str) -> None:
    assert public_address(address) == shown


@pytest.mark.parametrize(
    ("address", "secret"),
    [
        ("rtsp://u:C0-secret@host/x", "C0-secret"),
        ("rtsp://u:C0%40%2Fx@host/x", "C0%40%2Fx"),
        ("rtsp://u:C0%40%2Fx@host/x", "C0@/x"),
        ("rtsp://u:C0@/?#x@host/x", "C0@/?#x"),
        ("http://host/x?a=b&pwd=C0-secret", "C0-secret"),
        ("http://host/x?pwd=C0%26%23x&a=b", "C0&#x"),
    ],
)
def test_the_secrets_of_a_registered_address_are_masked_anywhere(address: str, secret: str) -> None:
    register_address(address)

    assert redact(f"the camera said {secret}") == "the camera said ***"


def test_a_short_word_as_parameter_is_not_masked_elsewhere() -> None:
    register_address("http://host/?key=main")

    assert redact("main loop") == "main loop"


def test_a_log_line_is_masked_with_its_arguments_and_traceback() -> None:
    register("C0-secret")
    try:
        raise ValueError("bad C0-secret")
    except ValueError as exc:
        error = exc
    record = logging.LogRecord(
        "x", logging.ERROR, "x.py", 1, "tried %s", ("C0-secret",), (ValueError, error, error.__traceback__)
    )

    line = RedactingFormatter("%(levelname)s %(message)s").format(record)

    assert line.startswith("ERROR tried ***\nTraceback")
    assert line.endswith("ValueError: bad ***")
    assert "C0" not in line


class _Clock:
    """The seconds that secrets are forgotten by, moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> _Clock:
    made = _Clock()
    monkeypatch.setattr(redaction, "time", made)
    return made


def test_secret_that_was_held_for_a_while_is_forgotten_later(clock: _Clock) -> None:
    with redaction.passing():
        register("camera")
        assert redact("the camera is lost") == "the *** is lost"
    clock.now += FORGET_AFTER_S - 1
    assert redact("the camera is lost") == "the *** is lost"
    clock.now += 2
    assert redact("the camera is lost") == "the camera is lost"
    assert len(redaction._registry) == 0


def test_secret_that_failed_with_its_holder_is_forgotten_later(clock: _Clock) -> None:
    def fail() -> None:
        with Holder().collecting():
            register("camera")
            raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        fail()
    assert redact("camera") == "***"
    clock.now += FORGET_AFTER_S + 1
    assert redact("camera") == "camera"


def test_secret_is_known_until_the_last_who_holds_it_lets_go(clock: _Clock) -> None:
    one, other = Holder(), Holder()
    for holder in (one, other, other):
        with holder.collecting():
            register("swordfish")
    other.let_go()
    other.let_go()
    clock.now += FORGET_AFTER_S + 1
    assert redact("swordfish") == "***"
    one.let_go()
    clock.now += FORGET_AFTER_S + 1
    assert redact("swordfish") == "swordfish"


def test_secret_that_nobody_collects_is_known_for_good(clock: _Clock) -> None:
    register("swordfish")
    with redaction.passing():
        register("swordfish")
    clock.now += FORGET_AFTER_S + 1
    assert redact("swordfish") == "***"


def test_any_number_of_tries_is_known_by_the_last_ones_alone() -> None:
    SourceConfig.model_validate({"source": "rtsp://me:swordfish@host/?pwd=opensesame"})
    for number in range(10_000):
        with redaction.passing():
            SourceConfig.model_validate({"source": f"rtsp://me:guess-{number}@host/"})
    assert len(redaction._registry) <= MAX_PASSING + 4
    basic = base64.b64encode(b"me:swordfish").decode()
    assert redact(f"swordfish opensesame {basic} guess-9999 guess-0") == "*** *** *** *** guess-0"


@given(st.text(max_size=40), st.text(min_size=3, max_size=20), st.text(max_size=40))
def test_no_registered_secret_survives(before: str, secret: str, after: str) -> None:
    register(secret)

    shown = redact(before + secret + after)

    rest = shown.replace(redaction.MASK, "")
    assert secret not in rest or secret in before + after or secret in redaction.MASK
