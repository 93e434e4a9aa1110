"""An ONVIF camera on a loopback address of its own: WS-Discovery and SOAP, with faults on command."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import socket
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta, timezone
from ipaddress import IPv4Interface
from types import TracebackType
from typing import Literal
from urllib.request import parse_http_list, parse_keqv_list

from stream_server import cli
from stream_server.discovery import Search
from stream_server.discovery.soap import NS, parse
from stream_server.discovery.wsdiscovery import GROUP, probe
from stream_server.sources.v4l2 import WebcamInfo
from tests.support.webserver import KeptOpen, WebServer

REALM = "onvif"
SEARCH_S = 0.5
_SECEXT = "{http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd}"
_UTILITY = "{http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd}"
_DIGEST_HOLDS = timedelta(seconds=5)


class OnvifCamera:
    """`with OnvifCamera("127.1.0.2/16") as camera:` - it answers probes sent on that network's loopback.

    streams: addresses by profile; {address} stands for the camera's.
    password: of the user admin, asked for by what `login` says; None: nobody is asked.
    clock_ahead: by how much its clock is wrong.
    scopes: what it says of itself, after onvif://www.onvif.org/.
    services: what it names as its services; {url} stands for the true one.
    answers: sent, as they are, in place of ProbeMatches; {id} stands for the probe's.
    soap: sent, as it is, in place of every answer over HTTP. silent: whether nothing is.

    `asked` lists the operations asked over HTTP; `authorizations` every header and token that came.
    """

    def __init__(
        self,
        at: str,
        *,
        streams: Mapping[str, str] | None = None,
        password: str | None = None,
        login: Literal["token", "http"] = "token",
        clock_ahead: timedelta = timedelta(),
        scopes: Sequence[str] = ("name/Front%20Door", "hardware/X100"),
        services: str = "{url}",
        answers: Sequence[bytes] | None = None,
        soap: bytes | None = None,
        silent: bool = False,
    ) -> None:
        self.interface = IPv4Interface(at)
        self.address = str(self.interface.ip)
        self.streams = streams or {"main": "rtsp://{address}:554/main", "sub": "rtsp://{address}:554/sub"}
        self.password = password
        self.login = login
        self.clock_ahead = clock_ahead
        self.scopes = scopes
        self.services = services
        self.answers = answers
        self.soap = soap
        self.silent = silent
        self.asked: list[str] = []
        self.authorizations: list[str] = []
        self._nonces: set[str] = set()
        self._stack = ExitStack()
        self._closing = threading.Event()

    def __enter__(self) -> OnvifCamera:
        self._group = self._stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self._group.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._group.bind(GROUP)
        member = socket.inet_aton(GROUP[0]) + self.interface.ip.packed
        self._group.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        self._group.settimeout(0.05)
        self._own = self._stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self._own.bind((self.address, 0))
        self._http = _Server(_Handler, self.address)
        self._http.camera = self
        self.url = f"{self._http.url}/onvif/device_service"
        self._thread = threading.Thread(target=self._answer_probes, name="onvif-probes")
        self._thread.start()
        self._stack.enter_context(self._http)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._thread.join(5)
        self._stack.close()

    def _answer_probes(self) -> None:
        while not self._closing.is_set():
            try:
                data, peer = self._group.recvfrom(65536)
            except TimeoutError:
                continue
            asked = re.search(rb"MessageID>([^<]+)<", data)
            if not asked or peer[0] != str(self.interface.network[1]):
                continue  # the probe of another test, on another network
            answers = [self._probe_matches()] if self.answers is None else self.answers
            for answer in answers:
                self._own.sendto(answer.replace(b"{id}", asked[1]), peer)

    def _probe_matches(self) -> bytes:
        scopes = " ".join(f"onvif://www.onvif.org/{scope}" for scope in self.scopes)
        services = self.services.replace("{url}", self.url)
        return _envelope(
            "<d:ProbeMatches><d:ProbeMatch><a:EndpointReference><a:Address>urn:uuid:1</a:Address>"
            "</a:EndpointReference><d:Types>dn:NetworkVideoTransmitter</d:Types>"
            f"<d:Scopes>{scopes}</d:Scopes><d:XAddrs>{services}</d:XAddrs>"
            "<d:MetadataVersion>1</d:MetadataVersion></d:ProbeMatch></d:ProbeMatches>",
            "<a:RelatesTo>{id}</a:RelatesTo>",
        )

    def answer(self, message: bytes, method: str, target: str, authorization: str) -> tuple[int, bytes]:
        """Return status and body."""
        operation = parse(message)[0].tag.rpartition("}")[2]
        self.asked.append(operation)
        if self.silent:
            self._closing.wait(10)
        if self.soap is not None:
            return 200, self.soap
        is_open = operation in ("GetSystemDateAndTime", "GetCapabilities") and self.login == "token"
        if self.password is not None and not is_open:
            if self.login == "http" and not self._is_digest_right(method, target, authorization):
                return 401, b""
            if self.login == "token" and not self._is_token_right(message):
                return 400, _fault("ter:NotAuthorized")
        return self._answer_known(operation, message)

    def _answer_known(self, operation: str, message: bytes) -> tuple[int, bytes]:
        now = datetime.now(timezone.utc) + self.clock_ahead
        if operation == "GetSystemDateAndTime":
            body = (
                f"<tt:UTCDateTime><tt:Time><tt:Hour>{now.hour}</tt:Hour><tt:Minute>{now.minute}</tt:Minute>"
                f"<tt:Second>{now.second}</tt:Second></tt:Time><tt:Date><tt:Year>{now.year}</tt:Year>"
                f"<tt:Month>{now.month}</tt:Month><tt:Day>{now.day}</tt:Day></tt:Date></tt:UTCDateTime>"
            )
            return 200, _response(
                "tds:GetSystemDateAndTime", f"<tds:SystemDateAndTime>{body}</tds:SystemDateAndTime>"
            )
        if operation == "GetCapabilities":
            media = f"<tt:Media><tt:XAddr>{self.url.replace('device', 'media')}</tt:XAddr></tt:Media>"
            return 200, _response("tds:GetCapabilities", f"<tds:Capabilities>{media}</tds:Capabilities>")
        if operation == "GetProfiles":
            return 200, _response(
                "trt:GetProfiles", "".join(f'<trt:Profiles token="{name}"/>' for name in self.streams)
            )
        profile = parse(message).findtext("trt:GetStreamUri/trt:ProfileToken", "", NS)
        uri = self.streams[profile].replace("{address}", self.address).replace("&", "&amp;")
        return 200, _response("trt:GetStreamUri", f"<trt:MediaUri><tt:Uri>{uri}</tt:Uri></trt:MediaUri>")

    def _is_token_right(self, message: bytes) -> bool:
        """WS-Security UsernameToken Profile 1.0, section 3.1, from the camera's side."""
        text = message.decode()
        self.authorizations.append(text)
        parts = {
            name: found[1]
            for name in ("Username", "Password", "Nonce", "Created")
            if (found := re.search(rf":{name}(?: [^>]*)?>([^<]*)<", text))
        }
        if len(parts) < 4 or parts["Username"] != "admin" or parts["Nonce"] in self._nonces:
            return False
        self._nonces.add(parts["Nonce"])
        created = datetime.fromisoformat(parts["Created"].replace("Z", "+00:00"))
        if abs(created - datetime.now(timezone.utc) - self.clock_ahead) > _DIGEST_HOLDS:
            return False
        said = base64.b64decode(parts["Nonce"]) + parts["Created"].encode() + str(self.password).encode()
        return base64.b64decode(parts["Password"]) == hashlib.sha1(said).digest()

    def _is_digest_right(self, method: str, target: str, authorization: str) -> bool:
        """RFC 7616, section 3.4.1."""
        self.authorizations.append(authorization)
        if not authorization.startswith("Digest "):
            return False
        given = parse_keqv_list(parse_http_list(authorization.removeprefix("Digest ")))

        def h(*fields: str) -> str:
            return hashlib.md5(":".join(fields).encode()).hexdigest()

        ha1, ha2 = h("admin", REALM, str(self.password)), h(method, target)
        right = h(ha1, given["nonce"], given["nc"], given["cnonce"], given["qop"], ha2)
        return given["uri"] == target and given["response"] == right


