"""Every secret the process knows, and the filter that keeps them out of whatever is shown."""

from __future__ import annotations

import html
import json
import logging
import re
import threading
from collections.abc import Iterator
from urllib.parse import quote, quote_plus, unquote

MASK = "***"

MIN_LENGTH = 3
"""Shorter secrets are not searched for: they would mask half of every text."""
MIN_PARAMETER_LENGTH = 6
"""Of an address's parameters: `key=main` is masked there, but not the word in all other texts."""

# What stands between `://` and the last `@` before a blank or a quote, as passwords hold `/`, `#` and `@`
# that nobody escaped; not where an IPv6 address, or a port and a path come first (see source_url.py).
_URL_CREDENTIALS = re.compile(r'(?<=://)(?!\[)[^\s":/?#]*:(?!\d{1,5}[/?])[^\s"]*@')

# `?usr=a&pwd=secret`, and in paths `/user=a&password=secret&…` or `/user=a_password=secret_channel=1`.
_SECRET_PARAMETER = re.compile(
    r"(?<=[?&;/_])(?P<name>\w{0,20}(?:pass(?:w(?:or)?d|wort)?|pwd|psw|loginpas|token|secret|credentials?"
    r"|signature|session(?:_?id)?|(?:api|access|private|stream)_?key)|pw|pas|key|sig|sid|auth)"
    r"=(?P<value>[^&;/#\s\"']+?)(?=_\w+=|[&;/#\s\"']|$)",
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


def register_address(address: str) -> None:
    """Register the password and the secret-looking parameters of a URL."""
    for match in _URL_CREDENTIALS.finditer(address):
        password = match[0][:-1].partition(":")[2]
        register(password)
        register(unquote(password))
    for match in _SECRET_PARAMETER.finditer(address):
        if len(match["value"]) >= MIN_PARAMETER_LENGTH:
            register(match["value"])
            register(unquote(match["value"]))


def public_address(address: str) -> str:
    """Return a camera's address as it may be shown: no credentials, secret-looking parameters masked."""
    return redact(_URL_CREDENTIALS.sub("", address))


def mask_address(address: str) -> str:
    """Return a camera's address with MASK for its password and secret-looking parameters, all else kept."""
    address = _URL_CREDENTIALS.sub(lambda found: f"{found[0].partition(':')[0]}:{MASK}@", address)
    return _SECRET_PARAMETER.sub(rf"\g<name>={MASK}", address)


def unmask_address(address: str, stored: str) -> str:
    """Return `address` with what stands in `stored` for each MASK. Raises ValueError where nothing does."""
    passwords = [found[0].partition(":")[2] for found in _URL_CREDENTIALS.finditer(stored)]
    parameters = {found["name"]: found["value"] for found in _SECRET_PARAMETER.finditer(stored)}

    def credentials(found: re.Match[str]) -> str:
        username, _, password = found[0].partition(":")
        if password != f"{MASK}@":
            return found[0]
        if not passwords:
            raise ValueError("no password is stored that *** could stand for")
        return f"{username}:{passwords[0]}"

    def parameter(found: re.Match[str]) -> str:
        if found["value"] != MASK:
            return found[0]
        if found["name"] not in parameters:
            raise ValueError(f"no {found['name']} is stored that *** could stand for")
        return f"{found['name']}={parameters[found['name']]}"

    return _SECRET_PARAMETER.sub(parameter, _URL_CREDENTIALS.sub(credentials, address))


def redact(text: str) -> str:
    """Return `text` with secrets masked: registered ones, and in URLs whatever looks like one."""
    text = _URL_CREDENTIALS.sub(f"{MASK}@", _registry.mask(text))
    return _TOKEN.sub(MASK, _SECRET_PARAMETER.sub(rf"\g<name>={MASK}", text))


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
