"""SOAP as ONVIF devices speak it: envelopes, who one is (WS-Security), and answers read with care.

Anything on the network may answer: what is read is of a bounded size, in UTF-8 and without a document type,
so that there is no entity to expand (SOAP 1.2, part 1, section 5: messages have none).
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from datetime import datetime, timezone
from xml.etree.ElementTree import Element, ParseError, fromstring
from xml.sax.saxutils import escape

NS = {
    "s": "http://www.w3.org/2003/05/soap-envelope",
    "a": "http://schemas.xmlsoap.org/ws/2004/08/addressing",
    "d": "http://schemas.xmlsoap.org/ws/2005/04/discovery",
    "dn": "http://www.onvif.org/ver10/network/wsdl",
    "tds": "http://www.onvif.org/ver10/device/wsdl",
    "trt": "http://www.onvif.org/ver10/media/wsdl",
    "tt": "http://www.onvif.org/ver10/schema",
}
_SECURITY = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
_UTILITY = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
_PROFILE = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-username-token-profile-1.0"
_MESSAGE = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-soap-message-security-1.0"


class NotSoap(Exception):
    """An answer is none: no XML, of another encoding, with a document type, or of another kind."""


def envelope(body: str, header: str = "") -> bytes:
    """Return a SOAP 1.2 message; body, header: XML whose prefixes are those in `NS`."""
    names = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in NS.items())
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><s:Envelope {names}><s:Header>{header}</s:Header>'
        f"<s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def parse(data: bytes) -> Element:
    """Return the body of a message. Raises NotSoap."""
    try:
        text = data.decode("utf-8-sig")
        if "<!DOCTYPE" in text:
            raise NotSoap("has a document type")
        body = fromstring(text).find("s:Body", NS)  # noqa: S314 - without a document type there are no entities
    except (UnicodeDecodeError, ParseError) as exc:
        raise NotSoap("is no XML") from exc
    if body is None:
        raise NotSoap("has no body")
    return body


def texts(body: Element, path: str) -> list[str]:
    """Return the texts of the elements at `path`, those without any left out."""
    return [text for found in body.findall(path, NS) if (text := (found.text or "").strip())]


def username_token(username: str, password: str, now: datetime) -> str:
    """Return the header that says who asks, without the password itself.

    now: by the device's clock; it refuses what is a few seconds old or new.

    WS-Security UsernameToken Profile 1.0, section 3.1: Base64(SHA-1(nonce + created + password)).
    """
    nonce = secrets.token_bytes(16)
    return _username_token(username, password, nonce, now)


def _username_token(username: str, password: str, nonce: bytes, now: datetime) -> str:
    created = now.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    sha1 = hashlib.sha1(nonce + created.encode() + password.encode(), usedforsecurity=False)
    digest = base64.b64encode(sha1.digest()).decode()
    return (
        f'<wsse:Security s:mustUnderstand="1" xmlns:wsse="{_SECURITY}" xmlns:wsu="{_UTILITY}">'
        f"<wsse:UsernameToken><wsse:Username>{escape(username)}</wsse:Username>"
        f'<wsse:Password Type="{_PROFILE}#PasswordDigest">{digest}</wsse:Password>'
        f'<wsse:Nonce EncodingType="{_MESSAGE}#Base64Binary">{base64.b64encode(nonce).decode()}</wsse:Nonce>'
        f"<wsu:Created>{created}</wsu:Created></wsse:UsernameToken></wsse:Security>"
    )
