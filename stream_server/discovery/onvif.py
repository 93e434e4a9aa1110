"""Asks an ONVIF device for the addresses of its streams (ONVIF Core and Media, profile S).

Nothing is asked but the address from which the device answered the search: what it says of other hosts, in
services and streams, is not followed. Passwords travel as digests alone, WS-Security's
or HTTP's (RFC 7616).
"""

from __future__ import annotations

import http.client
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from http import HTTPStatus
from ipaddress import IPv4Address
from typing import Final
from urllib.parse import urlsplit, urlunsplit
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape

from stream_server.config.source_url import parse_source
from stream_server.discovery.soap import NS, NotSoap, envelope, parse, texts, username_token
from stream_server.discovery.wsdiscovery import Device, is_at
from stream_server.errors import AuthenticationFailed, SourceError
from stream_server.net.body import Body, BodyTooLong
from stream_server.net.deadline_socket import DeadlineConnection, DeadlineSocket
from stream_server.net.http_auth import Credentials, parse_challenges

MAX_ANSWER_BYTES: Final = 256 * 1024
MAX_STREAMS: Final = 6

_CLOCK: Final = "tds:GetSystemDateAndTimeResponse/tds:SystemDateAndTime/tt:UTCDateTime"
_CLOCK_PARTS: Final = (
    "Date/tt:Year",
    "Date/tt:Month",
    "Date/tt:Day",
    "Time/tt:Hour",
    "Time/tt:Minute",
    "Time/tt:Second",
)
_MEDIA: Final = "tds:GetCapabilitiesResponse/tds:Capabilities/tt:Media/tt:XAddr"
_PROFILES: Final = "trt:GetProfilesResponse/trt:Profiles"
_URI: Final = "trt:GetStreamUriResponse/trt:MediaUri/tt:Uri"
_SCHEMES: Final = ("rtsp", "rtsps", "http", "https")


@dataclass(frozen=True, slots=True)
class Login:
    """A user of a camera."""

    username: str
    password: str


def stream_addresses(device: Device, login: Login | None, until: float) -> tuple[str, ...]:
    """Return where the device has its streams, its first profile's first; without credentials.

    until: when it has to be done, in `time.monotonic()` seconds.

    Raises AuthenticationFailed where it wants another login, SourceError.
    """
    if not device.services:
        raise SourceError("the camera names no service of its own by http")
    try:
        return _Conversation(device, login, until).stream_addresses()
    except TimeoutError:
        raise SourceError("the camera did not answer in time") from None
    except NotSoap as exc:
        raise SourceError(f"the camera's answer is not ONVIF's: it {exc}") from None
    except (OSError, http.client.HTTPException) as exc:
        raise SourceError(f"the camera could not be asked ({type(exc).__name__})") from None


