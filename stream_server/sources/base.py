"""What every way to get frames has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from stream_server.config import SourceConfig
from stream_server.media.frames import Picture
from stream_server.net.http_auth import Credentials

if TYPE_CHECKING:
    pass


class Source(ABC):
    """One way to get pictures. Owned by one thread: `open`, `read` and `close` are called from it alone."""

    #: Width and height the source reports once open, (0, 0) while unknown.
    size_wh: tuple[int, int] = (0, 0)
    #: What the source says about itself once open, e.g. "H.264 over RTSP/TCP", "MJPEG over HTTP".
    description: str = ""

    @property
    def decode_errors(self) -> int:
        """Pictures since it was opened that were broken, or predicted from one that was; only grows."""
        return 0

    @abstractmethod
    def open(self) -> None:
        """Open it; returns when pictures can be read, at the latest after the configured connect timeout.

        Raises SourceError with the cause in one line (no credentials), AuthenticationFailed for 401/403.
        """

    @abstractmethod
    def read(self, wanted: bool = True) -> Picture | None:
        """Wait for the next picture and return it.

        wanted: False when nobody will look at it; a source that can, saves itself the decoding.
        Returns None when the source lives but has no whole picture to give (a packet passed undecoded, a
        snapshot that has not changed).

        Raises SourceError when the connection is lost or silent for longer than the configured read timeout,
        SourceEnded after the last picture of a finite source.
        """

    @abstractmethod
    def close(self) -> None:
        """Release the device or connection; may be called twice and from any state."""

    def interrupt(self) -> None:  # noqa: B027 - optional
        """Make a blocked `open` or `read` return soon; the one method other threads may call."""


def credentials_of(config: SourceConfig) -> Credentials | None:
    """Return the user name and password of `config`, None where it has neither."""
    if config.username is None and config.password is None:
        return None
    return Credentials(config.username or "", config.password.get_secret_value() if config.password else "")
