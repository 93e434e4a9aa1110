"""Pictures of a camera that shows one JPEG at a time: asked for again and again."""

from __future__ import annotations

import time
from collections.abc import Callable
from http import HTTPStatus

from stream_server.errors import AuthenticationFailed, ImageError, SourceError
from stream_server.media.frames import Picture
from stream_server.media.image_decoding import picture_of_image
from stream_server.media.jpeg import SOI, picture_of
from stream_server.media.mjpeg_parser import MAX_PART_BYTES, MjpegParser
from stream_server.net.http_client import Answer, CameraClient
from stream_server.sources.pacing import SLICE_S

DEFAULT_FPS = 2.0
"""Polls per second where the configuration says none: what a still camera's small web server stands, and
enough to see someone walk by."""
BLANKS = b" \t\r\n"
"""What some cameras send before a picture."""
MAX_FAILURES = 3
"""So many polls in a row that give no picture are a lost camera. Fewer are what small web servers do."""


class Pace:
    """When a camera is to be asked for the next picture."""

    def __init__(self, fps: float | None) -> None:
        """fps: polls per second; None: `DEFAULT_FPS`."""
        self.fps = fps or DEFAULT_FPS
        self._due = time.monotonic() + 1 / self.fps

    def wait(self, client: CameraClient) -> bool:
        """Wait until it is time to ask again, but no longer than SLICE_S; return whether it is."""
        wait_s = self._due - time.monotonic()
        client.pause(min(wait_s, SLICE_S))
        if wait_s > SLICE_S:
            return False
        self._due = max(self._due + 1 / self.fps, time.monotonic())
        return True


class Patience:
    """Bears single failures of a camera that is polled."""

    def __init__(self, client: CameraClient, patience_s: float, *, has_shown: bool = False) -> None:
        """patience_s: how long polls may fail. has_shown: whether it showed a picture already."""
        self._client = client
        self._patience_s = patience_s
        self._has_shown = has_shown
        self._in_a_row = 0
        self._failing_since = 0.0
        self.failures = 0

    def poll(self, ask: Callable[[], Picture | None]) -> Picture | None:
        """Return what `ask` does, None where it fails this once.

        Raises SourceError and TimeoutError for the first poll, and where polls fail again and again;
        AuthenticationFailed always: asking on would lock the account.
        """
        asked_at = time.monotonic()
        try:
            picture = ask()
        except AuthenticationFailed:
            raise
        except (SourceError, TimeoutError):
            if self._is_lost(asked_at):
                raise
            self._client.close()
            return None
        self._in_a_row, self._has_shown = 0, True
        return picture

    def _is_lost(self, asked_at: float) -> bool:
        """Count the failure of what was asked for then; return whether it is one too many."""
        self.failures += 1
        if not self._in_a_row:
            self._failing_since = asked_at
        self._in_a_row += 1
        failing_s = time.monotonic() - self._failing_since
        is_patient = self._in_a_row < MAX_FAILURES and failing_s < self._patience_s
        return not (self._has_shown and is_patient)


class SnapshotPoller:
    """Asks at an even pace, and only for what changed where the camera can tell (RFC 9110, section 13)."""

    def __init__(self, client: CameraClient, answer: Answer, fps: float | None, patience_s: float) -> None:
        """answer: the first one, its body unread.

        patience_s: seconds for which polls may fail until the camera is lost.
        """
        self._client = client
        self._answer: Answer | None = answer
        self._pace = Pace(fps)
        self._conditions: dict[str, str] = {}
        self._body: bytes | None = None
        self._patience = Patience(client, patience_s)
        self.description = f"JPEG snapshots ({self._pace.fps:g}/s)"

    def wait(self) -> bool:
        """Wait until it is time to ask again, but no longer than SLICE_S; return whether it is."""
        return self._answer is not None or self._pace.wait(self._client)

    @property
    def rejected(self) -> int:
        """Polls that failed."""
        return self._patience.failures

    def read(self) -> Picture | None:
        """Return the picture, None when it is still the one before, or could not be had this once.

        Raises what `Patience.poll` does.
        """
        return self._patience.poll(self._poll)

    def _poll(self) -> Picture | None:
        answer, self._answer = self._answer or self._client.get(self._conditions), None
        body = answer.read_whole(MAX_PART_BYTES, "picture")
        if answer.status == HTTPStatus.NOT_MODIFIED or body == self._body:
            return None
        try:
            picture = _picture_in(body)
        except ImageError as exc:
            raise SourceError(f"the camera's picture is {str(exc).removeprefix('is ')}") from exc
        self._body = body
        self._conditions = _conditions(answer)
        return picture


def _picture_in(body: bytes) -> Picture:
    """Return the picture that is `body`, whatever it is called: itself, or the one part of a multipart.

    Raises ImageError.
    """
    body = body.lstrip(BLANKS)
    if not body.startswith(SOI) and (jpegs := MjpegParser(None).feed(body)):
        body = jpegs[0]
    return picture_of(body) if body.startswith(SOI) else picture_of_image(body)


def _conditions(answer: Answer) -> dict[str, str]:
    """Return the headers that ask for a picture newer than `answer`."""
    validators = (("ETag", "If-None-Match"), ("Last-Modified", "If-Modified-Since"))
    return {asks: value for says, asks in validators if (value := answer.headers.get(says))}
