"""Answers an HTTP camera's question who is asking: Basic (RFC 7617) and Digest (RFC 7616)."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from secrets import token_hex
from urllib.request import parse_http_list

from stream_server.secrets import register

_HASHES = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}
_SESSION = "-SESS"

# In `Basic realm="a", Digest realm="b", nonce="c"` a scheme is what stands before a blank and a parameter.
_SCHEME = re.compile(r"([\w-]+)(?:\s+([\w-]+\s*=.*))?$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way of authentication a server offers. scheme: in lower case. parameters: names in lower case."""

    scheme: str
    parameters: dict[str, str]

    @property
    def algorithm(self) -> str:
        """Digest: the algorithm's name in upper case."""
        return self.parameters.get("algorithm", "MD5").upper()

    @property
    def is_usable(self) -> bool:
        """Whether `Credentials` can answer it."""
        if self.scheme == "digest":
            qop = re.split(r"[,\s]+", self.parameters.get("qop", "auth"))
            known = self.algorithm.removesuffix(_SESSION) in _HASHES
            return known and "auth" in qop and bool(self.parameters.get("nonce"))
        return self.scheme == "basic"

    @property
    def is_stale(self) -> bool:
        """Whether the credentials were right and only the nonce too old."""
        return self.parameters.get("stale", "").lower() == "true"


def parse_challenges(headers: Sequence[str]) -> list[Challenge]:
    """Return what the WWW-Authenticate headers of one answer offer; several may share a header."""
    challenges: list[tuple[str, list[str]]] = []
    for item in (item for header in headers for item in parse_http_list(header)):
        if match := _SCHEME.match(item):
            challenges.append((match[1].lower(), [match[2]] if match[2] else []))
        elif challenges and "=" in item:
            challenges[-1][1].append(item)
    return [Challenge(scheme, _parameters(items)) for scheme, items in challenges]


def _parameters(items: list[str]) -> dict[str, str]:
    pairs = (item.partition("=") for item in items)
    return {name.strip().lower(): _unquote(value.strip()) for name, _, value in pairs}


def _unquote(value: str) -> str:
    is_quoted = len(value) >= 2 and value[0] == value[-1] == '"'
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if is_quoted else value


class Credentials:
    """A user's name and password, and the answer to the challenge that was taken last."""

    def __init__(self, username: str, password: str) -> None:
        self._username = username
        self._password = password
        self._basic = base64.b64encode(f"{username}:{password}".encode()).decode()
        register(self._basic)
        self._challenge: Challenge | None = None
        self._uses = 0

    def take(self, challenges: Sequence[Challenge]) -> bool:
        """Choose the challenge to answer from now on; return whether there is one that can be answered.

        The first usable Digest, as a server lists what it prefers first (RFC 7616, 3.7); else Basic.
        """
        usable = sorted((c for c in challenges if c.is_usable), key=lambda c: c.scheme != "digest")
        self._challenge = usable[0] if usable else None
        self._uses = 0
        return bool(usable)

    def authorization(self, method: str, target: str) -> str | None:
        """Return the header's value for a request; None before any challenge was taken.

        target: as in the request line, path and query.
        """
        if self._challenge is None:
            return None
        if self._challenge.scheme == "basic":
            return f"Basic {self._basic}"
        self._uses += 1
        return digest_authorization(
            self._challenge,
            self._username,
            self._password,
            method=method,
            target=target,
            uses=self._uses,
            cnonce=token_hex(16),
        )


def digest_authorization(
    challenge: Challenge, username: str, password: str, *, method: str, target: str, uses: int, cnonce: str
) -> str:
    """Return the answer to a Digest challenge, RFC 7616, section 3.4; without qop as in RFC 2069.

    uses: how often the challenge's nonce was used, this time included.
    """
    offered = challenge.parameters
    realm, nonce = offered.get("realm", ""), offered["nonce"]
    hash_name = _HASHES[challenge.algorithm.removesuffix(_SESSION)]

    def h(*fields: str) -> str:
        return hashlib.new(hash_name, ":".join(fields).encode(), usedforsecurity=False).hexdigest()

    ha1, ha2, nc = h(username, realm, password), h(method, target), f"{uses:08x}"
    if challenge.algorithm.endswith(_SESSION):
        ha1 = h(ha1, nonce, cnonce)
    has_qop = "qop" in offered
    response = h(ha1, nonce, nc, cnonce, "auth", ha2) if has_qop else h(ha1, nonce, ha2)
    quoted = {"username": username, "realm": realm, "nonce": nonce, "uri": target, "response": response}
    if "opaque" in offered:
        quoted["opaque"] = offered["opaque"]
    plain = {"algorithm": offered["algorithm"]} if "algorithm" in offered else {}
    if has_qop:
        plain |= {"qop": "auth", "nc": nc}
    if has_qop or challenge.algorithm.endswith(_SESSION):
        quoted["cnonce"] = cnonce
    fields = [f"{name}={_quote(value)}" for name, value in quoted.items()]
    fields += [f"{name}={value}" for name, value in plain.items()]
    return "Digest " + ", ".join(fields)


def _quote(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
