"""Every secret the process knows, and the filter that keeps them out of whatever is shown."""

from __future__ import annotations

import html
import json
import logging
import re
import threading
from collections.abc import Callable, Iterator
from typing import NamedTuple
from urllib.parse import quote, quote_plus, unquote

MASK = "***"

MIN_LENGTH = 3
"""Shorter secrets are not searched for: they would mask half of every text."""
MIN_PARAMETER_LENGTH = 6
"""Of an address's parameters: `key=main` is masked there, but not the word in all other texts."""

MAX_CHARACTERS = 16_000
"""Of a text that is shown; no error and no line of a log needs more."""

# The patterns below are for texts from anybody: none looks at a character more than a fixed number of times,
# so that a text twice as long takes twice as long.

# User name and colon: not where an IPv6 address, or a port and a path come first (see source_url.py).
_USERNAME = re.compile(r'://(?!\[)(?P<username>[^\s":/?#]*):(?!\d{1,5}[/?])')
_ADDRESS_END = re.compile(r'[\s"]')

# `?usr=a&pwd=secret`, and in paths `/user=a&password=secret&…` or `/user=a_password=secret_channel=1`.
_SECRET_PARAMETER = re.compile(
    r"(?<=[?&;/_])(?=\w{1,40}=)"  # which spares the rest of this most of the work
    r"(?P<name>\w{0,20}(?:pass(?:w(?:or)?d|wort)?|pwd|psw|loginpas|token|secret|credentials?"
    r"|signature|session(?:_?id)?|(?:api|access|private|stream)_?key)|pw|pas|key|sig|sid|auth)"
    r"=(?P<value>[^&;/#\s\"']+?)(?=_\w{1,40}=|[&;/#\s\"']|$)",
    re.IGNORECASE,
)


_TOKEN = re.compile(r"\bsst_[A-Za-z0-9_-]{20,}")
"""Tokens and sessions of ours, as `accounts.passwords.new_token` makes them."""


class _Registry:
    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards the two below
        self._known: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def add(self, secret: str) -> None:
        with self._lock:
            self._known.update(_forms(secret))
            longest_first = sorted(self._known, key=len, reverse=True)
            self._pattern = re.compile("|".join(map(re.escape, longest_first)))

    def mask(self, text: str) -> str:
        with self._lock:
            pattern = self._pattern
        return pattern.sub(MASK, text) if pattern else text


_registry = _Registry()


def register(secret: str) -> None:
    """Make `redact` hide `secret` from now on, plain and in the encodings it is shown in."""
    if len(secret) >= MIN_LENGTH:
        _registry.add(secret)


class _Credentials(NamedTuple):
    """User name and password in an address; from `start` to `end` they stand with the colon and the @."""

    start: int
    end: int
    username: str
    password: str


def _credentials(text: str) -> Iterator[_Credentials]:
    """Find what stands between `://` and the last `@` before a blank or a quote.

    Passwords hold `/`, `#` and `@` that nobody escaped.
    """
    at = 0
    while found := _USERNAME.search(text, at):
        ended = _ADDRESS_END.search(text, found.end())
        at = ended.start() if ended else len(text)
        last = text.rfind("@", found.end(), at)
        if last >= 0:
            password = text[found.end() : last]
            yield _Credentials(found.start("username"), last + 1, found["username"], password)


def _with_credentials(text: str, written: Callable[[_Credentials], str]) -> str:
    """Return `text` with what `written` makes of the credentials in its addresses."""
    pieces, at = [], 0
    for found in _credentials(text):
        pieces += [text[at : found.start], written(found)]
        at = found.end
    return "".join((*pieces, text[at:]))


def register_address(address: str) -> None:
    """Register the password and the secret-looking parameters of a URL."""
    for found in _credentials(address):
        register(found.password)
        register(unquote(found.password))
    for match in _SECRET_PARAMETER.finditer(address):
        if len(match["value"]) >= MIN_PARAMETER_LENGTH:
            register(match["value"])
            register(unquote(match["value"]))


def public_address(address: str) -> str:
    """Return a camera's address as it may be shown: no credentials, secret-looking parameters masked."""
    return redact(_with_credentials(address, lambda _: ""))


def mask_address(address: str) -> str:
    """Return a camera's address with MASK for its password and secret-looking parameters, all else kept."""
    address = _with_credentials(address, lambda found: f"{found.username}:{MASK}@")
    return _SECRET_PARAMETER.sub(rf"\g<name>={MASK}", address)


def unmask_address(address: str, stored: str) -> str:
    """Return `address` with what stands in `stored` for each MASK. Raises ValueError where nothing does."""
    passwords = [found.password for found in _credentials(stored)]
    parameters = {found["name"]: found["value"] for found in _SECRET_PARAMETER.finditer(stored)}

    def credentials(found: _Credentials) -> str:
        if found.password == MASK and not passwords:
            raise ValueError("no password is stored that *** could stand for")
        return f"{found.username}:{passwords[0] if found.password == MASK else found.password}@"

    def parameter(found: re.Match[str]) -> str:
        if found["value"] != MASK:
            return found[0]
        if found["name"] not in parameters:
            raise ValueError(f"no {found['name']} is stored that *** could stand for")
        return f"{found['name']}={parameters[found['name']]}"

    return _SECRET_PARAMETER.sub(parameter, _with_credentials(address, credentials))


def redact(text: str, most: int = MAX_CHARACTERS) -> str:
    """Return `text` with secrets masked: registered ones, and in URLs whatever looks like one.

    most: characters of it that are looked at and returned; a word that is cut off there is left out, as it
    may be the start of a secret.
    """
    text = _cut(_registry.mask(text), most)
    text = _with_credentials(text, lambda _: f"{MASK}@")
    return _TOKEN.sub(MASK, _SECRET_PARAMETER.sub(rf"\g<name>={MASK}", text))


def _cut(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    last = max(text.rfind(end, 0, most) for end in ' \n\t"')
    return f"{text[: last + 1]}…"


class RedactingFormatter(logging.Formatter):
    """Formats a record, its traceback included, and masks secrets in the result."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the finished line or lines."""
        return redact(super().format(record))


def _forms(secret: str) -> Iterator[str]:
    """Return `secret` as it looks in URLs, HTML, JSON and Python's repr."""
    yield secret
    for safe in ("", "/", "!$&'()*+,;=:@/"):
        quoted = quote(secret, safe=safe, errors="surrogatepass")
        yield quoted
        yield re.sub(r"%..", lambda escape: escape[0].lower(), quoted)
    yield quote_plus(secret, errors="surrogatepass")
    yield html.escape(secret)
    yield from (json.dumps(secret, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False))
    yield repr(secret)[1:-1]
