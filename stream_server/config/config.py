"""The configuration: YAML to checked models. The only place with defaults."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from detector.catalog import find_model, is_known
from detector.labels.files import BUILT_IN
from detector.model_file import Channels, HeadName, ModelFile, Resize
from stream_server.base import redaction
from stream_server.config.addresses import Host, HostOrNetwork, Network, Origin, PublicURL
from stream_server.config.source_url import SourceURL, parse_source
from stream_server.config.text import compose, read_yaml
from stream_server.config.validation import explain_errors
from stream_server.errors import ConfigError
from stream_server.regions import Point, check_polygon

Overlay = Literal["live", "exact", "none"]
NeededCameras = Literal["none", "any", "all"]

_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_CAMERA_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def _check_name(name: object) -> str:
    """Return the camera's name; it stands in URLs and log lines."""
    if not _CAMERA_NAME.fullmatch(str(name)):
        raise ValueError("expected a camera name of letters, digits, '-' and '_', 64 at most")
    return str(name)


CameraName = Annotated[str, BeforeValidator(_check_name)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _fill_empty_sections(cls, data: Any) -> Any:
        """Take a section without keys (all commented out: YAML's null) for one that keeps the defaults."""
        if not isinstance(data, dict):
            return data
        sections = {name for name, field in cls.model_fields.items() if field.default_factory}
        return {key: value for key, value in data.items() if value is not None or key not in sections}


def _read_secret(value: object) -> object:
    """Return the secret meant by a plain string, `{env: NAME}` or `{file: PATH}`."""
    if isinstance(value, dict) and len(value) == 1:
        ((where, name),) = value.items()
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
        redaction.register(value)
    return value


def _read_database(value: object) -> object:
    """Return the address of a database, whose password is to be shown nowhere."""
    address = _read_secret(value)
    if isinstance(address, str):
        redaction.register_address(address)
    return address


Secret = Annotated[SecretStr, BeforeValidator(_read_secret)]
DatabaseURL = Annotated[SecretStr, BeforeValidator(_read_database)]


class SourceConfig(_Model):
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


def _check_score(score: float) -> float:
    if not 0 <= score <= 1:
        raise ValueError("expected 0 to 1")
    return score


Score = Annotated[float, AfterValidator(_check_score)]

_TILES = re.compile(r"([1-4])x([1-4])")


def _check_tiles(tiles: str) -> str:
    """Return the columns and rows of tiles, e.g. "2x2"."""
    if not _TILES.fullmatch(tiles) or tiles == "1x1":
        raise ValueError("expected columns x rows, 1 to 4 each, e.g. 2x2")
    return tiles


Tiles = Annotated[str, AfterValidator(_check_tiles)]


def _check_region(points: tuple[Point, ...]) -> tuple[Point, ...]:
    check_polygon(points)
    return points


Region = Annotated[tuple[Point, ...], AfterValidator(_check_region)]


class MotionConfig(_Model):
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


class DetectConfig(_Model):
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


class StreamConfig(_Model):
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


_JOINERS = "\u200c\u200d"
"""Letters of some scripts, and emoji, are joined or kept apart by these; they show nothing by themselves."""


def _check_title(title: object) -> str:
    """Return a camera's title, blanks folded; it stands in pages, log lines and on the picture."""
    if isinstance(title, int | float) and not isinstance(title, bool):
        title = str(title)
    if not isinstance(title, str):
        raise ValueError("expected text")
    text = " ".join(title.split())
    if not 1 <= len(text) <= 100:
        raise ValueError("expected 1 to 100 characters")
    if odd := next((c for c in text if not c.isprintable() and c not in _JOINERS), None):
        raise ValueError(f"expected characters that can be shown, not U+{ord(odd):04X}")
    return text


Title = Annotated[str, BeforeValidator(_check_title)]


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


class ServerConfig(_Model):
    """Where and for how many the server listens."""

    host: str = Field("127.0.0.1", description="Address to listen on; `0.0.0.0` is every network.")
    port: int = Field(8080, ge=0, le=65535, description="TCP port; 0 takes a free one.")
    threads: int = Field(8, ge=1, le=64, description="Threads kept free for pages, API and health.")
    max_viewers: int = Field(1000, ge=1, le=100000, description="Streams watched at once; more get 503.")
    max_viewers_per_camera: int | None = Field(None, ge=1, description="The same for each camera.")
    max_viewers_per_address: int | None = Field(
        None,
        ge=1,
        description="The same for each client address; all behind a proxy that is not trusted share one.",
    )
    max_viewers_per_token: int | None = Field(
        None, ge=1, description="The same for each token, and for each browser that is logged in."
    )
    max_websockets: int = Field(
        16,
        ge=1,
        le=256,
        description="WebSockets, readers of events and endless pushes at once, each with a thread; more get "
        "503.",
    )
    max_image_bytes: int = Field(
        20 * 2**20, ge=1024, le=2**30, description="Bytes of a picture that is sent to the server, at most."
    )
    max_image_pixels: int = Field(
        40_000_000, ge=1, le=2**30, description="Its pixels, at most; one takes 3 bytes of memory."
    )
    ready_cameras: NeededCameras = Field(
        "none",
        description="Cameras that have to show pictures for `/readyz` to answer 200: `none` (lost ones are "
        "told all the same), `any` one of them, or `all`.",
    )
    embed_origins: tuple[Origin, ...] = Field(
        (),
        description="Other sites whose pages may show the player, e.g. `[https://home.example:8123]`; `'*'`: "
        "all. Default: none; a plain `<img>` works everywhere.",
    )
    public_url: PublicURL | None = Field(
        None,
        description="Where clients find the server when a proxy stands before it, e.g. "
        "`https://home.example/cams`. Default: what the request says.",
    )
    allowed_hosts: tuple[Host, ...] = Field(
        (),
        description="More names by which the server may be asked for, e.g. `[cams.home.example]`; `'*'`: "
        "any. Addresses, the name in `public_url`, names without a dot or in `.local`, `.lan`, `.internal` "
        "always work.",
    )
    trusted_proxies: tuple[Network, ...] = Field(
        (),
        description="Addresses or networks of proxies that may say, in `X-Forwarded-…` headers, who asks and "
        "for what, e.g. `[127.0.0.1, 10.0.0.0/8]`.",
    )


class AuthConfig(_Model):
    """Who may ask."""

    open: bool | None = Field(
        None,
        description="`true`: ask nobody who they are, wherever they are. `false`: ask all, always. Default: "
        "ask all as soon as there is a user or a token; before that, a server that others can reach does not "
        "start.",
    )
    session_hours: float = Field(168, gt=0, le=8760, description="Hours until a browser has to log in again.")
    database: DatabaseURL | None = Field(
        None,
        description="Where users and tokens are kept: an SQLAlchemy URL, also as `{env: NAME}` or "
        "`{file: PATH}`. Default: `data/accounts.db` beside the configuration file, or where you are.",
    )


class ApiConfig(_Model):
    """Who sends pictures, how many, and from where they may be fetched."""

    models: tuple[str, ...] = Field(
        (),
        description="Models that may be asked for besides the detector's and the cameras'; named ones are "
        "loaded even when no camera detects.",
    )
    max_requests: int = Field(
        16, ge=1, le=256, description="Requests with pictures answered at once; more get 503."
    )
    max_requests_per_address: int | None = Field(
        None, ge=1, description="The same for each client address; more get 429."
    )
    max_request_bytes: int = Field(
        32 * 2**20, ge=1024, le=2**30, description="Bytes of a request with pictures, at most."
    )
    max_images: int = Field(32, ge=1, le=1000, description="Pictures in a request, at most.")
    url_hosts: tuple[HostOrNetwork, ...] = Field(
        (),
        description="Hosts from which pictures are fetched when a request names their address, e.g. "
        "`[cdn.example.com]`; `'*'`: all that are public. One that is not needs its network here as well, "
        "e.g. `192.168.1.0/24`. Default: none.",
    )
    url_timeout_s: float = Field(10, gt=0, le=60, description="Seconds for fetching one of them.")


def database_of(config: Config, config_file: Path | None) -> str:
    """Return the address of the database of accounts."""
    if config.auth.database:
        return config.auth.database.get_secret_value()
    folder = config_file.absolute().parent if config_file else Path.cwd()
    return f"sqlite:///{folder / 'data' / 'accounts.db'}"


def _check_model_name(name: object) -> str:
    """Return the name of a model of one's own, which must not hide a known one."""
    text = str(name)
    if not _MODEL_NAME.fullmatch(text):
        raise ValueError("expected a model's name of letters, digits, '.', '-' and '_', 64 at most")
    if is_known(text):
        raise ValueError("a known model has this name; give yours another")
    return text


def _per_channel(value: object) -> object:
    """Return one number, or three, as three."""
    values = value if isinstance(value, (list, tuple)) else [value] * 3
    if len(values) != 3 or not all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values):
        raise ValueError("expected a number or a list of three, one a channel")
    return tuple(values)


