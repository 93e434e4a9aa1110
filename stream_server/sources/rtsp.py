"""RTSP cameras: H.264, H.265 and others over TCP, UDP or TLS."""

from __future__ import annotations

import socket
import ssl
from urllib.parse import quote, urlsplit

import av
from av.container import InputContainer

from stream_server.errors import AuthenticationFailed, SourceError
from stream_server.media.av_opening import TimeLeft, open_input
from stream_server.sources.av_live import SLICE_S, LiveSource, error_name
from stream_server.sources.rtsp_auth import ask_challenges, unanswered

_DEFAULT_PORTS = {"rtsp": 554, "rtsps": 322}
_PROBE_TIMEOUT_S = 2.0

_OPTIONS = {
    "allowed_media_types": "video",
    # How much is looked at before the first picture: FFmpeg's defaults take 1.2 s of a camera that has said
    # all in its SDP, these 0.1 s (320x240 to 1280x720, H.264 and H.265).
    "analyzeduration": "100000",
    "probesize": "32768",
}

_ANSWERS: dict[type[Exception], str] = {
    av.error.HTTPBadRequestError: "the camera does not understand the request (400)",
    av.error.HTTPNotFoundError: "the camera has no stream under this path (404)",
    av.error.HTTPTooManyRequestsError: "the camera has too many requests (429)",
    av.error.HTTPOtherClientError: "the camera refuses (4xx): is there video at this path, by {transport}?",
    av.error.HTTPServerError: "the camera reports an error of its own (5xx)",
}


class RTSPSource(LiveSource):
    """An RTSP camera. Its time stamps are not used: cameras' clocks jump."""

    @property
    def _protocol(self) -> str:
        scheme = self._config.source.partition(":")[0].upper()
        return f"{scheme}/{self._config.transport.upper()}"

    def _connect(self) -> InputContainer:
        self._left = TimeLeft(self._config.connect_timeout_s)
        return open_input(
            self._url_with_credentials(),
            "rtsp",
            self._options(),
            timeout=(self._left, min(SLICE_S, self._config.read_timeout_s)),
        )

    def _options(self) -> dict[str, str]:
        options = {**_OPTIONS, "rtsp_transport": self._config.transport, "protocol_whitelist": "tcp"}
        if self._config.transport == "udp":
            options["protocol_whitelist"] += ",udp,rtp"
        if self._is_tls:
            options["protocol_whitelist"] += ",tls"
            options["tls_verify"] = str(int(self._config.verify_tls))
            if bundle := ssl.get_default_verify_paths().cafile:
                options["ca_file"] = bundle
        return options

    @property
    def _is_tls(self) -> bool:
        return self._config.source.startswith("rtsps:")

    def _url_with_credentials(self) -> str:
        """Return the address as only FFmpeg may see it."""
        username, password = self._config.username, self._config.password
        if username is None and password is None:
            return self._config.source
        secret = password.get_secret_value() if password else ""
        scheme, _, rest = self._config.source.partition("://")
        return f"{scheme}://{quote(username or '', safe='')}:{quote(secret, safe='')}@{rest}"

    def _explain(self, exc: Exception, elapsed_s: float) -> SourceError:
        if isinstance(exc, av.error.HTTPUnauthorizedError):
            if self._config.username is None and self._config.password is None:
                return AuthenticationFailed("the camera asks for a user name and password")
            return self._refused()
        if isinstance(exc, av.error.HTTPForbiddenError):
            return AuthenticationFailed("the camera forbids this user to see the stream (403)")
        if answer := _ANSWERS.get(type(exc)):
            return SourceError(answer.format(transport=self._config.transport.upper()))
        url = urlsplit(self._config.source)
        if elapsed_s >= self._config.connect_timeout_s:
            return SourceError(f"{url.netloc}: no answer within {self._config.connect_timeout_s:g} s")
        return SourceError(f"{url.netloc}: {self._cause(exc)}")

    def _refused(self) -> SourceError:
        """Return why credentials did not do; where none were sent, the camera locks no account."""
        host, port = self._server
        tls = self._tls_context() if self._is_tls else None
        what = unanswered(ask_challenges(self._config.source, host, port, tls, self._probe_timeout_s))
        if what:
            return SourceError(
                f"the camera wants {what}, which is not supported over RTSP, so no password was sent; "
                "have it offer Digest by MD5 alone, or Basic"
            )
        return AuthenticationFailed("the camera refuses the user name or password")

    @property
    def _probe_timeout_s(self) -> float:
        """Seconds for a look of our own, out of those to connect."""
        return min(_PROBE_TIMEOUT_S, float(self._left))

    @property
    def _server(self) -> tuple[str, int]:
        url = urlsplit(self._config.source)
        return url.hostname or "", url.port or _DEFAULT_PORTS[url.scheme]

    def _tls_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if not self._config.verify_tls:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def _cause(self, exc: Exception) -> str:
        """Return why there is no RTSP; FFmpeg has one error for many causes, so look for ourselves."""
        if isinstance(exc, ConnectionError):
            return error_name(exc)
        try:
            socket.create_connection(self._server, timeout=self._probe_timeout_s).close()
        except TimeoutError:
            return "does not answer"
        except socket.gaierror:
            return "this name is not known"
        except OSError as error:
            return error_name(error)
        if self._is_tls:
            return "TLS failed; `verify_tls: false` takes any certificate"
        return f"does not speak RTSP ({error_name(exc)})"