class _Conversation:
    """One after the other, of one device, within one deadline."""

    def __init__(self, device: Device, login: Login | None, until: float) -> None:
        self._device = device
        self._login = login
        self._until = until
        self._digest = Credentials(login.username, login.password) if login else None
        self._ahead = timedelta()

    def stream_addresses(self) -> tuple[str, ...]:
        service = self._device.services[0]
        if self._login:
            self._ahead = self._clock_ahead(service)
        capabilities = "<tds:GetCapabilities><tds:Category>Media</tds:Category></tds:GetCapabilities>"
        named = texts(self._ask(service, capabilities), _MEDIA)
        media = next((url for url in named if is_at(url, self._device.address)), service)
        profiles = self._ask(media, "<trt:GetProfiles/>").findall(_PROFILES, NS)
        tokens = [token for profile in profiles if (token := profile.get("token"))]
        found = [self._stream_address(media, token) for token in tokens[:MAX_STREAMS]]
        return tuple(dict.fromkeys(address for address in found if address))

    def _stream_address(self, media: str, profile: str) -> str | None:
        body = (
            "<trt:GetStreamUri><trt:StreamSetup><tt:Stream>RTP-Unicast</tt:Stream><tt:Transport>"
            "<tt:Protocol>RTSP</tt:Protocol></tt:Transport></trt:StreamSetup>"
            f"<trt:ProfileToken>{escape(profile)}</trt:ProfileToken></trt:GetStreamUri>"
        )
        uris = texts(self._ask(media, body), _URI)
        return own_address(uris[0], self._device.address) if uris else None

    def _clock_ahead(self, service: str) -> timedelta:
        """Return by how much the device's clock is ahead of ours; digests hold by its own."""
        try:
            answer = self._ask(service, "<tds:GetSystemDateAndTime/>", anonymously=True)
            year, month, day, hour, minute, second = (
                int(answer.findtext(f"{_CLOCK}/tt:{part}", "", NS)) for part in _CLOCK_PARTS
            )
            theirs = datetime(year, month, day, hour, minute, second, tzinfo=timezone.utc)
        except (AuthenticationFailed, ValueError):
            return timedelta()
        return theirs - datetime.now(timezone.utc)

    def _ask(self, url: str, body: str, *, anonymously: bool = False) -> Element:
        """Return the body of the answer. Raises AuthenticationFailed, SourceError for a fault."""
        header = ""
        if self._login and not anonymously:
            now = datetime.now(timezone.utc) + self._ahead
            header = username_token(self._login.username, self._login.password, now)
        status, data = self._post(url, envelope(body, header))
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise AuthenticationFailed(self._refusal)
        answer = parse(data)
        fault = answer.find("s:Fault", NS)
        if fault is None:
            return answer
        words = " ".join(fault.itertext())
        if "NotAuthorized" in words or "FailedAuthentication" in words:
            raise AuthenticationFailed(self._refusal)
        raise SourceError("the camera does not do what ONVIF cameras do")

    @property
    def _refusal(self) -> str:
        return (
            "the camera refuses the user name or password"
            if self._login
            else "the camera asks for a user name and password"
        )

    def _post(self, url: str, message: bytes) -> tuple[int, bytes]:
        """Return status and body of the answer, which a challenge to a digest may have come before."""
        for _ in range(2):
            target = urlsplit(url).path or "/"
            with_digest = self._digest.authorization("POST", target, message) if self._digest else None
            status, headers, data = self._post_once(url, message, with_digest)
            offered = parse_challenges(headers.get_all("WWW-Authenticate", []))
            digests = [challenge for challenge in offered if challenge.scheme == "digest"]
            is_over = status != HTTPStatus.UNAUTHORIZED or with_digest
            if is_over or not self._digest or not self._digest.take(digests):
                break
        return status, data

    def _post_once(
        self, url: str, message: bytes, authorization: str | None
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        parts = urlsplit(url)
        wire = DeadlineSocket()
        wire.deadline = self._until
        connection = DeadlineConnection(wire, str(self._device.address), parts.port, None)
        headers: dict[str, str | bytes] = {
            "Content-Type": "application/soap+xml; charset=utf-8",
            "User-Agent": "stream-server",
        }
        if authorization:
            headers["Authorization"] = authorization.encode()
        try:
            connection.request("POST", parts.path or "/", message, headers)
            answer = connection.getresponse()
            return answer.status, answer.headers, _read(answer)
        finally:
            connection.close()
            wire.hang_up()


def _read(answer: http.client.HTTPResponse) -> bytes:
    try:
        return Body(answer).read_whole(MAX_ANSWER_BYTES)
    except BodyTooLong:
        raise NotSoap(f"has more than {MAX_ANSWER_BYTES} bytes") from None


def own_address(uri: str, address: IPv4Address) -> str | None:
    """Return a stream's address with the device's own in place of the host it names; None for no stream's.

    Cameras behind a translation of addresses name a host that is not theirs here; hostile ones, any.
    """
    try:
        parts = urlsplit(uri)
        port = f":{parts.port}" if parts.port else ""
        found = urlunsplit((parts.scheme.lower(), f"{address}{port}", parts.path, parts.query, ""))
        parse_source(found)
    except ValueError:
        return None
    return found if parts.scheme.lower() in _SCHEMES else None