class _Server(WebServer):
    camera: OnvifCamera


class _Handler(KeptOpen):
    server: _Server

    def do_POST(self) -> None:
        message = self.rfile.read(int(self.headers["Content-Length"]))
        authorization = self.headers.get("Authorization", "")
        status, body = self.server.camera.answer(message, "POST", self.path, authorization)
        headers = {"Content-Type": "application/soap+xml"}
        if status == 401:
            nonce = secrets.token_hex(8)
            challenges = f'Basic realm="onvif", Digest realm="{REALM}", qop="auth", nonce="{nonce}"'
            headers["WWW-Authenticate"] = challenges
        self.answer(status, body, headers, chunk_bytes=1000)


def _envelope(body: str, header: str = "") -> bytes:
    names = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in NS.items())
    text = f"<s:Envelope {names}><s:Header>{header}</s:Header><s:Body>{body}</s:Body></s:Envelope>"
    return text.encode()


def _response(operation: str, body: str) -> bytes:
    return _envelope(f"<{operation}Response>{body}</{operation}Response>")


def _fault(code: str) -> bytes:
    subcode = f"<s:Subcode><s:Value>{code}</s:Value></s:Subcode>"
    return _envelope(f"<s:Fault><s:Code><s:Value>s:Sender</s:Value>{subcode}</s:Code></s:Fault>")


def main() -> None:
    """Run `stream-server` where there is one network and a webcam that cannot be opened: the first arguments.

    It searches for `SEARCH_S`.
    """
    interface, webcam = IPv4Interface(sys.argv.pop(1)), WebcamInfo(sys.argv.pop(1), "HD Webcam", None)
    Search.__init__.__defaults__ = (lambda: [interface], lambda: [webcam])
    probe.__defaults__ = (SEARCH_S,)
    cli.main()


if __name__ == "__main__":
    main()
