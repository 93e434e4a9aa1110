"""What to do about a camera that shows no picture, told by what its source said."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from stream_server.cameras.camera import CameraState
from stream_server.config import CameraConfig

_TRIED_AGAIN = "It is tried again by itself."

_ADVICE: tuple[tuple[str, str], ...] = (
    # Credentials.
    (
        r"asks for a user name and password",
        "Set {key}.username and {key}.password to those of an account at the camera.",
    ),
    (
        r"refuses the user name or password",
        "Correct {key}.username or {key}.password; try them at the camera's own page first. A changed one is "
        "used at once; the same one only after minutes, since cameras lock accounts after a few wrong tries.",
    ),
    (r"\(403\)", "At the camera's own page, allow this account to see the live picture."),
    (r"offers no Basic or Digest", "At the camera's own page, switch on Digest authentication."),
    # Before those that have these words too.
    (
        r"the source does not answer",
        "The camera's driver or connection hangs: unplug the camera and plug it in again, or restart it. "
        + _TRIED_AGAIN,
    ),
    # The network.
    (
        r"connection refused",
        "{host} is there, but nothing listens at port {port}: correct the port in {key}.source, or switch "
        "this service on at the camera.",
    ),
    (
        r"no route to host|network is (unreachable|down)|host is (unreachable|down)",
        "No way leads from this machine to {host}: is the camera plugged in, its address in {key}.source "
        "right, and this machine in its network (cable, Wi-Fi, VLAN, VPN)? " + _TRIED_AGAIN,
    ),
    (
        r"no answer within|does not answer|timed out",
        "Nothing answers at {host}: is the camera switched on and plugged in, and still at this address? Try "
        "`ping {host}` on this machine; a firewall between them may also be the cause. " + _TRIED_AGAIN,
    ),
    (
        r"this name is not known|is not a usable host name",
        "No name server knows {host}: correct it in {key}.source, or write the camera's IP address there.",
    ),
    # What answers is not what was expected.
    (
        r"\(404\)|answers 4(?!29)",
        "The camera is there, but has nothing under this path: look up the path in its manual and correct "
        "{key}.source.",
    ),
    (r"answers 50\d|\(5xx\)", "The camera itself is in trouble: restart it. " + _TRIED_AGAIN),
    (
        r"\(429\)|answers 429",
        "Too many programs use this camera at once: close others, or ask less often ({key}.fps). "
        + _TRIED_AGAIN,
    ),
    (
        r"certificate|TLS failed",
        "If this is your own camera, set {key}.verify_tls to false: it takes any certificate. Is the port in "
        "{key}.source one that speaks TLS?",
    ),
    (
        r"does not speak (RTSP|HTTP)",
        "Something else listens at port {port} of {host}: correct the port, or the part before `://`, in "
        "{key}.source.",
    ),
    (r"sends PNG parts", "At the camera's own page, choose JPEG (MJPEG) for this stream."),
    (
        r"the camera sends|is no JPEG|the camera's picture is",
        "{key}.source has to be the address of the picture or stream itself, not of the page that shows it.",
    ),
    (
        r"codec .* is not supported|(carries|names) no video|hold no picture|not a playlist of H\.264",
        "At the camera's own page, choose H.264, H.265 or MJPEG for this stream.",
    ),
    (
        r"\(400\)|\(4xx\)",
        "Try the other {key}.transport, tcp or udp, and look up the path in the camera's manual.",
    ),
    (r"redirects", "Write the address it leads to into {key}.source."),
    (
        r" is longer than ",
        "At the sender, choose smaller pictures, shorter segments or a lower bit rate.",
    ),
    (
        r"not a playlist|a playlist names itself|lead to other playlists|the playlist leads to",
        "{key}.source has to be the address of a playlist that leads to segments of video: look it up at the "
        "sender, and try it in another player.",
    ),
    (
        r"which is not supported over RTSP",
        "At the camera's own page, choose Digest with MD5, or Basic, for RTSP.",
    ),
    (r"encrypted", "At the sender, switch the encryption of the segments off."),
    (
        r"crashed the server",
        "Its pictures hit a fault in a decoder, which ends the server's worker for a moment: report it with "
        "the lines of the log. It is tried again once its settings are changed, or the server is started "
        "again; another codec or resolution at the camera's own page may do.",
    ),
    # What came, and then did not.
    # Webcams.
    (
        r"is unplugged",
        "Plug it in again; it is found by itself, at whatever port.",
    ),
    (
        r"no permission to open",
        "Add the user that runs stream-server to the group video (`sudo usermod -aG video USER`), then start "
        "it again.",
    ),
    (r"is in use", "Close the program that uses the webcam. " + _TRIED_AGAIN),
    (r"there is no webcam|is no camera", "Plug a webcam in, or set {key}.source to one that is found."),
    # Files.
    (r"no such file|not a file", "Put the file there, or correct {key}.source."),
    (r"permission denied", "Let the user that runs stream-server read it (`chmod`, `chown`)."),
    (r"cannot open", "Look whether the user that runs stream-server can read the file."),
    (
        r"cannot play|no picture that can be decoded",
        "Play the file elsewhere to see whether it is damaged; convert it to MP4.",
    ),
    (r"the demo's picture", "Install the package again."),
    (
        r"internal error",
        "This is a fault of stream-server: please report it with the lines of its log. " + _TRIED_AGAIN,
    ),
    # Last, as several of those above have these words too.
    (
        r"no (picture|data|new segment) for|but (sends )?no picture",
        "The camera is connected but sends no picture: look at its Wi-Fi or cable, restart it, or lower its "
        "bit rate. " + _TRIED_AGAIN,
    ),
    (
        r"connection was lost|ended the stream|closed the connection|connection reset|broken pipe",
        "If this happens often, look at the camera's Wi-Fi or cable, and how many programs may watch it at "
        "once. " + _TRIED_AGAIN,
    ),
)
"""Of those whose pattern is found in the reason, the first."""

_UNKNOWN = "Look at {key} in the configuration, and whether the camera works elsewhere. " + _TRIED_AGAIN


def advice_for(name: str, config: CameraConfig, state: CameraState, reason: str) -> str:
    """Return what to do about a camera that is in `state` because of `reason`, in a sentence or two."""
    if state == "stalled" and config.source.startswith("rtsp") and config.transport == "udp":
        return f"Set cameras.{name}.transport to tcp: pictures get lost on their way. {_TRIED_AGAIN}"
    found = (advice for pattern, advice in _ADVICE if re.search(pattern, reason, re.IGNORECASE))
    return next(found, _UNKNOWN).format(name=name, key=f"cameras.{name}", **_where(config.source))


def _where(source: str) -> dict[str, str | int]:
    """Return host and port of a camera's address, for those that have them."""
    url = urlsplit(source) if "://" in source else None
    if url is None:
        return {"host": "the camera", "port": ""}
    default = {"rtsp": 554, "rtsps": 322, "https": 443}.get(url.scheme, 80)
    return {"host": url.hostname or "the camera", "port": url.port or default}
