"""Answers an HTTP camera's question who is asking: Basic (RFC 7617) and Digest (RFC 7616)."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from secrets import token_hex
from typing import Literal

_HASHES = {
    "MD5": "md5",
    "SHA-256": "sha256",
    "SHA256": "sha256",  # as some cameras spell it
    "SHA-512-256": "sha512_256",
    "SHA-512": "sha512",
}
_SESSION = "-SESS"

# Each takes all it can, so that no byte is looked at twice: a hostile header costs no more than a long one.
_TOKEN = re.compile(r"[\w!#$%&'*+.^`|~-]+")  # RFC 9110, section 5.6.2
_EQUALS = re.compile(r"\s*=\s*")
_VALUE = re.compile(r'"(?:[^"\\]|\\.)*"?|[^\s,;]*', re.DOTALL)
_BETWEEN = frozenset(" \t,;")
_FOLD = re.compile(r"\r?\n[ \t]+")

QOP = Literal["", "auth", "auth-int"]


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way of authentication a server offers. scheme: in lower case. parameters: names in lower case."""

    scheme: str
    parameters: dict[str, str]

    @property
    def algorithm(self) -> str:
        """Digest: the algorithm's name in upper case."""
        return (self.parameters.get("algorithm") or "MD5").upper()

    @property
    def qop(self) -> QOP | None:
        """Digest: the quality of protection to answer with, "" as in RFC 2069, None where none is known."""
        offered = set(re.split(r"[,;\s]+", self.parameters.get("qop", "").lower())) - {""}
        if not offered:
            return ""
        known: tuple[QOP, ...] = ("auth", "auth-int")
        return next((qop for qop in known if qop in offered), None)

    @property
    def trouble(self) -> str:
        """Why `Credentials` cannot answer it, "" where it can."""
        if self.scheme == "basic":
            return ""
        if self.scheme != "digest":
            return self.scheme
        hash_name = _HASHES.get(self.algorithm.removesuffix(_SESSION))
        if hash_name is None or hash_name not in hashlib.algorithms_available:
            return f"digest with algorithm={self.algorithm[:30]}"
        if self.qop is None:
            return f"digest with qop={self.parameters['qop'][:30]}"
        return "" if self.parameters.get("nonce") else "digest without a nonce"

    @property
    def is_stale(self) -> bool:
        """Whether the credentials were right and only the nonce too old."""
        return self.parameters.get("stale", "").lower() == "true"


def parse_challenges(headers: Sequence[str]) -> list[Challenge]:
    """Return what the WWW-Authenticate headers of one answer offer; several may share a header.

    A name followed by `=` is a parameter of the scheme before it, one alone is a scheme. Fields may be
    parted by commas (RFC 9110, section 11.6.1), semicolons or blanks, as cameras do.
    """
    challenges: list[Challenge] = []
    for header in headers:
        text, at = _FOLD.sub(" ", header), 0
        while at < len(text):
            token = _TOKEN.match(text, at)
            if token is None:
                at += 1
            elif equals := _EQUALS.match(text, token.end()):
                value = _VALUE.match(text, equals.end())
                assert value is not None
                if challenges:
                    challenges[-1].parameters[token[0].lower()] = _unquote(value[0])
                at = value.end()
            else:
                if at == 0 or text[at - 1] in _BETWEEN:
                    challenges.append(Challenge(token[0].lower(), {}))
                at = token.end()
    return challenges


def name_troubles(challenges: Sequence[Challenge]) -> str:
    """Return in one line why none of the challenges can be answered."""
    troubles = dict.fromkeys(challenge.trouble for challenge in challenges if challenge.trouble)
    if any(challenge.scheme == "digest" for challenge in challenges):
        return f"the camera asks in a way that is not supported: {', '.join(troubles)}"
    return f"the camera offers no Basic or Digest authentication but {', '.join(troubles)[:60] or 'nothing'}"


def _unquote(value: str) -> str:
    if not value.startswith('"'):
        return value
    inside = value[1:-1] if len(value) > 1 and value.endswith('"') else value[1:]
    return re.sub(r"\\(.)", r"\1", inside)


class Credentials:
    """A user's name and password, and the answer to the challenge that was taken last."""

    def __init__(self, username: str, password: str) -> None:
        self._username = username
        self._password = password
        self._basic = base64.b64encode(f"{username}:{password}".encode()).decode()
        self._challenge: Challenge | None = None
        self._uses = 0

    def take(self, challenges: Sequence[Challenge]) -> bool:
        """Choose the challenge to answer from now on; return whether there is one that can be answered.

        The first usable Digest, as a server lists what it prefers first (RFC 7616, 3.7); else Basic.
        """
        usable = sorted((c for c in challenges if not c.trouble), key=lambda c: c.scheme != "digest")
        self._challenge = usable[0] if usable else None
        self._uses = 0
        return bool(usable)

    def authorization(self, method: str, target: str, body: bytes = b"") -> str | None:
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
            body=body,
            uses=self._uses,
            cnonce=token_hex(16),
        )


def digest_authorization(
    challenge: Challenge,
    username: str,
    password: str,
    *,
    method: str,
    target: str,
    uses: int,
    cnonce: str,
    body: bytes = b"",
) -> str:
    """Return the answer to a Digest challenge, RFC 7616, section 3.4; without qop as in RFC 2069.

    uses: how often the challenge's nonce was used, this time included.
    """
    offered = challenge.parameters
    realm, nonce, qop = offered.get("realm", ""), offered["nonce"], challenge.qop
    hash_name = _HASHES[challenge.algorithm.removesuffix(_SESSION)]

    def h(data: bytes) -> str:
        return hashlib.new(hash_name, data, usedforsecurity=False).hexdigest()

    def joined(*fields: str) -> str:
        return h(":".join(fields).encode())

    ha1, nc = joined(username, realm, password), f"{uses:08x}"
    ha2 = joined(method, target, *([h(body)] if qop == "auth-int" else []))
    if challenge.algorithm.endswith(_SESSION):
        ha1 = joined(ha1, nonce, cnonce)
    response = joined(ha1, nonce, nc, cnonce, qop, ha2) if qop else joined(ha1, nonce, ha2)
    is_hashed = offered.get("userhash", "").lower() == "true"  # section 3.4.4
    name = joined(username, realm) if is_hashed else username
    quoted = {"username": name, "realm": realm, "nonce": nonce, "uri": target, "response": response}
    if "opaque" in offered:
        quoted["opaque"] = offered["opaque"]
    plain = {"algorithm": offered["algorithm"]} if offered.get("algorithm") else {}
    if qop:
        plain |= {"qop": qop, "nc": nc}
    if qop or challenge.algorithm.endswith(_SESSION):
        quoted["cnonce"] = cnonce
    if is_hashed:
        plain["userhash"] = "true"
    fields = [f"{name}={_quote(value)}" for name, value in quoted.items()]
    fields += [f"{name}={value}" for name, value in plain.items()]
    return "Digest " + ", ".join(fields)


def _quote(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
