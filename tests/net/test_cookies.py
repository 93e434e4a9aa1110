"""Cookies a camera sets: brought back to it, and to nobody else."""

from __future__ import annotations

import http.client
import io

import pytest

from stream_server.net.cookies import MAX_COOKIE_BYTES, MAX_COOKIES, Cookies


class _Answer(http.client.HTTPResponse):
    def __init__(self, *cookies: str) -> None:
        self.headers = http.client.parse_headers(
            io.BytesIO("".join(f"Set-Cookie: {cookie}\r\n" for cookie in cookies).encode() + b"\r\n")
        )


def header_after(*cookies: str, set_by: str, asked: str) -> str | None:
    """Return what is sent to `asked` after `set_by` answered with these cookies."""
    kept = Cookies()
    kept.take(set_by, _Answer(*cookies))
    return kept.header(asked)


@pytest.mark.parametrize(
    ("cookies", "set_by", "asked", "sent"),
    [
        ((), "http://10.0.0.5/x", "http://10.0.0.5/x", None),
        (("a=1",), "http://10.0.0.5/x.m3u8", "http://10.0.0.5/y.ts", "a=1"),
        (("a=1; Path=/; HttpOnly; SameSite=Strict",), "http://cam/x/y", "http://cam/z?q", "a=1"),
        (("a=1", "b=2; Path=/"), "http://10.0.0.5:81/x", "http://10.0.0.5:81/x", "a=1; b=2"),
        (("a=1; Domain=10.0.0.5",), "http://10.0.0.5/x", "http://10.0.0.5/x", "a=1"),
        (("a=1; Domain=example.org",), "http://a.example.org/", "http://b.example.org/", "a=1"),
        (("a=1; Domain=example.org",), "http://elsewhere.net/", "http://example.org/", None),
        (("a=1",), "http://10.0.0.5/x", "http://10.0.0.6/x", None),
        (("a=1; Path=/one",), "http://10.0.0.5/one/x", "http://10.0.0.5/two", None),
        (("a=1; Secure",), "https://10.0.0.5/x", "http://10.0.0.5/x", None),
        (("a=1; Secure",), "https://10.0.0.5/x", "https://10.0.0.5/x", "a=1"),
        (("a=1; Max-Age=0",), "http://10.0.0.5/x", "http://10.0.0.5/x", None),
        (("a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT",), "http://10.0.0.5/", "http://10.0.0.5/", None),
        (("a=1; Expires=nonsense",), "http://10.0.0.5/", "http://10.0.0.5/", "a=1"),
        (("a=1",), "http://[fe80::1]/", "http://[fe80::1]/", "a=1"),
    ],
)
def test_a_cookie_goes_back_to_where_it_belongs(
    cookies: tuple[str, ...], set_by: str, asked: str, sent: str | None
) -> None:
    assert header_after(*cookies, set_by=set_by, asked=asked) == sent


def test_a_camera_cannot_fill_the_memory_with_cookies() -> None:
    kept = Cookies()
    url = "http://10.0.0.5/"
    kept.take(url, _Answer(f"a={'x' * MAX_COOKIE_BYTES}"))
    assert kept.header(url) is None
    for number in range(10 * MAX_COOKIES):
        kept.take(url, _Answer(f"name{number}=1"))
    assert len((kept.header(url) or "").split(";")) <= MAX_COOKIES
