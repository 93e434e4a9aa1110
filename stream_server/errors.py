"""The server's error tree; `web/app.py` maps it to status codes, `cli/main.py` to exit codes."""

from __future__ import annotations

from http import HTTPStatus
from typing import ClassVar

from detector.errors import DetectorError


class StreamServerError(Exception):
    """Anything the product reports in one line, without a traceback."""


def reason_of(error: BaseException) -> str:
    """Return in one line why something failed that nobody expected to."""
    if isinstance(error, (StreamServerError, DetectorError)):
        return str(error)
    if isinstance(error, MemoryError):
        return "there is not enough memory"
    if isinstance(error, OSError) and error.strerror:
        name = f"{error.filename}: " if isinstance(error.filename, str) else ""
        return f"{name}{error.strerror.lower()}"
    return " ".join(f"{type(error).__name__}: {error}".split())


class ConfigError(StreamServerError):
    """A setting is wrong; the message names its key, the value and what would be right."""


class SourceError(StreamServerError):
    """A camera cannot be opened or read; `reason` is one line, free of credentials."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class AuthenticationFailed(SourceError):
    """The camera refused the credentials (401, 403); retrying soon would lock the account."""


class SourceWaiting(SourceError):
    """A source to which pictures are sent gets none now, which is nobody's fault."""


class SourceEnded(SourceError):
    """A finite source has no more frames."""


class ImageError(StreamServerError):
    """Bytes that should be an image are not, or are one that is refused.

    status: of the HTTP answer. limit: the one that was exceeded, None where it is none. field: where in the
    request the image is, None where there is no other.
    """

    status: ClassVar[HTTPStatus] = HTTPStatus.BAD_REQUEST

    def __init__(self, reason: str, limit: int | None = None) -> None:
        super().__init__(reason)
        self.limit = limit
        self.field: str | None = None

    def __str__(self) -> str:
        return f"{self.field}: {super().__str__()}" if self.field else super().__str__()


class ImageTooLarge(ImageError):
    """It has more bytes or pixels than are taken."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class UnsupportedImage(ImageError):
    """It is no picture, or of a kind that is not taken."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


class OptionError(StreamServerError):
    """What is asked about a picture cannot be, e.g. a class that the model does not know.

    field: its name. limit: the one that was exceeded, None where it is none.
    """

    def __init__(self, field: str, reason: str, limit: int | None = None) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.limit = limit


class EncodeError(StreamServerError):
    """An image could not be made into a JPEG."""


class LimitError(StreamServerError):
    """A limit of the server is reached; try again later."""


class UnknownCamera(StreamServerError):
    """There is no camera of this name, or there is none any more."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no camera {name!r}")


class SettingsConflict(StreamServerError):
    """Settings cannot be changed, or not this way: one line says why, and what to do."""


class StorageError(StreamServerError):
    """There is no room for it on the disk, or in what is allowed of it."""


class JobError(StreamServerError):
    """A video cannot be annotated; the reason is one line, free of the server's paths."""


class VideoTooLarge(JobError):
    """It has more bytes than are taken; limit: how many are."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the video is too large, at most {limit} bytes are taken (videos.max_bytes)")
        self.limit = limit


class UploadConflict(JobError):
    """Bytes of an upload that do not continue what is there."""


class SenderThere(StreamServerError):
    """Somebody sends pictures to this camera already."""


class ClientLimitError(LimitError):
    """A limit of one client is reached."""


class AccountsError(StreamServerError):
    """A user or token is not as asked for, or the database of accounts cannot be used."""
