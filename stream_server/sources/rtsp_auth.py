"""Why an RTSP camera's question who is asking goes unanswered: FFmpeg answers Basic and Digest by MD5 alone.

It takes the last Digest of those offered, else Basic, and sends nothing where that one is none that it knows
(libavformat/httpauth.c, FFmpeg 8.1): the camera then answers 401 as to a wrong password.
"""

from __future__ import annotations

import socket
import ssl
import time
from http.client import HTTPException, HTTPMessage, parse_headers
from io import BytesIO

from stream_server.net.http_auth import Challenge, parse_challenges

_MAX_HEAD_BYTES = 16 * 1024
_ANSWERED = ("", "MD5", "MD5-sess")  # in this spelling only


def unanswered(challenges: list[Challenge]) -> str:
    """Return what FFmpeg cannot answer, "" where it has answered."""
    digests = [challenge for challenge in challenges if challenge.scheme == "digest"]
    if not digests:
        schemes = dict.fromkeys(challenge.scheme for challenge in challenges)
        return "" if "basic" in schemes or not schemes else ", ".join(schemes)[:60]
    algorithm = digests[-1].parameters.get("algorithm", "")
    return "" if algorithm in _ANSWERED else f"Digest by {algorithm[:30]}"


def ask_challenges(
    url: str, host: str, port: int, tls: ssl.SSLContext | None, timeout_s: float
) -> list[Challenge]:
    """Return what the camera offers to who sends no credentials; nothing where it does not say so in time."""
    deadline = time.monotonic() + timeout_s
    try:
        with socket.create_connection((host, port), timeout=timeout_s) as plain:
            plain.settimeout(max(0.01, deadline - time.monotonic()))
            with tls.wrap_socket(plain, server_hostname=host) if tls else plain as connection:
                request = f"DESCRIBE {url} RTSP/1.0\r\nCSeq: 1\r\nAccept: application/sdp\r\n\r\n"
                connection.sendall(request.encode())
                return parse_challenges(_read_head(connection, deadline).get_all("WWW-Authenticate", []))
    except (OSError, ValueError, HTTPException):
        return []


def _read_head(connection: socket.socket, deadline: float) -> HTTPMessage:
    """Return the header fields of an answer, which are HTTP's (RFC 2326, 4.2). Raises OSError, ValueError."""
    head = b""
    while b"\r\n\r\n" not in head:
        connection.settimeout(max(0.01, deadline - time.monotonic()))
        piece = connection.recv(4096) if time.monotonic() < deadline else b""
        if not piece or len(head) > _MAX_HEAD_BYTES:
            raise ValueError("no answer")
        head += piece
    return parse_headers(BytesIO(head.partition(b"\r\n")[2]))
