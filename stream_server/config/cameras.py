"""What is said of a camera: where it is, what is looked for, how it is shown."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from stream_server.base import redaction
from stream_server.config.section import Section
from stream_server.config.source_url import SourceURL, parse_source
from stream_server.config.types import Overlay, Region, Score, Secret, Tiles, Title


class SourceConfig(Section):
    """Where pictures come from and how they are asked for."""

    source: str = Field(
        description="Webcam (`0`, `/dev/video0`, `/dev/v4l/by-id/…`), `rtsp(s)://…`, `http(s)://…` (MJPEG, "
        "JPEG snapshot or `.m3u8`), the path of a video file, `push:` (its pictures are sent to the server), "
        "or `demo:`."
    )
    username: str | None = Field(None, description="User name at the camera; may also stand in the address.")
    password: Secret | None = Field(
        None,
        description="Password at the camera: a string, `{env: NAME}` or `{file: PATH}`. Never shown again.",
    )
    transport: Literal["tcp", "udp"] = Field("tcp", description="RTSP: how the video travels.")
    verify_tls: bool = Field(True, description="https, rtsps: check the camera's certificate.")
    width: int | None = Field(None, ge=16, le=7680, description="Webcam, demo: width to ask for, in pixels.")
    height: int | None = Field(
        None, ge=16, le=4320, description="Webcam, demo: height to ask for, in pixels."
    )
    fps: float | None = Field(
        None,
        ge=0.1,
        le=120,
        description="Webcam, demo: frames per second to ask for. Snapshots: polls per second.",
    )
    realtime: bool = Field(
        True, description="Video file: play at its own speed rather than as fast as possible."
    )
    at_end: Literal["loop", "hold", "stop"] = Field(
        "loop", description="Video file: start again, keep the last picture, or end the stream."
    )
    connect_timeout_s: float = Field(10, ge=1, le=120, description="Seconds to open the camera.")
    read_timeout_s: float = Field(
        10, ge=1, le=120, description="Seconds without a picture until it counts as stalled."
    )

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
                redaction.register_address(source)
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

    @model_validator(mode="after")
    def _register_login(self) -> SourceConfig:
        if self.password:
            redaction.register_login(self.username or "", self.password.get_secret_value())
        return self

    @property
    def url(self) -> SourceURL:
        """The address, told apart by kind; without credentials."""
        return parse_source(self.source)


class MotionConfig(Section):
    """Whether still frames are analysed, and what counts as still."""

    gate: bool = Field(
        False,
        description="Analyse only frames in which something moves. Objects that stopped are kept; a camera "
        "that sees nothing new costs no detection.",
    )
    threshold: int = Field(
        12,
        ge=1,
        le=255,
        description="Least change of brightness of a spot, in levels; where it flickers by itself, more.",
    )
    min_area: float = Field(
        0.0005, ge=0, le=1, description="Least area that must change, as a part of the picture's."
    )
    refresh_s: float = Field(
        5,
        gt=0,
        le=3600,
        description="Seconds until a still frame is analysed, while there are objects in it.",
    )


class DetectConfig(Section):
    """What is looked for in a camera's frames."""

    enabled: bool = Field(True, description="Look for objects at all.")
    model: str | None = Field(None, description="Model for this camera; default: the detector's.")
    fps: float = Field(5, gt=0, le=120, description="Frames analysed per second, at most.")
    weight: float = Field(
        1,
        ge=0.01,
        le=100,
        description="Share of the detector, compared with other cameras', when all want more than there is.",
    )
    max_age_s: float = Field(
        5, gt=0, le=60, description="Seconds after which a frame that had no turn is not analysed any more."
    )
    score_threshold: float | None = Field(
        None, ge=0, le=1, description="Least score; default: the detector's."
    )
    score_thresholds: dict[str, Score] = Field(
        default_factory=dict, description="Least score of single classes, e.g. `{person: 0.6, cat: 0.3}`."
    )
    classes: tuple[str, ...] | None = Field(None, description="Labels to keep; default: the detector's.")
    inside: tuple[Region, ...] = Field(
        (),
        description="Regions where objects count: lists of points `[x, y]`, 0 to 1 of the picture's width "
        "and height, e.g. `[[[0, 0.5], [1, 0.5], [1, 1], [0, 1]]]`, its lower half. An object is where the "
        "middle of its lower edge is. Default: everywhere.",
    )
    ignore: tuple[Region, ...] = Field(
        (), description="Regions, written likewise, where neither objects nor motion count."
    )
    min_width: float = Field(
        0, ge=0, le=1, description="Least width of an object, as a part of the picture's."
    )
    min_height: float = Field(0, ge=0, le=1, description="Least height, likewise.")
    tiles: Tiles | None = Field(
        None,
        description="For small objects: analyse the picture also in columns x rows of overlapping parts, up "
        "to `4x4`. `2x2` costs five detections a frame.",
    )
    motion: MotionConfig = Field(default_factory=MotionConfig, description="See below.")

    @property
    def grid(self) -> tuple[int, int]:
        """Columns and rows of tiles; 1 x 1 is the whole picture alone."""
        columns, rows = (self.tiles or "1x1").split("x")
        return int(columns), int(rows)


class StreamConfig(Section):
    """What viewers get unless their URL says otherwise."""

    fps: float = Field(15, gt=0, le=120, description="Frames per second, at most.")
    width: int | None = Field(None, ge=16, le=7680, description="Width in pixels; default: the camera's.")
    quality: int = Field(80, ge=1, le=100, description="JPEG quality.")
    overlay: Overlay = Field(
        "live",
        description="`live`: every frame, boxes carried to its time; `exact`: analysed frames with their "
        "own boxes; `none`: untouched.",
    )
    labels: bool = Field(True, description="Write label, score and track number at each box.")
    caption: bool = Field(True, description="Write camera name, time and frame rate into the picture.")


class CameraConfig(SourceConfig):
    """One camera."""

    title: Title | None = Field(
        None,
        description="What people call it, in any script, e.g. `Küche` or `前門`: on pages, on the picture "
        "and in the log. Default: its name.",
    )
    enabled: bool = Field(True, description="Show it at all; `false` keeps its settings for later.")
    on_demand: bool = Field(False, description="Open it with the first viewer, close it 10 s after the last.")
    detect: DetectConfig = Field(default_factory=DetectConfig, description="See below.")
    stream: StreamConfig = Field(default_factory=StreamConfig, description="See below.")


def source_of(camera: CameraConfig) -> SourceConfig:
    """Return what a camera's configuration asks of its source, and nothing else."""
    return SourceConfig.model_construct(**{key: getattr(camera, key) for key in SourceConfig.model_fields})
