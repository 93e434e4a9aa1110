"""Pictures of a camera that shows one JPEG at a time: asked for again and again."""

from __future__ import annotations

import time
from http import HTTPStatus

from stream_server.errors import ImageError, SourceError
from stream_server.frames import Picture
from stream_server.jpeg import picture_of
from stream_server.sources.http_client import Answer, CameraClient
from stream_server.sources.mjpeg import MAX_PART_BYTES
from stream_server.sources.pacing import SLICE_S

DEFAULT_FPS = 2.0
"""Polls per second where the configuration says none: what a still camera's small web server stands, and
enough to see someone walk by."""


class SnapshotPoller:
    """Asks at an even pace, and only for what changed where the camera can tell (RFC 9110, section 13)."""

    def __init__(self, client: CameraClient, answer: Answer, fps: float | None) -> None:
        """answer: the first one, its body unread."""
        self._client = client
        self._answer: Answer | None = answer
        self._interval_s = 1 / (fps or DEFAULT_FPS)
        self._due = time.monotonic() + self._interval_s
        self._conditions: dict[str, str] = {}
        self._jpeg: bytes | None = None
        self.description = f"JPEG snapshots ({fps or DEFAULT_FPS:g}/s)"
        self.rejected = 0

    def wait(self) -> bool:
        """Wait until it is time to ask again, but no longer than SLICE_S; return whether it is."""
        if self._answer is not None:
            return True
        wait_s = self._due - time.monotonic()
        self._client.pause(min(wait_s, SLICE_S))
        if wait_s > SLICE_S:
            return False
        self._due = max(self._due + self._interval_s, time.monotonic())
        return True

    def read(self) -> Picture | None:
        """Return the picture, None when it is still the one before. Raises SourceError, TimeoutError."""
        answer, self._answer = self._answer or self._client.get(self._conditions), None
        jpeg = answer.read_whole(MAX_PART_BYTES, "picture")
        if answer.status == HTTPStatus.NOT_MODIFIED or jpeg == self._jpeg:
            return None
        try:
            picture = picture_of(jpeg)
        except ImageError as exc:
            self.rejected += 1
            raise SourceError(f"the camera's picture is {exc}") from exc
        self._jpeg = jpeg
        self._conditions = _conditions(answer)
        return picture


def _conditions(answer: Answer) -> dict[str, str]:
    """Return the headers that ask for a picture newer than `answer`."""
    validators = (("ETag", "If-None-Match"), ("Last-Modified", "If-Modified-Since"))
    return {asks: value for says, asks in validators if (value := answer.headers.get(says))}
