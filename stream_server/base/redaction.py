"""Every secret the process uses, and the filter that keeps them out of whatever is shown.

What is registered is known for good, but for what is registered while a `Holder` collects it: that is known
for as long as its holder, and for a while after, until nothing that was begun with it can show it.
"""

from __future__ import annotations

import base64
import html
import json
import logging
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple
from urllib.parse import quote, quote_plus, unquote

MASK = "***"

MIN_LENGTH = 3
"""Shorter secrets are not searched for: they would mask half of every text."""
MIN_PARAMETER_LENGTH = 6
"""Of an address's parameters: `key=main` is masked there, but not the word in all other texts."""

FORGET_AFTER_S = 300.0
"""Longer than any source of a camera that was changed, or tried, takes to end."""
MAX_PASSING = 100
"""Secrets that are known although nobody holds them any more; those that were let go first are forgotten."""

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
        self._lock = threading.Lock()  # guards all below
        self._held: Counter[str] = Counter()  # by how many
        self._passing: dict[
            str, float
        ] = {}  # held by nobody any more, until when; the first to go stands first
        self._pattern: re.Pattern[str] | None = None  # None: what is known has changed

    def __len__(self) -> int:
        return len(self._held) + len(self._passing)

    def hold(self, secret: str) -> None:
        with self._lock:
            if self._passing.pop(secret, None) is None and secret not in self._held:
                self._pattern = None
            self._held[secret] += 1

    def let_go(self, secrets: Iterable[str]) -> None:
        with self._lock:
            for secret in secrets:
                self._held[secret] -= 1
                if self._held[secret] <= 0:
                    del self._held[secret]
                    self._passing[secret] = time.monotonic() + FORGET_AFTER_S
            self._forget()

    def mask(self, text: str) -> str:
        with self._lock:
            self._forget()
            if self._pattern is None:
                self._pattern = self._compiled()
            pattern = self._pattern
        return pattern.sub(MASK, text)

    def _forget(self) -> None:
        now = time.monotonic()
        while self._passing:
            oldest, until = next(iter(self._passing.items()))
            if now < until and len(self._passing) <= MAX_PASSING:
                break
            del self._passing[oldest]
            self._pattern = None

    def _compiled(self) -> re.Pattern[str]:
        forms = {form for secret in (*self._held, *self._passing) for form in _forms(secret)}
        longest_first = sorted(forms, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest_first)) or "(?!)")


_registry = _Registry()
_collecting: ContextVar[Holder | None] = ContextVar("collecting", default=None)


class Holder:
    """Who uses secrets, such as a configuration; any thread may let go of them."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Hold what this thread registers inside; let go of all that is held where it ends by an error."""
        before = _collecting.set(self)
        try:
            yield
        except BaseException:
            self.let_go()
            raise
        finally:
            _collecting.reset(before)

    def hold(self, secret: str) -> None:
        """Have a secret known until `let_go`."""
        if secret not in self._secrets:
            self._secrets.add(secret)
            _registry.hold(secret)

    def let_go(self) -> None:
        """Have the secrets forgotten `FORGET_AFTER_S` later, but for those that others hold too."""
        secrets, self._secrets = self._secrets, set()
        _registry.let_go(secrets)


@contextmanager
def passing() -> Iterator[None]:
    """Let what this thread registers inside be known for no longer than that, and a while."""
    holder = Holder()
    with holder.collecting():
        yield
    holder.let_go()


def register(secret: str) -> None:
    """Make `redact` hide `secret` from now on, plain and in the encodings it is shown in."""
    if len(secret) >= MIN_LENGTH:
        (_collecting.get() or _registry).hold(secret)


def register_login(username: str, password: str) -> None:
    """Register the password, and both in the form in which HTTP Basic sends them (RFC 7617)."""
    register(password)
    register(base64.b64encode(f"{username}:{password}".encode(errors="surrogatepass")).decode())


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
