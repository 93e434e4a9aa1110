"""Fetches a file over HTTP: goes on where it stopped, and keeps nothing that is not whole."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import http.client
import json
import os
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from email.message import Message
from pathlib import Path
from typing import IO, NoReturn, TypeAlias
from urllib.parse import unquote, urlsplit, urlunsplit

from detector.errors import DownloadError

Progress: TypeAlias = Callable[[int, int | None], None]
"""Called with the bytes there are and all there will be, None while that is unknown."""

MAX_BYTES = 2 << 30
TIMEOUT_S = 30.0
_ATTEMPTS = 5  # in a row that bring nothing
_BLOCK = 1 << 16
_PASSING = (408, 425, 429, 500, 502, 503, 504)


def download(
    url: str,
    target: Path,
    *,
    progress: Progress,
    max_bytes: int = MAX_BYTES,
    timeout_s: float = TIMEOUT_S,
    pause_s: float = 1.0,
) -> None:
    """Fetch `url` into the file `target`, whose folder exists.

    Until it is whole it is called `target` with `.part` added, which a later call goes on with, if the server
    knows ranges (RFC 9110, 14) and the file there is still the same (If-Range). A connection that breaks is
    tried again, up to five times in a row without a byte.

    max_bytes: a longer file is refused. timeout_s: without a byte. pause_s: before the second try, doubling.

    Raises DownloadError with the reason in one line; what came so far stays, unless it is of no use.
    """
    check_url(url)
    part = target.with_name(target.name + ".part")
    with _locked(part) as file:
        fetch = _Fetch(url, file, progress=progress, max_bytes=max_bytes, timeout_s=timeout_s)
        try:
            fetch.run(pause_s)
            part.replace(target)
        finally:
            fetch.clean_up()


def check_url(url: str) -> None:
    """Raise DownloadError unless `url` is an address on the web."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise DownloadError(
            f"{without_credentials(url)}: expected an address that starts with https:// or http://"
        )


