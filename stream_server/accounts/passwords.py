"""Passwords and tokens: how they are made, and what is kept of them."""

from __future__ import annotations

import hashlib
import secrets

from werkzeug.security import check_password_hash, generate_password_hash

MIN_PASSWORD_LENGTH = 8
MAX_PASSWORD_LENGTH = 1024
METHOD = "scrypt:32768:8:3"
"""N, r and p as OWASP's Password Storage Cheat Sheet has them: 32 MiB, about 0.2 s on one core."""
TOKEN_PREFIX = "sst_"  # noqa: S105 - not one, but how each begins
TOKEN_BYTES = 32
TOKEN_LENGTH = len(TOKEN_PREFIX) + 43
"""In characters; 32 bytes are 43 of Base64."""


def hash_password(password: str, method: str = METHOD) -> str:
    """Return what to keep of a password: scheme, parameters, salt and hash."""
    return generate_password_hash(password, method)


_OF_NOBODY = f"{METHOD}${'x' * 16}${'0' * 128}"
"""Compared with where there is no such user, so that it takes as long. No password has this hash."""


def is_password(password: str, kept: str | None) -> bool:
    """Return whether `password` is the one of which `kept` was kept; None, of nobody, takes as long."""
    return check_password_hash(kept or _OF_NOBODY, password) and kept is not None


def new_token() -> str:
    """Return a token nobody can guess, which says what it is to who finds it."""
    return TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)


def looks_like_token(text: str) -> bool:
    """Return whether `text` can be a token, of whatever worth; no password is tried that can."""
    return text.startswith(TOKEN_PREFIX) and len(text) == TOKEN_LENGTH


def hash_token(token: str) -> str:
    """Return what to keep of a token; it is random, a slow hash adds nothing (NIST SP 800-63B, 5.1.2)."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