def _at_config_file(value: str, info: ValidationInfo) -> str:
    """Return a path that is relative to the configuration file as one from the root."""
    folder = (info.context or {}).get("folder", Path())
    return str(folder / Path(value).expanduser())


def _at_config_file_if_any(value: str | None, info: ValidationInfo) -> str | None:
    return None if value is None else _at_config_file(value, info)


ModelName = Annotated[str, BeforeValidator(_check_model_name)]
PerChannel = Annotated[tuple[float, float, float], BeforeValidator(_per_channel)]


class ModelConfig(_Model):
    """A model of one's own, and what its file does not tell."""

    path: Annotated[str, AfterValidator(_at_config_file)] = Field(
        description="The model: a `.tflite`, a SavedModel's folder, a frozen graph (`.pb`) or a `.keras`. "
        "Relative to the configuration file."
    )
    labels: str | None = Field(
        None,
        description="File with its labels (`.pbtxt`, `.txt`, `.yaml`), `coco80` or `coco91`; default: those "
        "in the model, else COCO's.",
    )
    head: HeadName | None = Field(
        None, description="What its outputs mean; default: told by their names and shapes."
    )
    resize: Resize | None = Field(
        None, description="How a picture is made to fit its input; default: as its family is used to."
    )
    channels: Channels | None = Field(None, description="Order of the colours; default: its family's.")
    mean: PerChannel | None = Field(
        None, description="Taken from each pixel value, 0 to 255; a number, or one a channel."
    )
    std: PerChannel | None = Field(None, description="Each pixel value, less the mean, is divided by it.")
    sha256: str | None = Field(None, description="Checksum it must have; `models info` shows it.")
    input: str | None = Field(None, description="Frozen graph: name of the input.")
    outputs: tuple[str, ...] = Field((), description="Frozen graph: names of the outputs.")

    @field_validator("labels")
    @classmethod
    def _find_labels(cls, value: str | None, info: ValidationInfo) -> str | None:
        return value if value is None or value in BUILT_IN else _at_config_file(value, info)

    @field_validator("std")
    @classmethod
    def _check_std(cls, value: PerChannel | None) -> PerChannel | None:
        if value is not None and min(value) <= 0:
            raise ValueError("expected more than 0")
        return value

    @field_validator("sha256")
    @classmethod
    def _check_sha256(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", value):
            raise ValueError("expected 64 hexadecimal digits")
        return value

    def file(self, name: str) -> ModelFile:
        """Return it as the detector knows it."""
        return ModelFile(
            name,
            Path(self.path),
            None if self.labels is None else Path(self.labels),
            self.sha256,
            head=self.head,
            resize=self.resize,
            channels=self.channels,
            mean=self.mean,
            std=self.std,
            input_name=self.input,
            output_names=self.outputs,
        )


class DetectorConfig(_Model):
    """The model and the workers that run it."""

    model: str = Field(
        "centernet-mobilenetv3",
        description="Name of a model, here or of `stream-server models list`, or path of a file.",
    )
    models: dict[ModelName, ModelConfig] = Field(
        default_factory=dict, description="Models of your own by name, see below."
    )
    workers: int | Literal["auto"] = Field(
        "auto",
        description="Detector processes; `auto`: as many as are fastest here, measured once; 0: none.",
    )
    threads: int | Literal["auto"] = Field(
        "auto", description="Threads for one picture in each of them; `auto`: likewise."
    )
    score_threshold: float = Field(
        0.4, ge=0, le=1, description="Least score of an object; one already followed may fall to half of it."
    )
    iou_threshold: float = Field(
        0.5, ge=0, le=1, description="Overlap above which two boxes of a class are one."
    )
    classes: tuple[str, ...] | None = Field(
        None, description="Labels to keep, e.g. `[person, car]`; default: all."
    )
    max_detections: int = Field(100, ge=1, le=1000, description="Most objects reported per frame.")
    timeout_s: float = Field(
        10, gt=0, le=300, description="Seconds for one image until its worker is replaced."
    )
    max_batch: int = Field(
        1,
        ge=1,
        le=16,
        description="Pictures a worker looks at together, at most; more than 1 pays off on a GPU only.",
    )
    max_wait_ms: float = Field(
        5, ge=0, le=100, description="Milliseconds for which the first picture of several waits for others."
    )

    @field_validator("workers", "threads", mode="before")
    @classmethod
    def _check_count(cls, value: object, info: ValidationInfo) -> object:
        least = 0 if info.field_name == "workers" else 1
        is_count = isinstance(value, int) and not isinstance(value, bool) and least <= value <= 64
        if not is_count and value != "auto":
            raise ValueError(f"expected auto or {least} to 64")
        return value

    def file(self, name: str | None = None) -> ModelFile:
        """Return the model of that name or path, by default the detector's own. Raises ModelError."""
        name = name or self.model
        ours = self.models.get(name)
        return ours.file(name) if ours else find_model(name)


class VideosConfig(_Model):
    """Videos that are annotated in the background, and how much of the machine they may take."""

    folder: Annotated[str, AfterValidator(_at_config_file)] = Field(
        "data/videos",
        validate_default=True,
        description="Where uploads and results are kept. Relative to the configuration file.",
    )
    media_root: Annotated[str | None, AfterValidator(_at_config_file_if_any)] = Field(
        None,
        description="Folder whose videos may be named instead of being uploaded, by who may see all cameras. "
        "Default: none may.",
    )
    max_running: int = Field(1, ge=0, le=16, description="Videos annotated at once; others wait. 0: none.")
    nice: int = Field(
        19,
        ge=0,
        le=19,
        description="How much they give way to cameras and viewers; 0: not at all, 19: they get the rest.",
    )
    max_jobs_per_user: int = Field(
        10,
        ge=1,
        le=10000,
        description="Videos of a user or token that wait, come or are annotated; more get 429.",
    )
    max_bytes: int = Field(4 * 2**30, ge=1, description="Bytes of a video, at most.")
    max_length_s: float = Field(4 * 3600, gt=0, le=1e7, description="Its length in seconds, at most.")
    quota_bytes: int = Field(
        20 * 2**30, ge=1, description="Bytes of all uploads and results; more get 507 until some are deleted."
    )
    keep_s: float | None = Field(
        30 * 86400,
        gt=0,
        description="Seconds after which what is done, or failed, is deleted; null: nothing is.",
    )
    keep_uploads_s: float | None = Field(
        86400,
        gt=0,
        description="Seconds after which an upload is deleted that nobody goes on with; null: none is.",
    )


class Config(_Model):
    """Everything a run needs to know."""

    server: ServerConfig = Field(default_factory=ServerConfig)
    auth: AuthConfig = Field(default_factory=AuthConfig)
    api: ApiConfig = Field(default_factory=ApiConfig)
    detector: DetectorConfig = Field(default_factory=DetectorConfig)
    videos: VideosConfig = Field(default_factory=VideosConfig)
    cameras: dict[CameraName, CameraConfig] = Field(default_factory=dict)

    @classmethod
    def load(cls, path: Path | None = None, overrides: tuple[str, ...] = (), **sections: object) -> Config:
        """Return the checked configuration of a YAML file, changed by `key.path=value` overrides.

        path: the file; None starts from the defaults.
        overrides: e.g. "cameras.front.stream.fps=10"; the value is read as YAML.
        sections: whole top-level sections that replace the file's, e.g. `cameras={...}`.

        Raises ConfigError naming file, key, value and what would be right.
        """
        data = compose(read_yaml(path) if path else {}, sections, overrides)
        folder = path.absolute().parent if path else Path()
        return cls.parse(data, where=str(path) if path else None, folder=folder)

    @classmethod
    def parse(cls, data: dict[str, Any], where: str | None = None, folder: Path = Path()) -> Config:
        """Return the checked configuration of plain data.

        where: names its origin in messages. folder: where relative paths of models start.

        Raises ConfigError.
        """
        try:
            return cls.model_validate(data, context={"folder": folder})
        except ValidationError as exc:
            prefix = f"{where}: " if where else ""
            raise ConfigError("\n".join(prefix + line for line in explain_errors(exc, cls))) from None

    @property
    def enabled_cameras(self) -> dict[str, CameraConfig]:
        """The cameras that are to be shown, in their order."""
        return {name: camera for name, camera in self.cameras.items() if camera.enabled}

    def model_files(self) -> list[ModelFile]:
        """Return the models that are needed, each once, the detector's own first; none when nobody detects.

        Raises ModelError for an unknown one, ConfigError for two that have one name.
        """
        cameras = self.enabled_cameras.values()
        wanted = [camera.detect.model for camera in cameras if camera.detect.enabled]
        wanted += self.api.models
        if not wanted or self.detector.workers == 0:
            return []
        files: dict[str, ModelFile] = {}
        for file in map(self.detector.file, (None, *wanted)):
            if files.setdefault(file.name, file) != file:
                raise ConfigError(
                    f"two models are called {file.name}, {files[file.name].path} and {file.path}; "
                    "give them names in detector.models"
                )
        return list(files.values())
