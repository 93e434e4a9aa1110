"""A camera's addresses as other programs take them: lines to copy from its page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from flask import url_for
from markupsafe import escape

CLOCK = "-use_wallclock_as_timestamps 1"
"""FFmpeg takes 25 pictures a second for granted else."""


@dataclass(frozen=True, slots=True)
class Snippet:
    """What is copied. name: an element's id. heading: what it is, for people."""

    name: str
    heading: str
    text: str


@dataclass(frozen=True, slots=True)
class Use:
    """One program, with what is to be known about it and what is to be copied."""

    name: str
    about: str
    snippets: tuple[Snippet, ...]


@dataclass(frozen=True, slots=True)
class _Addresses:
    """A camera's addresses, whole.

    title: what people call the camera, as HTML takes it. needs_token: whether a token has to be shown.
    """

    camera: str
    title: str
    stream: str
    snapshot: str
    page: str
    script: str
    detections: str
    needs_token: bool

    def by_token(self, address: str, token: str) -> str:
        """Return an address with the token in it, where one is needed."""
        return f"{address}?token={token}" if self.needs_token else address

    def in_shell(self, address: str) -> str:
        """Return an address as a shell takes it, with the token from a variable."""
        return '"' + self.by_token(address, "$TOKEN") + '"'


def uses(camera: str, title: str, *, needs_token: bool) -> tuple[Use, ...]:
    """Return what there is to copy for a camera, at the address by which the current request came."""
    to = _Addresses(
        camera=camera,
        title=str(escape(title)),
        stream=url_for("streaming.stream", camera=camera, _external=True),
        snapshot=url_for("streaming.snapshot", camera=camera, _external=True),
        page=url_for("embed.page", camera=camera, _external=True),
        script=url_for("static", filename="embed.js", _external=True),
        detections=url_for("api.show_camera", camera=camera, _external=True),
        needs_token=needs_token,
    )
    makers = (_web_page, _home_assistant, _grafana, _vlc, _ffmpeg, _opencv, _curl)
    return tuple(maker(to) for maker in makers)


def _web_page(to: _Addresses) -> Use:
    stream, page = to.by_token(to.stream, "TOKEN"), to.by_token(to.page, "TOKEN")
    token = ' data-token="TOKEN"' if to.needs_token else ""
    return Use(
        "A web page",
        "An image works everywhere. The player comes back by itself after a restart; pages of other sites "
        "may have it, and the frame, once server.embed_origins names them.",
        (
            Snippet("img", "Image", f'<img src="{stream}" alt="{to.title}">'),
            Snippet(
                "player", "Player", f'<script src="{to.script}" data-camera="{to.camera}"{token}></script>'
            ),
            Snippet(
                "frame",
                "Frame",
                f'<iframe src="{page}" title="{to.title}" width="640" height="360"></iframe>',
            ),
        ),
    )


def _home_assistant(to: _Addresses) -> Use:
    login = {"Username": "token", "Password": "TOKEN"} if to.needs_token else {}
    return Use(
        "Home Assistant",
        "Cameras are added by forms: Settings, Devices & services, Add integration. This is what to fill in. "
        "Sensors stand in configuration.yaml.",
        (
            _form(
                "mjpeg-camera",
                "MJPEG IP Camera",
                {"MJPEG URL": to.stream, "Still image URL": to.snapshot} | login,
            ),
            _form(
                "generic-camera",
                "Generic Camera",
                {"Still image URL": to.snapshot, "Authentication": "basic", "Frame rate (Hz)": "2"} | login,
            ),
            Snippet("sensor", "Sensor: how many persons", _sensor(to)),
        ),
    )


def _form(name: str, heading: str, fields: Mapping[str, str]) -> Snippet:
    return Snippet(name, heading, "\n".join(f"{field}: {value}" for field, value in fields.items()))


def _sensor(to: _Addresses) -> str:
    token = ["    headers:", "      Authorization: Bearer TOKEN"] if to.needs_token else []
    lines = [
        "rest:",
        f"  - resource: {to.detections}",
        *token,
        "    scan_interval: 5",
        "    sensor:",
        f"      - name: {to.camera} persons",
        "        state_class: measurement",
        '        value_template: "{{ value_json.objects.person | default(0) }}"',
    ]
    return "\n".join(lines)


def _grafana(to: _Addresses) -> Use:
    stream = to.by_token(to.stream, "TOKEN")
    return Use(
        "Grafana",
        "Add a panel of the kind Text, with the mode HTML. The browser loads the picture, so it must reach "
        "this address.",
        (Snippet("grafana", "Text panel", f'<img src="{stream}" alt="{to.title}" width="100%">'),),
    )


def _vlc(to: _Addresses) -> Use:
    return Use(
        "VLC",
        "Or in VLC: Media, Open Network Stream, with the address alone.",
        (Snippet("vlc", "Command line", f"vlc {to.in_shell(to.stream)}"),),
    )


def _ffmpeg(to: _Addresses) -> Use:
    header = ' -headers "Authorization: Bearer $TOKEN"' if to.needs_token else ""
    source = f'{header} -i "{to.stream}"'
    return Use(
        "FFmpeg",
        "What is recorded has each frame at the time at which it arrived.",
        (
            Snippet("ffplay", "Watch", f"ffplay -f mpjpeg{source}"),
            Snippet(
                "ffmpeg", "Record ten seconds", f"ffmpeg -f mpjpeg {CLOCK}{source} -t 10 {to.camera}.mp4"
            ),
        ),
    )


def _opencv(to: _Addresses) -> Use:
    address = json.dumps(to.stream)
    lines = [
        "import cv2",
        "",
        f"stream = cv2.VideoCapture({address})",
        "while True:",
        "    is_read, frame = stream.read()",
        "    if not is_read:",
        "        break",
        "    print(frame.shape)",
    ]
    if to.needs_token:
        lines[0] = "import os\n\nimport cv2"
        lines[2] = f'stream = cv2.VideoCapture({address} + "?token=" + os.environ["TOKEN"])'
    return Use(
        "Python (OpenCV)",
        "Each frame is an array of BGR pixels.",
        (Snippet("opencv", "Python", "\n".join(lines)),),
    )


def _curl(to: _Addresses) -> Use:
    header = ' -H "Authorization: Bearer $TOKEN"' if to.needs_token else ""
    return Use(
        "curl",
        "The newest picture, and how the camera is doing.",
        (
            Snippet("curl-picture", "Picture", f'curl -f{header} -o {to.camera}.jpg "{to.snapshot}"'),
            Snippet("curl-state", "State, as JSON", f'curl -f{header} "{to.detections}"'),
        ),
    )
