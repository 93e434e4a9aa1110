"""What a configuration may say, and the one line that tells what is wrong with it."""

from __future__ import annotations

import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from stream_server.base.logs import RedactingFormatter
from stream_server.config import (
    ApiConfig,
    AuthConfig,
    CameraConfig,
    Config,
    DetectConfig,
    DetectorConfig,
    MotionConfig,
    ServerConfig,
    StreamConfig,
    VideosConfig,
)
from stream_server.errors import ConfigError
from tests.support.paths import CHECKOUT

SECRET = "Tr0ub4dor&3"
ANY_SOURCE = (
    "a webcam (0 or /dev/video0), rtsp://…, rtsps://…, http://…, https://…, push:, demo: or the path of "
    "a video file (mp4, m4v, mov, mkv, webm, avi, ts, mpg, mpeg, mjpeg, mjpg)"
)


@pytest.fixture
def load(tmp_path: Path) -> Any:
    """Load YAML text; the file is called x.yaml in messages."""

    def load_text(text: str, *overrides: str) -> Config:
        path = tmp_path / "x.yaml"
        path.write_text(text, encoding="utf-8")
        try:
            return Config.load(path, overrides)
        except ConfigError as exc:
            raise ConfigError(str(exc).replace(str(path), "x.yaml")) from exc

    return load_text


def _camera(keys: str) -> str:
    return f"cameras: {{front: {{source: 0, {keys}}}}}"


# What is right.


@pytest.mark.parametrize("text", ["", "# nothing\n", "cameras:\n", "server:\ndetector:\ncameras: {}\n"])
def test_configuration_without_keys_is_the_defaults(load: Any, text: str) -> None:
    assert load(text) == Config()


def test_configuration_in_the_checkout_is_right() -> None:
    config = Config.load(CHECKOUT / "config.yaml")
    assert config.server == ServerConfig()
    assert config.cameras == {}


