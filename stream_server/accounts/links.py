"""Signed links: who has one sees one camera in one way, as long as its maker may and it has not expired."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from itsdangerous import Signer
from itsdangerous.encoding import base64_decode, base64_encode

from stream_server.accounts.grants import Link
from stream_server.database.address import path_of
from stream_server.errors import AccountsError

METHODS = frozenset({"GET", "HEAD"})
"""What a link is good for."""
MAX_LENGTH = 2048
"""Of what is looked at as a signature, in characters."""
KEY_BYTES = 32


def sign(link: Link, key: bytes) -> str:
    """Return what an address shows to be this link (HMAC-SHA-256): all it says, and that we said it."""
    told = json.dumps([link.kind, link.camera, link.expires_at, link.maker], separators=(",", ":"))
    return _signer(key).sign(base64_encode(told)).decode()


def read(text: str, key: bytes) -> Link | None:
    """Return the link of which `text` is the signature, None where `key` made no such one."""
    told = text.rpartition(".")[0]
    # The whole is compared, as text: in Base64 the last character may be another and mean the same.
    made = _signer(key).sign(told.encode("utf-8", "surrogatepass"))
    if not hmac.compare_digest(made, text.encode("utf-8", "surrogatepass")):
        return None
    return Link(*json.loads(base64_decode(told)))


def _signer(key: bytes) -> Signer:
    return Signer(key, salt=b"link", key_derivation="hmac", digest_method=hashlib.sha256)


class LinkKey:
    """The key of all links, in a file for its owner alone; read at each use: other processes replace it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def find(self) -> bytes | None:
        """Return the key, None where no link was made yet, or the file was cut. Raises AccountsError."""
        try:
            key = self._path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise self._unusable(exc) from None
        return key if len(key) == KEY_BYTES else None

    def make(self) -> bytes:
        """Return the key, a new one if need be. Raises AccountsError."""
        found = self.find()
        if found is None:
            self._write(os.replace if self._path.exists() else os.link)
            found = self.find()
        assert found
        return found

    def replace(self) -> None:
        """Make all links worthless that there are. Raises AccountsError."""
        self._write(os.replace)

    def _write(self, put: Callable[[Path, Path], None]) -> None:
        """Put a new key, whole, where it belongs; `os.link` leaves one that another process has put there."""
        new = self._path.with_name(f".{self._path.name}.{secrets.token_hex(8)}")
        try:
            with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
                file.write(os.urandom(KEY_BYTES))
            with suppress(FileExistsError):
                put(new, self._path)
        except OSError as exc:
            raise self._unusable(exc) from None
        finally:
            new.unlink(missing_ok=True)

    def _unusable(self, error: OSError) -> AccountsError:
        return AccountsError(f"{self._path}: cannot be used: {error.strerror}")


def key_beside(database: str) -> LinkKey | None:
    """Return the key that belongs to the accounts at an SQLAlchemy URL; None where those are in no file."""
    file = path_of(database)
    return LinkKey(file.with_name("links.key")) if file else None
