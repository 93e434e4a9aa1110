"""The command `stream-server`; what one of its commands alone needs is imported there: `--help` is quick."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from contextlib import closing
from functools import wraps
from pathlib import Path
from typing import Any

import click

import stream_server
from detector.errors import DetectorError
from stream_server.base.file_names import alternatives
from stream_server.base.redaction import redact
from stream_server.cameras.probe import check_camera
from stream_server.cli.accounts import token, user
from stream_server.cli.annotate.command import annotate
from stream_server.cli.links import urls
from stream_server.cli.models.command import models
from stream_server.config import Config, DetectorConfig
from stream_server.detection.checks import check_detector
from stream_server.errors import ConfigError, ImageError, StreamServerError, reason_of
from stream_server.settings.origin import ConfigOrigin, LoadedConfig

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def main() -> None:
    """Run the command line; the entry point of `stream-server`."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # names of files may be any bytes
        sys.stdout.reconfigure(errors="backslashreplace")
    command(prog_name="stream-server")


@click.group(context_settings=CONTEXT)
@click.version_option(stream_server.__version__, message="%(version)s")
def command() -> None:
    """Live MJPEG video streaming server with TensorFlow object detection."""


for group in (models, user, token, urls, annotate):
    command.add_command(group)


def _one_line_errors(function: Callable[..., Any]) -> Callable[..., Any]:
    """Show our own errors in one line each, with exit code 2."""

    @wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except (StreamServerError, DetectorError) as exc:
            for line in str(exc).splitlines():
                click.echo(f"stream-server: {redact(line)}", err=True)
            sys.exit(2)

    return wrapped