def test_examples_in_the_checkouts_configuration_are_right(
    load: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever takes away the '#' gets cameras that work."""
    monkeypatch.setenv("FRONT_DOOR_PASSWORD", SECRET)
    lines = (CHECKOUT / "config.yaml").read_text(encoding="utf-8").splitlines()
    start = lines.index("cameras:")
    examples = [line.removeprefix("#") for line in lines[start + 1 :]]
    config = load("\n".join(["cameras:", *examples]))
    assert list(config.cameras) == ["front-door", "garden", "desk"]


ALIASES = "a: &a [x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]\n" for n in range(20)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("detector: {classes: !!timestamp x}", "is read as a date, but is none; text needs quotes"),
        ("cameras: {a: {source: 'demo:', password: 2001-99-99}}", "is read as a date, but is none"),
        ("server: {port: !!float x}", "is read as a number, but is none"),
        ("server: {port: !!int }", "is read as a number, but is none"),
        ("server: {port: !!bool x}", "is read as true or false, but is none"),
        ("server: {host: !!binary x}", "text that begins with ! or *, as passwords do, needs quotes"),
        ("a: !!python/object:os.system x", "text that begins with ! or *"),
        ("server: {port: " + "1" * 5000 + "}", "a number of 5000 digits; text needs quotes"),
        ("[" * 2000, "nested more than 50 deep"),
        ("{a: " * 2000, "nested more than 50 deep"),
        ("- " * 2000, "nested more than 50 deep"),
        ("? {a: b}\n: c", "a key must be a word, not a list or a section"),
        ("? [a]\n: c", "a key must be a word, not a list or a section"),
        ("a: &x {b: *x}", "an alias stands inside what it stands for"),
        (ALIASES, "more than 200000 values, with aliases written out"),
        ("<<: 5", "for merging, but found scalar"),
        ('server: {host: "\\uD800"}', "half a character"),
        ('server: {host: "\\UFFFFFFFF"}', ""),
        ("%YAML 9.9\n---\na: b", "incompatible YAML document"),
    ],
)
def test_yaml_that_breaks_python_is_one_line(load: Any, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert message in str(caught.value)
    assert "is not valid YAML" in str(caught.value)
    assert "\n" not in str(caught.value)
    value = text.removeprefix("server: {port: ")
    with suppress(ConfigError):
        Config.load(None, (f"server.host={value}",))


def test_words_of_lists_of_classes_stay_what_was_written(load: Any) -> None:
    config = load("detector: {classes: [no, yes, on, 1, 2001-01-01, ~, person]}")
    assert config.detector.classes == ("no", "yes", "on", "1", "2001-01-01", "~", "person")
    assert Config.load(None, ("detector.classes=[no, off]",)).detector.classes == ("no", "off")


def test_camera_keys_are_read(load: Any) -> None:
    config = load(
        """
        cameras:
          front:
            source: rtsp://192.168.1.20/stream1
            username: admin
            password: 12345678
            transport: udp
            on_demand: true
            detect:
              fps: 2.5
              classes: [person, car]
              score_thresholds: {person: 0.6}
              inside: [[[0, 0.5], [1, 0.5], [1, 1], [0, 1]]]
              ignore: [[[0, 0], [0.2, 0], [0.1, 0.2]]]
              min_height: 0.05
              tiles: 2x2
              motion: {gate: true}
            stream: {fps: 10, width: 640, overlay: none}
        """.replace("\n        ", "\n")
    )
    camera = config.cameras["front"]
    assert camera.source == "rtsp://192.168.1.20/stream1"
    assert camera.password is not None
    assert camera.password.get_secret_value() == "12345678"
    assert (camera.transport, camera.on_demand) == ("udp", True)
    assert camera.detect == DetectConfig(
        fps=2.5,
        classes=("person", "car"),
        score_thresholds={"person": 0.6},
        inside=(((0, 0.5), (1, 0.5), (1, 1), (0, 1)),),
        ignore=(((0, 0), (0.2, 0), (0.1, 0.2)),),
        min_height=0.05,
        tiles="2x2",
        motion=MotionConfig(gate=True),
    )
    assert camera.stream == StreamConfig(fps=10, width=640, overlay="none")


@pytest.mark.parametrize("source", ["0", '"0"', "/dev/video0"])
def test_first_webcam_has_three_names(load: Any, source: str) -> None:
    assert load(f"cameras: {{desk: {{source: {source}}}}}").cameras["desk"].url.address == "/dev/video0"


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("server.port=0", "server.port", 0),
        ("cameras.front.stream.fps=10", "cameras.front.stream.fps", 10),
        ("cameras.front.source=demo:", "cameras.front.source", "demo:"),
        ("cameras.front.source=rtsp://h/a?b=c", "cameras.front.source", "rtsp://h/a?b=c"),
        ("cameras.front.detect.classes=[person, car]", "cameras.front.detect.classes", ("person", "car")),
        ("cameras.front.detect={enabled: false}", "cameras.front.detect.enabled", False),
        ("detector.classes=null", "detector.classes", None),
    ],
)
def test_override_wins_over_the_file(load: Any, override: str, key: str, value: object) -> None:
    config = load("server: {port: 1}\ndetector: {classes: [cat]}\n" + _camera("stream: {fps: 1}"), override)
    found: Any = config
    for name in key.split("."):
        found = found[name] if isinstance(found, dict) else getattr(found, name)
    assert found == value


def test_override_adds_what_the_file_lacks(load: Any) -> None:
    assert load("", "cameras.new.source=0").cameras["new"].source == "0"


# Secrets.


@pytest.mark.parametrize("where", ["{env: CAMERA_PASSWORD}", "{file: FILE}", f"'{SECRET}'"])
def test_password_is_read_and_never_shown(
    load: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setenv("CAMERA_PASSWORD", SECRET)
    (tmp_path / "secret").write_text(SECRET + "\n")
    config = load(_camera(f"password: {where}".replace("FILE", str(tmp_path / "secret"))))
    password = config.cameras["front"].password
    assert password.get_secret_value() == SECRET
    assert SECRET not in repr(config)
    assert SECRET not in config.model_dump_json()
    assert SECRET not in _logged(f"cannot open rtsp://admin:{SECRET}@host/")


def test_credentials_leave_the_address(load: Any) -> None:
    camera = load("cameras: {front: {source: 'http://admin:p%40ss%3Aword@10.0.0.1/a'}}").cameras["front"]
    assert camera.source == "http://10.0.0.1/a"
    assert camera.username == "admin"
    assert camera.password.get_secret_value() == "p@ss:word"


@pytest.mark.parametrize(
    "text",
    [
        _camera("password: ['SECRET']"),
        _camera("password: 'SECRET', fps: 0"),
        _camera("password: {vault: 'SECRET'}"),
        "cameras: [{source: 0, password: 'SECRET'}]",
        "cameras: {front: [{password: 'SECRET'}]}",
        "cameras: {front: {source: 'rtsp:/admin:SECRET@host/'}}",
        "cameras: {front: {source: 'rtsp://admin:SECRET@host:port/'}}",
        "cameras: {front: {source: 'admin:SECRET@host'}}",
        "cameras: {front: {source: 'exec://admin:SECRET@host'}}",
        "cameras: {front: {source: ['rtsp://admin:SECRET@host']}}",
    ],
)
def test_message_never_holds_a_password(load: Any, text: str) -> None:
    secret = uuid.uuid4().hex  # a new one: those seen before are masked whatever the message holds
    with pytest.raises(ConfigError) as caught:
        load(text.replace("SECRET", secret))
    assert secret not in str(caught.value)
    assert secret not in repr(caught.value)


def _logged(text: str) -> str:
    import logging

    return RedactingFormatter().format(logging.LogRecord("x", logging.INFO, "x", 1, text, None, None))


# What is wrong.


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 1", "expected the sections server, auth, api, detector, videos and cameras, got list"),
        ("sever: {}", "sever: unknown key; did you mean server?"),
        ("x: {}", "x: unknown key; expected one of api, auth, cameras, detector, server, videos"),
        ("server: {prot: 1}", "server.prot: unknown key; did you mean port?"),
        ("server: {port: 99999}", "server.port: got 99999, expected 0 to 65535"),
        ("server: {port: http}", "server.port: got 'http', expected a whole number, 0 to 65535"),
        ("server: {port: }", "server.port: got nothing, expected a whole number, 0 to 65535"),
        ("server: {threads: 0}", "server.threads: got 0, expected 1 to 64"),
        ("server: {host: 5}", "server.host: got 5, expected text"),
        ("server: 5", "server: got 5, expected a section of its own"),
        ("detector: {workers: -1}", "detector.workers: got -1, expected auto or 0 to 64"),
        ("detector: {workers: many}", "detector.workers: got 'many', expected auto or 0 to 64"),
        ("detector: {classes: person}", "detector.classes: got 'person', expected a list"),
        ("detector: {classes: [[a]]}", "detector.classes.0: got a list, expected text"),
        ("detector: {timeout_s: .nan}", "detector.timeout_s: got nan, expected more than 0, up to 300"),
        ("cameras: [1]", "cameras: got a list, expected a section of its own"),
        ("cameras: {a: }", "cameras.a: got nothing, expected a section of its own"),
        ("cameras: {a: {}}", "cameras.a.source: is missing"),
        (
            "cameras: {a b: {source: 0}}",
            "cameras.a b: got 'a b', expected a camera name of letters, digits, '-' and '_', 64 at most",
        ),
    ],
)
def test_wrong_key_is_named_with_its_value_and_what_would_be_right(
    load: Any, text: str, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert str(caught.value) == f"x.yaml: {message}"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("fsp: 1", "fsp: unknown key; did you mean fps?"),
        ("fps: 0", "fps: got 0, expected 0.1 to 120"),
        ("stream: {fps: 1e9}", "stream.fps: got '1e9', expected more than 0, up to 120"),
        ("stream: {fps: fast}", "stream.fps: got 'fast', expected a number, more than 0, up to 120"),
        ("stream: {quality: 80.5}", "stream.quality: got 80.5, expected a whole number, 1 to 100"),
        ("stream: {overlay: nice}", "stream.overlay: got 'nice', expected 'live', 'exact' or 'none'"),
        ("stream: {qualty: 3}", "stream.qualty: unknown key; did you mean quality?"),
        ("detect: 5", "detect: got 5, expected a section of its own"),
        (
            "detect: {inside: [[[0, 0], [1, 0]]]}",
            "detect.inside.0: got a list, expected 3 points or more, there are 2",
        ),
        ("detect: {inside: [[0]]}", "detect.inside.0.0: got 0, expected a list"),
        (
            "detect: {ignore: [[[0, 0], [1, 0], [1, 100]]]}",
            "detect.ignore.0: got a list, expected points of the picture: x and y from 0 to 1",
        ),
        (
            "detect: {ignore: [[[0, 0], [1, 1], [1, 0], [0, 1]]]}",
            "detect.ignore.0: got a list, expected points in order around the region; edges 1 and 3 cross",
        ),
        ("detect: {min_width: 20}", "detect.min_width: got 20, expected 0 to 1"),
        ("detect: {score_thresholds: {car: 60}}", "detect.score_thresholds.car: got 60, expected 0 to 1"),
        ("detect: {tiles: 1x1}", "detect.tiles: got '1x1', expected columns x rows, 1 to 4 each, e.g. 2x2"),
        ("detect: {tiles: 2}", "detect.tiles: got 2, expected text"),
        ("detect: {motion: {gate: maybe}}", "detect.motion.gate: got 'maybe', expected true or false"),
        (
            "detect: {motion: {refresh_s: 0}}",
            "detect.motion.refresh_s: got 0, expected more than 0, up to 3600",
        ),
        ("detect: {motion: {gat: true}}", "detect.motion.gat: unknown key; did you mean gate?"),
        ("on_demand: perhaps", "on_demand: got 'perhaps', expected true or false"),
        ("at_end: again", "at_end: got 'again', expected 'loop', 'hold' or 'stop'"),
        ("password: {env: NOPE}", "password: the environment variable NOPE is not set"),
        (
            "password: {file: /nope}",
            "password: cannot read /nope: No such file or directory",
        ),
        (
            "password: {vault: x}",
            "password: expected a string, {env: NAME} or {file: PATH}",
        ),
    ],
)
def test_wrong_key_of_a_camera_is_named(load: Any, keys: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(_camera(keys))
    assert str(caught.value) == f"x.yaml: cameras.front.{message}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a: b: c",
            "1:5: is not valid YAML: mapping values are not allowed here; "
            "text with a colon, such as 'demo:', needs quotes",
        ),
        ("server:\n  port: 1\n  port: 2\n", "3:3: is not valid YAML: the key 'port' stands twice"),
        ("server:\n\tport: 1", "2:1: is not valid YAML: found character '\\t' that cannot start any token"),
        ("server: {port: 1", "1:17: is not valid YAML: expected ',' or '}', but got '<stream end>'"),
        (
            "!!python/object/apply:os.system [ls]",
            "1:1: is not valid YAML: could not determine a constructor for the tag; text that begins with "
            "! or *, as passwords do, needs quotes",
        ),
        (
            "a: *hunter22",
            "1:4: is not valid YAML: found undefined alias; text that begins with ! or *, as passwords do, "
            "needs quotes",
        ),
    ],
)
def test_place_of_a_syntax_error_is_named(load: Any, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert str(caught.value) == f"x.yaml:{message}"


def test_all_that_is_wrong_is_told_at_once(load: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        load("server: {port: -1}\ndetector: {workers: x}\n" + _camera("fps: 0"))
    assert [line.split(": ")[1] for line in str(caught.value).splitlines()] == [
        "server.port",
        "detector.workers",
        "cameras.front.fps",
    ]


def test_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    with pytest.raises(ConfigError, match=r"x\.yaml: cannot be read: No such file or directory$"):
        Config.load(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"x\.yaml: is not a text file in UTF-8$"):
        Config.load(path)
    with pytest.raises(ConfigError, match=r": cannot be read: Is a directory$"):
        Config.load(tmp_path)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("", "--set : expected KEY.PATH=VALUE, e.g. cameras.front.stream.fps=10"),
        ("server.port", "--set server.port: expected KEY.PATH=VALUE, e.g. cameras.front.stream.fps=10"),
        ("=1", "--set =1: expected KEY.PATH=VALUE, e.g. cameras.front.stream.fps=10"),
        ("server.port=abc", "server.port: got 'abc', expected a whole number, 0 to 65535"),
        ("server.prot=1", "server.prot: unknown key; did you mean port?"),
        ("cameras.front=", "cameras.front: got nothing, expected a section of its own"),
        ("cameras.front.fps.x=1", "cameras.front.fps: got a section, expected a number, 0.1 to 120"),
        ("detector.model.x=1", "--set detector.model.x=1: model is not a section"),
    ],
)
def test_wrong_override_is_named(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Config.load(None, (override,), detector={"model": "m"}, cameras={"front": {"source": "0"}})
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("", f"expected {ANY_SOURCE}"),
        ("exec:ls", f"the scheme 'exec:' is not allowed; expected {ANY_SOURCE}"),
        ("file:///etc/passwd", "the scheme 'file:' is not allowed"),
        ("concat:a.ts|b.ts", "the scheme 'concat:' is not allowed"),
        ("subfile,,start,0,end,9,,:/etc/passwd", ""),
        ("data:text/plain,x", "the scheme 'data:' is not allowed"),
        ("gopher://h/", "the scheme 'gopher:' is not allowed"),
        ("-i", ""),
        ("-i.mp4", ""),
        (";id", ""),
        ("$(id)", ""),
        ("rtsp://h/\r\nX: y", ""),
        ("rtsp://h/\nx", ""),
        ("\\\\host\\share\\x.mp4", ""),
        ("//host/share/x.mp4", ""),
        ("/etc/passwd", ""),
        ("/dev/sda", ""),
        ("/dev/video0/../sda", ""),
        ("x.mp4\x00.txt", ""),
        ("demo:big", "expected 'demo:' alone"),
        ("http://", ""),
        (" rtsp://h/", ""),
    ],
)
def test_source_that_is_not_on_the_list_is_refused_by_name(source: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Config.load(None, cameras={"front": {"source": source}})
    message = str(caught.value)
    assert message.startswith("cameras.front.source: ")
    assert reason in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "model",
    [
        Config,
        ServerConfig,
        AuthConfig,
        DetectorConfig,
        CameraConfig,
        DetectConfig,
        MotionConfig,
        StreamConfig,
        ApiConfig,
        VideosConfig,
    ],
)
def test_every_key_is_described(model: type[BaseModel]) -> None:
    described = {name: field.description for name, field in model.model_fields.items()}
    sections = {"server", "auth", "api", "detector", "videos", "cameras"} if model is Config else set()
    assert not [name for name, text in described.items() if not text and name not in sections]
