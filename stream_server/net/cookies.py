"""Cookies of one camera: some give their pictures only to who brings back what an answer set."""

from __future__ import annotations

import http.client
from http.cookiejar import Cookie, CookieJar, DefaultCookiePolicy
from typing import Final
from urllib.request import Request

MAX_COOKIES: Final = 50
MAX_COOKIE_BYTES: Final = 4096
"""What RFC 6265, section 6.1, asks of clients; more is not kept."""


class Cookies:
    """Keeps what a camera's answers set and gives it back to where it belongs (RFC 6265)."""

    def __init__(self) -> None:
        self._jar = CookieJar(_Bounded())

    def take(self, url: str, answer: http.client.HTTPResponse) -> None:
        """Keep the cookies of the answer to a request for `url`."""
        if "Set-Cookie" not in answer.headers:
            return
        self._jar.extract_cookies(answer, _request(url))
        if len(self._jar) > MAX_COOKIES:
            self._jar.clear()

    def header(self, url: str) -> str | None:
        """Return the value of the header for a request for `url`, None where no cookie belongs to it."""
        if not len(self._jar):
            return None
        request = _request(url)
        self._jar.add_cookie_header(request)
        return request.get_header("Cookie")


class _Bounded(DefaultCookiePolicy):
    def set_ok(self, cookie: Cookie, request: Request) -> bool:
        is_bearable = len(cookie.name) + len(cookie.value or "") <= MAX_COOKIE_BYTES
        return is_bearable and super().set_ok(cookie, request)


def _request(url: str) -> Request:
    return Request(url)  # noqa: S310 - nothing is opened: it is how a CookieJar is told an address
