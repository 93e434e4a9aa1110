"""The configuration: YAML to checked models. The only place with defaults."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from stream_server import secrets
from stream_server.errors import ConfigError
from stream_server.source_url import SourceURL, parse_source

Overlay = Literal["live", "exact", "none"]

CAMERA_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def _read_secret(value: object) -> object:
    """Return the secret meant by a plain string, `{env: NAME}` or `{file: PATH}`."""
    if isinstance(value, dict) and len(value) == 1:
        (where, name), = value.items()
        if where == "env":
            if name not in os.environ:
                raise ValueError(f"the environment variable {name} is not set")
            value = os.environ[name]
        elif where == "file":
            try:
                value = Path(name).read_text(encoding="utf-8").rstrip("\r\n")
            except OSError as exc:
                raise ValueError(f"cannot read {name}: {exc.strerror}") from None
    if isinstance(value, dict):
        raise ValueError("expected a string, {env: NAME} or {file: PATH}")
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if isinstance(value, str):
        secrets.register(value)
    return value


Secret = Annotated[SecretStr, BeforeValidator(_read_secret)]


class SourceConfig(_Model):
    """Where pictures come from and how they are asked for."""

    source: str = Field(
        description="Webcam (`0`, `/dev/video0`, `/dev/v4l/by-id/…`), `rtsp(s)://…`, `http(s)://…` (MJPEG, JPEG "
        "snapshot or `.m3u8`), the path of a video file, or `demo:`."
    )
    username: str | None = Field(None, description="User name at the camera; may also stand in the address.")
    password: Secret | None = Field(
        None, description="Password at the camera: a string, `{env: NAME}` or `{file: PATH}`. Never shown again."
    )
    transport: Literal["tcp", "udp"] = Field("tcp", description="RTSP: how the video travels.")
    verify_tls: bool = Field(True, description="https, rtsps: check the camera's certificate.")
    width: int | None = Field(None, ge=16, le=7680, description="Webcam, demo: width to ask for, in pixels.")
    height: int | None = Field(None, ge=16, le=4320, description="Webcam, demo: height to ask for, in pixels.")
    fps: float | None = Field(
        None, ge=0.1, le=120, description="Webcam, demo: frames per second to ask for. Snapshots: polls per second."
    )
    realtime: bool = Field(True, description="Video file: play at its own speed rather than as fast as possible.")
    at_end: Literal["loop", "hold", "stop"] = Field(
        "loop", description="Video file: start again, keep the last picture, or end the stream."
    )
    connect_timeout_s: float = Field(10, ge=1, le=120, description="Seconds to open the camera.")
    read_timeout_s: float = Field(10, ge=1, le=120, description="Seconds without a picture until it counts as stalled.")

    @model_validator(mode="before")
    @classmethod
    def _split_credentials(cls, data: Any) -> Any:
        """Take credentials out of the address, so that the address may be shown anywhere."""
        if not isinstance(data, dict):
            return data
        data = dict(data)
        source = data.get("source")
        if isinstance(source, int) and not isinstance(source, bool):
            data["source"] = str(source)
        elif isinstance(source, str):
            try:
                url = parse_source(source)
            except ValueError:
                return data  # the field's own validator reports it
            if url.kind in ("rtsp", "http", "hls"):
                data["source"] = url.address
            for key, value in (("username", url.username), ("password", url.password)):
                if value is not None:
                    data.setdefault(key, value)
        return data

    @field_validator("source")
    @classmethod
    def _check_source(cls, value: str) -> str:
        parse_source(value)
        return value

    @property
    def url(self) -> SourceURL:
        """The address, told apart by kind; without credentials."""
        return parse_source(self.source)


class DetectConfig(_Model):
    """What is looked for in a camera's frames."""

    enabled: bool = Field(True, description="Look for objects at all.")
    fps: float = Field(5, gt=0, le=120, description="Frames analysed per second, at most.")
    score_threshold: float | None = Field(None, ge=0, le=1, description="Least score; default: the detector's.")
    classes: tuple[str, ...] | None = Field(None, description="Labels to keep; default: the detector's.")


class StreamConfig(_Model):
    """What viewers get unless their URL says otherwise."""

    fps: float = Field(15, gt=0, le=120, description="Frames per second, at most.")
    width: int | None = Field(None, ge=16, le=7680, description="Width in pixels; default: the camera's.")
    quality: int = Field(80, ge=1, le=100, description="JPEG quality.")
    overlay: Overlay = Field(
        "live",
        description="`live`: every frame, boxes carried to its time; `exact`: analysed frames with their own boxes; "
        "`none`: untouched.",
    )
    labels: bool = Field(True, description="Write label, score and track number at each box.")
    caption: bool = Field(True, description="Write camera name, time and frame rate into the picture.")


class CameraConfig(SourceConfig):
    """One camera."""

    on_demand: bool = Field(False, description="Open it with the first viewer, close it 10 s after the last.")
    detect: DetectConfig = Field(default_factory=lambda: DetectConfig(), description="See below.")
    stream: StreamConfig = Field(default_factory=lambda: StreamConfig(), description="See below.")


class ServerConfig(_Model):
    """Where and for how many the server listens."""

    host: str = Field("127.0.0.1", description="Address to listen on; `0.0.0.0` is every network.")
    port: int = Field(8080, ge=0, le=65535, description="TCP port; 0 takes a free one.")
    threads: int = Field(8, ge=1, le=64, description="Threads kept free for pages, API and health.")
    max_viewers: int = Field(200, ge=1, le=10000, description="Streams watched at once; more get 503.")


class DetectorConfig(_Model):
    """The model and the workers that run it."""

    model: str = Field("centernet-mobilenetv3", description="Name of a known model or path of a `.tflite` file.")
    workers: int | Literal["auto"] = Field("auto", description="Detector processes; `auto`: one a core, 0: none.")
    score_threshold: float = Field(0.4, ge=0, le=1, description="Least score of what is shown.")
    iou_threshold: float = Field(0.5, ge=0, le=1, description="Overlap above which two boxes of a class are one.")
    classes: tuple[str, ...] | None = Field(None, description="Labels to keep, e.g. `[person, car]`; default: all.")
    max_detections: int = Field(100, ge=1, le=1000, description="Most objects reported per frame.")
    timeout_s: float = Field(10, gt=0, le=300, description="Seconds for one image until its worker is replaced.")

    @field_validator("workers")
    @classmethod
    def _check_workers(cls, value: int | str) -> int | str:
        if isinstance(value, int) and not 0 <= value <= 64:
            raise ValueError("expected auto or 0 to 64")
        return value


class Config(_Model):
    """Everything a run needs to know."""

    server: ServerConfig = Field(default_factory=lambda: ServerConfig())
    detector: DetectorConfig = Field(default_factory=lambda: DetectorConfig())
    cameras: dict[str, CameraConfig] = Field(default_factory=dict)

    @field_validator("cameras")
    @classmethod
    def _check_names(cls, cameras: dict[str, CameraConfig]) -> dict[str, CameraConfig]:
        for name in cameras:
            if not CAMERA_NAME.match(name):
                raise ValueError(
                    f"the camera name {name!r} is not usable; expected letters, digits, '-' and '_', 64 at most"
                )
        return cameras