def _config_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options from which a configuration is made."""
    options = (
        click.option(
            "--config", "config_file", type=click.Path(path_type=Path), help="YAML file; see config.yaml."
        ),
        click.option(
            "--source", "sources", multiple=True, metavar="ADDRESS", help="Camera; more than once for more."
        ),
        click.option("--username", help="User name at the cameras given by --source."),
        click.option(
            "--password-env", metavar="NAME", help="Environment variable that holds their password."
        ),
        click.option(
            "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="E.g. cameras.front.fps=10."
        ),
        click.option("--model", help="Name or file of the detection model."),
    )
    for option in reversed(options):
        function = option(function)
    return function


def _origin(
    *,
    config_file: Path | None,
    sources: tuple[str, ...],
    username: str | None,
    password_env: str | None,
    overrides: tuple[str, ...],
    model: str | None,
) -> ConfigOrigin:
    """Return where the configuration comes from: file and options; options win over the file.

    Where neither names a camera, the first webcam or the demo is one.
    """
    sections: dict[str, object] = {}
    if sources:
        names = ["camera"] if len(sources) == 1 else [f"camera-{n}" for n in range(1, len(sources) + 1)]
        sections["cameras"] = {
            name: _camera(source, username, password_env) for name, source in zip(names, sources, strict=True)
        }
    extra = (f"detector.model={model}",) if model else ()
    return ConfigOrigin(config_file, sections, (*overrides, *extra), shows_something=True)


def _tell_what_is_shown(reading: LoadedConfig) -> None:
    """Say what is shown, and how to change that, where no camera is configured."""
    if reading.cameras:
        return
    found = "No webcam found: the demo" if "demo" in reading.config.cameras else "The first webcam"
    click.echo(
        f"{found} is shown until a camera is added, on the page or by --source rtsp://…, http://… or a file.",
        err=True,
    )


def _camera(source: str, username: str | None, password_env: str | None) -> dict[str, object]:
    camera: dict[str, object] = {"source": source}
    if username is not None:
        camera["username"] = username
    if password_env is not None:
        camera["password"] = {"env": password_env}
    return camera


@command.command()
@_config_options
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=int, help="TCP port to listen on; 0 takes a free one.")
@click.option("--verbose", "-v", is_flag=True, help="Log more.")
@_one_line_errors
def run(
    host: str | None, port: int | None, verbose: bool, overrides: tuple[str, ...], **options: Any
) -> None:
    """Serve cameras until Ctrl-C.

    Without a camera in the configuration or on the command line: the first webcam, else a demo.
    """
    from stream_server import serve  # noqa: PLC0415
    from stream_server.base import logs  # noqa: PLC0415

    extra = tuple(
        f"server.{key}={value}" for key, value in (("host", host), ("port", port)) if value is not None
    )
    origin = _origin(overrides=(*overrides, *extra), **options)
    reading = origin.read()
    _tell_what_is_shown(reading)
    logs.set_up(verbose)
    check_detector(reading.config)
    serve.serve(reading.config, origin, reading, verbose=verbose)


@command.command(short_help="Try the configuration, the model and each camera.")
@_config_options
@_one_line_errors
def check(**options: Any) -> None:
    """Read the configuration, load the model, open each camera, and say what was found.

    Without a camera: what `run` shows then, the first webcam or a demo.

    Exit code 0: all is well. 1: a camera cannot be read. 2: the configuration or the model is wrong.
    """
    reading = _origin(**options).read()
    _tell_what_is_shown(reading)
    config = reading.config
    labels = check_detector(config)
    for name, words in labels.items():
        click.echo(f"detector: {name}, {len(words)} classes")
    if not labels:
        click.echo("detector: off")
    reports = [check_camera(camera) for camera in config.cameras.values()]
    for (name, camera), report in zip(config.cameras.items(), reports, strict=True):
        label = f"{name} ({camera.title})" if camera.title else name
        click.echo(f"{label}: {'ok' if report.is_ok else 'FAILED'}: {redact(report.finding)}")
    sys.exit(0 if all(report.is_ok for report in reports) else 1)


@command.command(short_help="Find objects in pictures.")
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--model", default=DetectorConfig().model, show_default=True, help="Name or file of the model.")
@click.option("--score", type=click.FloatRange(0, 1), default=0.4, show_default=True, help="Least score.")
@click.option(
    "--iou", type=click.FloatRange(0, 1), default=0.5, show_default=True,
    help="Overlap above which two boxes of a class are one.",
)  # fmt: skip
@click.option("--classes", help="Labels to keep, separated by commas; default: all.")
@click.option("--max-detections", type=click.IntRange(1, 1000), help="Most objects in a picture.")
@click.option(
    "--min-width", type=click.FloatRange(0, 1), default=0,
    help="Least width of an object, as a part of the picture's.",
)  # fmt: skip
@click.option("--min-height", type=click.FloatRange(0, 1), default=0, help="Least height, likewise.")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path, file_okay=False), help="Folder for annotated copies."
)
@_one_line_errors
def detect(
    images: tuple[Path, ...], model: str, score: float, iou: float, output: Path | None, **wishes: Any
) -> None:
    """Find objects in pictures: JSON, one line a picture, and annotated copies with --output.

    Exit code 1 when a picture cannot be read; the others are done all the same.
    """
    from detector import load_detector  # noqa: PLC0415
    from stream_server.images.files import detect_file  # noqa: PLC0415
    from stream_server.images.results import ImageOptions  # noqa: PLC0415

    options = ImageOptions(score_threshold=score, iou_threshold=iou, **wishes)
    copies = {} if output is None else _copies(output, images)
    failed = False
    with load_detector(model) as detector:
        for path in images:
            try:
                click.echo(detect_file(detector, path, options, copies.get(path)).model_dump_json())
            except ImageError as exc:
                failed = True
                click.echo(f"stream-server: {path}: {exc}", err=True)
            except OSError as exc:
                failed = True
                click.echo(f"stream-server: {exc.filename or path}: {exc.strerror}", err=True)
            except (StreamServerError, DetectorError):
                raise  # it would be the same for all
            except Exception as exc:
                failed = True
                click.echo(f"stream-server: {path}: {reason_of(exc)}", err=True)
    sys.exit(1 if failed else 0)


@command.command(short_help="Print the document of the HTTP API.")
def openapi() -> None:
    """Print the OpenAPI 3.1 document of the HTTP API, which a server has at /openapi.json."""
    from stream_server.engine import Engine  # noqa: PLC0415
    from stream_server.web.app import create_app  # noqa: PLC0415
    from stream_server.web.openapi.document import describe  # noqa: PLC0415

    with closing(Engine(Config())) as engine:  # not started: its routes alone are looked at
        click.echo(json.dumps(describe(create_app(engine)), indent=2))


def _copies(output: Path, images: tuple[Path, ...]) -> dict[Path, Path]:
    """Return where the annotated copy of each picture goes, in a folder that is made.

    Raises ConfigError, also when a picture is named twice.
    """
    from stream_server.images.files import annotated_path  # noqa: PLC0415

    copies: dict[Path, Path] = {}
    for image in images:
        if image in copies:
            copy = copies[image]
            raise ConfigError(
                f"--output {output}: several pictures would become {copy}; give them one by one"
            )
        paths = (annotated_path(stem, output) for stem in alternatives(image.stem, image.suffix))
        copies[image] = next(path for path in paths if path not in copies.values())
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise ConfigError(f"--output {output}: cannot be made: {exc.strerror}") from None
    return copies