def without_credentials(url: str) -> str:
    """Return the address without user name and password, so that it may be shown and kept."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


class _Fetch:
    """One file on its way."""

    def __init__(
        self, url: str, file: IO[bytes], *, progress: Progress, max_bytes: int, timeout_s: float
    ) -> None:
        """file: what came so far, open at its end."""
        self._url = without_credentials(url)
        self._authorization = _basic_authorization(url)
        self._file = file
        self._note = Path(f"{file.name}.json")  # what tells whether the server's file is still the same
        self._progress = progress
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._opener = _make_opener()

    def run(self, pause_s: float) -> None:
        failures = 0
        while True:
            before = self._file.tell()
            try:
                return self._attempt()
            except _Broken as exc:
                failures = 1 if self._file.tell() > before else failures + 1
                if failures >= _ATTEMPTS:
                    raise DownloadError(f"{self._url}: {exc}; run it again to go on") from exc
            time.sleep(pause_s * 2 ** (failures - 1))

    def clean_up(self) -> None:
        """Remove what nobody can go on with."""
        part = Path(self._file.name)
        if not part.exists() or part.stat().st_size == 0:
            part.unlink(missing_ok=True)
            self._note.unlink(missing_ok=True)

    def _attempt(self) -> None:
        """Fetch what is missing. Raises _Broken when it may be tried again."""
        try:
            with self._opener.open(self._request(), timeout=self._timeout_s) as response:
                total = self._start(response)
                self._receive(response, total)
        except urllib.error.HTTPError as exc:
            with exc:
                self._explain(exc)
        except (OSError, http.client.HTTPException) as exc:
            raise _Broken(_reason(exc)) from exc

    def _request(self) -> urllib.request.Request:
        request = urllib.request.Request(self._url, headers={"User-Agent": "stream-server"})  # noqa: S310 - checked
        if self._authorization:
            request.add_unredirected_header("Authorization", self._authorization)
        have = self._file.tell()
        validator = self._known_validator() if have else None
        if have and not validator:
            self._restart()
        elif validator:
            request.add_header("Range", f"bytes={have}-")
            request.add_header("If-Range", validator)
        return request

    def _start(self, response: http.client.HTTPResponse) -> int | None:
        """Get ready for the body of `response` and return the length of the whole file, None if unknown."""
        total: int | None = None
        if response.status == http.HTTPStatus.PARTIAL_CONTENT:
            total = self._resume(response.headers)
        else:
            self._restart()
            length = response.headers.get("Content-Length", "")
            total = int(length) if length.isdigit() else None
        if total is not None and total > self._max_bytes:
            raise DownloadError(f"{self._url}: {_mb(total)}, more than the {_mb(self._max_bytes)} allowed")
        self._check_room(total)
        self._remember(response.headers)
        return total

    def _resume(self, headers: Message) -> int:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", headers.get("Content-Range", ""))
        if not match or int(match[1]) != self._file.tell():
            self._restart()
            raise _Broken("the server sent another part than was asked for")
        return int(match[2])

    def _receive(self, response: http.client.HTTPResponse, total: int | None) -> None:
        self._progress(self._file.tell(), total)
        while block := response.read1(_BLOCK):
            if self._file.tell() + len(block) > self._max_bytes:
                self._restart()
                raise DownloadError(f"{self._url}: more than the {_mb(self._max_bytes)} allowed")
            self._write(block)
            self._progress(self._file.tell(), total)
        if total is not None and self._file.tell() < total:
            raise _Broken(f"the connection ended after {_mb(self._file.tell())} of {_mb(total)}")

    def _write(self, block: bytes) -> None:
        left = memoryview(block)
        try:
            while left:  # a file without a buffer may take less than it was given
                left = left[self._file.write(left) :]
        except OSError as exc:
            _refuse(Path(self._file.name), exc)

    def _check_room(self, total: int | None) -> None:
        missing = (total or 0) - self._file.tell()
        free = shutil.disk_usage(self._note.parent).free
        if missing > free:
            raise DownloadError(f"{self._note.parent}: {_mb(missing)} needed, {_mb(free)} free")

    def _restart(self) -> None:
        self._file.seek(0)
        self._file.truncate()

    def _explain(self, error: urllib.error.HTTPError) -> None:
        """Raise what an answer without the file means, unless it is that we have all of it."""
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            if error.headers.get("Content-Range") == f"bytes */{self._file.tell()}":
                return
            self._restart()
            raise _Broken("the server has less than we have")
        if error.code in _PASSING:
            raise _Broken(f"the server answers {error.code} {error.reason}")
        raise DownloadError(f"{self._url}: the server answers {error.code} {error.reason}")

    def _known_validator(self) -> str | None:
        """Return what the server said of the file we have a part of."""
        try:
            note = json.loads(self._note.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return str(note["validator"]) if note.get("url") == self._url and note.get("validator") else None

    def _remember(self, headers: Message) -> None:
        etag = headers.get("ETag", "")
        validator = (
            etag if etag.startswith('"') else headers.get("Last-Modified")
        )  # If-Range takes no weak tag
        self._note.write_text(json.dumps({"url": self._url, "validator": validator}), encoding="utf-8")


class _Broken(Exception):
    """This attempt failed; the next may not."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from https to http."""

    def redirect_request(  # noqa: PLR0917 - the library's
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        if req.type == "https" and urlsplit(newurl).scheme != "https":
            raise DownloadError(f"{req.full_url}: leads to an address without TLS, {newurl}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


def _basic_authorization(url: str) -> str | None:
    """Return the header for the user name and password in `url` (RFC 7617), None without a user name."""
    parts = urlsplit(url)
    if parts.username is None:
        return None
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def _make_opener() -> urllib.request.OpenerDirector:
    """Return an opener for http and https alone: no file:, ftp: or data:, wherever a redirect leads."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
        _Redirects(),
    ):
        opener.add_handler(handler)
    return opener


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[IO[bytes]]:
    """Open the file for adding to it; ours alone, for two that write to it would spoil it."""
    try:
        with path.open("ab", buffering=0) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not os.path.samestat(os.fstat(file.fileno()), path.stat()):
                    raise BlockingIOError  # it has just become what the other process was to fetch
            except (BlockingIOError, FileNotFoundError):
                raise DownloadError(f"{path}: is being downloaded by another process") from None
            yield file
    except OSError as exc:
        _refuse(path, exc)


def _refuse(path: Path, exc: OSError) -> NoReturn:
    raise DownloadError(f"{path}: cannot be written: {exc.strerror}") from exc


def _reason(exc: OSError | http.client.HTTPException) -> str:
    cause = exc.reason if isinstance(exc, urllib.error.URLError) else exc
    if isinstance(cause, TimeoutError):
        return "the server is silent"
    text = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
    return f"the connection failed: {text}"


def _mb(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
