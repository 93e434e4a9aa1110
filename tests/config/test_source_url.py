from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_server.base import redaction
from stream_server.config import CameraConfig, Config
from stream_server.config.source_url import SourceKind, SourceURL, parse_source
from stream_server.errors import ConfigError

CANARY = "C0pw"

# T39 of the battery, and what else is handed to programs like this one.
REFUSED = [
    "",
    " ",
    "exec:id",
    "exec:ls.mp4",
    "file:///etc/passwd",
    "file:video.mp4",
    "concat:a.mp4|b.mp4",
    "subfile,,start,0,end,0,,:/etc/passwd",
    "subfile,,start,0,end,9,,:/tmp/x.mp4",
    "data:text/plain,x.mp4",
    "gopher://host/x.mp4",
    "pipe:0",
    "unix:/run/x.mp4",
    "ftp://host/x.mp4",
    "javascript:alert(1)",
    "-i",
    "-i.mp4",
    ";id",
    "$(id)",
    "`id`",
    "|id",
    "rtsp://host/a\r\nX: y",
    "rtsp://host/a\nb",
    "video\n.mp4",
    "rtsp://host/\u200bstream",
    "rtsp://ho\u2028st/",
    r"\\server\share\x.mp4",
    "//server/share/x.mp4",
    r"C:\video.mp4",
    "/etc/passwd",
    "video.txt",
    "/dev/sda",
    "/dev/video0; id",
    "/dev/v4l/by-id/..",
    "/dev/v4l/by-id/../../sda",
    "/dev/videoX",
    "-1",
    "1234",
    "\u0663",
    " 0",
    "demo:big",
    "demo://",
    "rtsp:",
    "rtsp:host/x",
    "rtsp://",
    "rtsp:///x",
    "rtsp://:554/x",
    "http://host name/",
    "http://host/a b",
    "http://host\\evil/",
    "http://ho$t/",
    "http://a..b/",
    "http://host:0/",
    "http://host:65536/",
    "http://host:-1/",
    "http://host:8o/",
    "http://host:٣/",
    "http://::1/",
    "http://[::1/",
    "http://[::1]x/",
    "http://[127.0.0.1]/",
    "http://[]/",
    f"http://{'a' * 254}/",
]


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_not_on_the_list_is_refused_with_the_name_of_the_field(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_source(text)
    with pytest.raises(ConfigError, match=r"^cameras\.front\.source: "):
        Config.parse({"cameras": {"front": {"source": text}}})


@pytest.mark.parametrize(
    ("text", "kind", "address"),
    [
        ("0", "webcam", "/dev/video0"),
        ("12", "webcam", "/dev/video12"),
        ("/dev/video3", "webcam", "/dev/video3"),
        ("/dev/v4l/by-id/usb-A_B-video-index0", "webcam", "/dev/v4l/by-id/usb-A_B-video-index0"),
        ("demo:", "demo", "demo:"),
        ("DEMO:", "demo", "demo:"),
        ("video.mp4", "file", "video.mp4"),
        ("/media/Front Door 12:30.MKV", "file", "/media/Front Door 12:30.MKV"),
        ("rtsp://host", "rtsp", "rtsp://host"),
        ("RTSPS://Host:322/Stream", "rtsp", "rtsps://host:322/Stream"),
        ("http://192.168.1.5/video.mjpg", "http", "http://192.168.1.5/video.mjpg"),
        ("http://host:/x", "http", "http://host/x"),
        ("http://host:080/x", "http", "http://host:80/x"),
        ("http://host:65535?x=1", "http", "http://host:65535?x=1"),
        ("https://host/live.M3U8?x=1", "hls", "https://host/live.M3U8?x=1"),
        ("http://host/x.jpg?file=a.m3u8", "http", "http://host/x.jpg?file=a.m3u8"),
        ("http://[2001:DB8::1]:8080/x", "http", "http://[2001:db8::1]:8080/x"),
        ("http://[fe80::1%25eth0]/x", "http", "http://[fe80::1%25eth0]/x"),
        ("http://camera_1.local./x", "http", "http://camera_1.local./x"),
        ("http://kamera-tür/x", "http", "http://kamera-tür/x"),
        ("http://host/a%20b%0d%0a", "http", "http://host/a%20b%0d%0a"),
        ("http://host/x#part", "http", "http://host/x"),
        ("http://host/a@b", "http", "http://host/a@b"),
        ("http://host:80/mail=a@b?c@d", "http", "http://host:80/mail=a@b?c@d"),
    ],
)
def test_kind_and_address_are_told_apart(text: str, kind: SourceKind, address: str) -> None:
    assert parse_source(text) == SourceURL(kind, address)


@pytest.mark.parametrize(
    ("userinfo", "username", "password"),
    [
        ("", None, None),
        ("admin", "admin", None),
        ("admin:", "admin", ""),
        (":secret", "", "secret"),
        ("admin:secret", "admin", "secret"),
        ("admin:a:b", "admin", "a:b"),
        ("me@home.org:secret", "me@home.org", "secret"),
        ("me%40home:p%40%3A%2F%23%3F%25", "me@home", "p@:/#?%"),
        ("admin:p@ss", "admin", "p@ss"),
        ("admin:p#ss", "admin", "p#ss"),
        ("admin:12#34", "admin", "12#34"),
        ("admin:p/ss", "admin", "p/ss"),
        ("admin:p?ss", "admin", "p?ss"),
        ("admin:@/?#", "admin", "@/?#"),
        ("admin:100%sure", "admin", "100%sure"),
        ("admin:my pass", "admin", "my pass"),
        ("admin:pässwörd€", "admin", "pässwörd€"),
    ],
)
@pytest.mark.parametrize("host", ["host", "192.168.1.5:8080", "[::1]:554"])
def test_credentials_are_taken_off_also_when_pasted_unescaped(
    userinfo: str, username: str | None, password: str | None, host: str
) -> None:
    url = parse_source(f"rtsp://{userinfo}@{host}/stream?x=1")

    assert url == SourceURL("rtsp", f"rtsp://{host}/stream?x=1", username, password)


def test_a_camera_keeps_its_credentials_apart_from_its_address() -> None:
    camera = CameraConfig.model_validate({"source": f"http://admin:{CANARY}@host/x"})

    assert camera.source == "http://host/x"
    assert camera.username == "admin"
    assert camera.password is not None
    assert camera.password.get_secret_value() == CANARY
    assert CANARY not in repr(camera)
    assert CANARY not in camera.model_dump_json()


@pytest.mark.parametrize(
    "text",
    [
        f"rtsp://admin:{CANARY}@host:99999/",
        f"rtsp://admin:{CANARY}@",
        f"rtsp://admin:{CANARY}@host\n",
        f"rtsp://admin:{CANARY}/x@ho st/",
        f"rtsp://admin:x#{CANARY}@ho$t/",
        f"rtsp://admin:x@{CANARY}@ho$t/",
        f"ftp://admin:{CANARY}@host/",
        f"rtsp://admin:{CANARY}{'x' * 100}@host:0/",
        f"http://ho$t/?pwd={CANARY}&x=1",
    ],
)
def test_no_refusal_repeats_a_password(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_registry", redaction._Registry())  # nothing is known from other tests
    with pytest.raises(ValueError, match=r"\w") as refusal:
        parse_source(text)
    assert CANARY not in str(refusal.value)

    with pytest.raises(ConfigError) as error:
        Config.parse({"cameras": {"front": {"source": text}}})
    assert CANARY not in str(error.value)


def test_the_secrets_of_an_address_are_known_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_registry", redaction._Registry())

    camera = CameraConfig.model_validate({"source": f"http://a:{CANARY}%40@host/?pwd={CANARY}-2&x=1"})

    assert camera.source == f"http://host/?pwd={CANARY}-2&x=1"
    assert redaction.public_address(camera.source) == "http://host/?pwd=***&x=1"
    assert redaction.redact(f"{CANARY}@ and {CANARY}-2") == "*** and ***"


@given(st.text(max_size=60) | st.from_regex(r"(rtsp|http)://[ -~]{0,40}", fullmatch=True))
def test_any_text_is_parsed_or_refused_and_what_is_parsed_parses_again(text: str) -> None:
    try:
        url = parse_source(text)
    except ValueError:
        return
    again = parse_source(url.address)
    assert (again.kind, again.address) == (url.kind, url.address)
    assert again.password is None
