"""Cameras that come, change and go while the engine runs, by requests and by hand; all others stay."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from stream_server.base import redaction
from stream_server.cameras.probe import check_camera
from stream_server.config import CameraConfig, SourceConfig
from stream_server.engine import Engine
from stream_server.errors import ConfigError, SettingsConflict, UnknownCamera
from stream_server.settings.live import LiveSettings
from stream_server.settings.origin import ConfigOrigin
from stream_server.settings.watch import ConfigWatcher
from stream_server.sources import open_source
from stream_server.sources.base import Source
from stream_server.sources.push import PushSource
from stream_server.streaming.streams import Variant
from stream_server.web.app import create_app
from tests.support.leaks import wait_until
from tests.support.sources import ScriptedSource, plain, raw_picture

WITHIN_S = 20.0
TEXT = """\
detector: {workers: 0}
cameras:
  # the door
  front: {source: 'a.mp4', password: swordfish}
  back: {source: 'b.mp4'}
"""


class Home:
    """An engine whose cameras show nothing but what is emitted, and the settings it runs by.

    opened: the sources there ever were, by what was opened.
    """

    def __init__(self, path: Path, text: str = TEXT, **origin: Any) -> None:
        self.path = path
        path.write_text(text, encoding="utf-8")
        self.opened: dict[str, list[ScriptedSource]] = {}
        source = ConfigOrigin(path, **origin)
        reading = source.read()
        self.engine = Engine(reading.config, open_source=self._open)
        self.settings = LiveSettings(self.engine, source, reading)

    def _open(self, config: SourceConfig) -> Source:
        if config.url.kind == "push":
            return open_source(config)
        made = ScriptedSource()
        made.emit(raw_picture(plain(90)))
        self.opened.setdefault(config.source, []).append(made)
        return made

    @property
    def names(self) -> list[str]:
        return list(self.engine.pipelines)

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @property
    def written(self) -> Mapping[str, Any]:
        cameras: Mapping[str, Any] = yaml.safe_load(self.text)["cameras"]
        return cameras

    def is_open(self, source: str, times: int = 1) -> bool:
        """Return whether so many sources were opened there, looked at for a while."""
        return wait_until(lambda: len(self.opened.get(source, ())) == times, WITHIN_S)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = Home(tmp_path / "config.yaml")
    with made.engine:
        assert made.is_open("a.mp4")
        assert made.is_open("b.mp4")
        yield made


def test_added_camera_is_shown_and_others_go_on(home: Home) -> None:
    before = home.engine.pipelines
    assert home.settings.put("garden", {"source": "c.mp4", "detect": {"fps": 2}})
    assert home.is_open("c.mp4")
    assert home.names == ["front", "back", "garden"]
    assert home.written["garden"] == {"source": "c.mp4", "detect": {"fps": 2}}
    assert all(home.engine.pipelines[name] is before[name] for name in before)
    assert "  # the door\n" in home.text


@pytest.mark.parametrize(
    "patch",
    [
        {"stream": {"quality": 50, "fps": 3}},
        {"detect": {"inside": [[[0, 0.5], [1, 0.5], [1, 1]]], "weight": 2}},
        {"detect": {"enabled": False}},
        {"on_demand": True},
    ],
)
def test_what_asks_nothing_else_of_the_source_opens_nothing_and_drops_nobody(
    home: Home, patch: dict[str, Any]
) -> None:
    with home.engine.watch("front", Variant(), 10) as viewer:
        home.settings.patch("front", patch)
        home.opened["a.mp4"][0].emit(raw_picture(plain(90)))
        assert viewer.next_frame(WITHIN_S)
        assert not viewer.has_ended
    assert len(home.opened["a.mp4"]) == 1
    assert home.written["front"] == {"source": "a.mp4", "password": "swordfish", **patch}


def test_another_source_is_opened_and_viewers_stay(home: Home) -> None:
    with home.engine.watch("front", Variant(width=160), 10) as viewer:
        home.settings.patch("front", {"source": "c.mp4"})
        assert home.is_open("c.mp4")
        home.opened["c.mp4"][0].emit(raw_picture(plain(200)))
        assert wait_until(lambda: home.engine.pipelines["front"].camera.is_online, WITHIN_S)
        while (frame := viewer.next_frame(WITHIN_S)) is not None and frame.is_message:
            pass
        assert frame is not None
        assert not viewer.has_ended
    assert len(home.opened["b.mp4"]) == 1


def test_removed_camera_ends_its_streams_and_leaves_nothing(home: Home) -> None:
    gone = home.engine.pipelines["front"]
    with home.engine.watch("front", Variant(), 10) as viewer:
        home.settings.remove("front")
        assert viewer.has_ended
    assert not gone.is_alive
    assert home.names == ["back"]
    metrics = create_app(home.engine).test_client().get("/metrics").text
    assert 'camera="back"' in metrics
    assert 'camera="front"' not in metrics
    with pytest.raises(UnknownCamera):
        home.engine.watch("front", Variant(), 10)
    assert home.settings.put("front", {"source": "a.mp4"})
    assert home.is_open("a.mp4", times=2)


def test_disabled_camera_keeps_its_settings(home: Home) -> None:
    home.settings.patch("front", {"enabled": False})
    assert home.names == ["back"]
    assert home.settings.section("front") == {"source": "a.mp4", "password": "***", "enabled": False}
    home.settings.patch("front", {"enabled": None})
    assert home.names == ["front", "back"]


def test_disabled_camera_is_not_opened_to_check_it() -> None:
    report = check_camera(CameraConfig(source="none.mp4", enabled=False))
    assert (report.is_ok, report.finding) == (True, "is not enabled")


def test_camera_that_is_sent_pictures_comes_and_goes(home: Home) -> None:
    home.settings.patch("front", {"source": "push:"})
    with home.engine.inboxes["front"].admit() as sender:
        sender.send(raw_picture(plain(90)))
        front = home.engine.pipelines["front"].camera
        assert wait_until(lambda: front.description == PushSource.description, WITHIN_S)
        home.settings.patch("front", {"source": "a.mp4"})
        assert sender.has_ended
    assert home.engine.inboxes == {}
    assert home.is_open("a.mp4", times=2)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"source": "c.mp4", "fps": 0}, r"^cameras\.new\.fps: got 0, expected 0\.1 to 120$"),
        ({"source": "c.mp4", "fsp": 5}, r"^cameras\.new\.fsp: unknown key; did you mean fps\?$"),
        ({"source": "file:///etc/passwd"}, r"^cameras\.new\.source: .*not allowed"),
        ({"fps": 5}, r"^cameras\.new\.source: is missing$"),
    ],
)
def test_what_is_wrong_changes_nothing(home: Home, change: dict[str, Any], error: str) -> None:
    with pytest.raises(ConfigError, match=error):
        home.settings.put("new", change)
    assert (home.text, home.names) == (TEXT, ["front", "back"])


def test_name_that_is_none_is_refused(home: Home) -> None:
    with pytest.raises(ConfigError, match="expected a camera name"):
        home.settings.put("a/b", {"source": "c.mp4"})
    assert home.text == TEXT


def test_masked_password_stays(home: Home) -> None:
    shown = home.settings.section("front")
    assert shown["password"] == "***"
    home.settings.put("front", {**shown, "width": 640})
    assert home.written["front"] == {"source": "a.mp4", "password": "swordfish", "width": 640}


@pytest.mark.parametrize(
    "changes", [150, pytest.param(10_000, marks=[pytest.mark.soak, pytest.mark.timeout(3600)])]
)
def test_passwords_that_were_replaced_are_forgotten(home: Home, changes: int) -> None:
    for number in range(changes):
        home.settings.put("back", {"source": "rtsp://b/", "enabled": False, "password": f"word-{number}."})
        with suppress(ConfigError):
            home.settings.put("back", {"source": "rtsp://b/", "password": f"wrong-{number}.", "fps": -1})
    assert len(redaction._registry) <= redaction.MAX_PASSING + 8
    last = changes - 1
    assert (
        redaction.redact(f"swordfish word-{last}. wrong-{last}. word-0. wrong-0.")
        == "*** *** *** word-0. wrong-0."
    )


def test_passwords_that_were_tried_are_forgotten(home: Home) -> None:
    client = create_app(home.engine, home.settings).test_client()
    for number in range(redaction.MAX_PASSING + 50):
        camera = {"source": "push:", "password": f"word-{number}."}
        assert client.post("/api/v1/settings/test", json=camera).status_code == 422
        client.post(
            "/api/v1/discovery",
            json={"address": "127.0.0.1", "username": "me", "password": f"onvif-{number}."},
        )
    assert len(redaction._registry) <= redaction.MAX_PASSING + 8
    assert (
        redaction.redact("swordfish word-0. onvif-0. word-149. onvif-149.") == "*** word-0. onvif-0. *** ***"
    )


def test_changes_at_once_happen_one_after_the_other(home: Home) -> None:
    names = [f"cam{number}" for number in range(8)]
    threads = [threading.Thread(target=home.settings.put, args=(name, {"source": "c.mp4"})) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(home.names) == set(home.written) == {"front", "back", *names}


def test_change_by_hand_that_nobody_noticed_is_kept(home: Home) -> None:
    home.path.write_text(TEXT + "  side: {source: 'd.mp4'}\n", encoding="utf-8")
    home.settings.put("garden", {"source": "c.mp4"})
    assert home.names == ["front", "back", "side", "garden"]


def test_file_that_is_wrong_is_not_written_over(home: Home) -> None:
    home.path.write_text(TEXT + "  side: {source: 'd.mp4', fps: 0}\n", encoding="utf-8")
    with pytest.raises(SettingsConflict, match=r"changed by hand, and is wrong: .*cameras\.side\.fps: got 0"):
        home.settings.put("garden", {"source": "c.mp4"})
    assert home.names == ["front", "back"]


def test_unknown_camera_cannot_be_changed_or_removed(home: Home) -> None:
    with pytest.raises(UnknownCamera):
        home.settings.patch("nobody", {"fps": 3})
    with pytest.raises(UnknownCamera):
        home.settings.remove("nobody")


def test_last_camera_makes_room_for_the_demo_and_the_first_takes_its_place(tmp_path: Path) -> None:
    home = Home(tmp_path / "config.yaml", "detector: {workers: 0}\n", shows_something=True)
    (stand_in,) = home.names
    assert home.settings.show().cameras == {}
    with home.engine:
        home.settings.put("front", {"source": "a.mp4"})
        assert home.names == ["front"]
        home.settings.remove("front")
        assert home.names == [stand_in]


def test_first_camera_that_detects_brings_the_detector(tmp_path: Path) -> None:
    idle = TEXT.replace("workers: 0", "workers: 1").replace(".mp4'", ".mp4', detect: {enabled: false}")
    home = Home(tmp_path / "config.yaml", idle)
    with home.engine:
        assert home.engine.pool is None
        assert home.engine.image_analyst is None
        with pytest.raises(ConfigError, match=r"cameras\.front\.detect\.classes: .*'dgo'"):
            home.settings.patch("front", {"detect": {"enabled": True, "classes": ["dgo"]}})
        assert home.engine.pool is None
        home.settings.patch("front", {"detect": {"enabled": True}})
        front = home.engine.pipelines["front"]
        assert wait_until(lambda: len(front.labels) == 80, 30)
        home.opened["a.mp4"][0].emit(raw_picture(plain(90)))
        assert wait_until(lambda: front.analysis is not None, 30)
        assert home.engine.image_analyst is not None
        assert not home.engine.pipelines["back"].detects


# The command line.


def test_cameras_of_the_command_line_are_fixed_and_stay(tmp_path: Path) -> None:
    home = Home(tmp_path / "config.yaml", overrides=("cameras.front.fps=7", "cameras.more.source=m.mp4"))
    with home.engine:
        assert home.settings.show().fixed == ["front", "more"]
        with pytest.raises(SettingsConflict, match=r"cameras\.front: is set on the command line"):
            home.settings.patch("front", {"fps": 3})
        home.settings.remove("back")
        assert home.names == ["front", "more"]
        assert home.engine.config.cameras["front"].fps == 7


@pytest.mark.parametrize(
    "origin",
    [{"sections": {"cameras": {"camera": {"source": "a.mp4"}}}}, {"overrides": ("cameras={}",)}],
)
def test_where_the_command_line_names_all_cameras_none_can_be_changed(
    tmp_path: Path, origin: dict[str, Any]
) -> None:
    home = Home(tmp_path / "config.yaml", **origin)
    why = home.settings.show().why_read_only
    assert why is not None
    assert "--source" in why
    with pytest.raises(SettingsConflict, match="--source"):
        home.settings.put("garden", {"source": "c.mp4"})
    home.engine.close()


def test_without_a_file_it_is_said_how_to_have_one(home: Home) -> None:
    settings = LiveSettings(home.engine)
    assert settings.show().file is None
    with pytest.raises(SettingsConflict, match="start with --config"):
        settings.put("garden", {"source": "c.mp4"})


# By hand.


def test_edit_by_hand_takes_effect(home: Home) -> None:
    with ConfigWatcher(home.settings):
        home.path.write_text(TEXT.replace("b.mp4", "c.mp4"), encoding="utf-8")
        assert home.is_open("c.mp4")
    assert len(home.opened["a.mp4"]) == 1


def test_asking_often_at_once_is_asking_once(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    watch = ConfigWatcher(home.settings)
    for _ in range(500):
        watch.ask()
    with watch:
        assert wait_until(lambda: "configuration read again: no camera changed" in caplog.text, WITHIN_S)
    assert caplog.text.count("read again") == 1


def test_bad_edit_is_reported_and_the_old_stays_until_it_is_mended(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    with ConfigWatcher(home.settings):
        home.path.write_text(TEXT.replace("'b.mp4'", "'b.mp4', fps: 0, fsp: 1"), encoding="utf-8")
        assert wait_until(lambda: home.settings.show().error is not None, WITHIN_S)
        assert home.settings.show().error == (
            f"{home.path}: cameras.back.fps: got 0, expected 0.1 to 120; "
            f"{home.path}: cameras.back.fsp: unknown key; did you mean fps?"
        )
        assert (home.names, home.engine.config.cameras["back"].fps) == (["front", "back"], None)
        home.path.write_text(TEXT, encoding="utf-8")
        assert wait_until(lambda: home.settings.show().error is None, WITHIN_S)
    assert caplog.text.count("the configuration stays as it was") == 2
    assert len(home.opened["b.mp4"]) == 1


@pytest.mark.parametrize("half", ["", TEXT[:-30], "cameras: {fro"])
def test_file_half_written_is_waited_out(home: Home, half: str) -> None:
    news = home.settings.has_news
    assert news() is None
    home.path.write_text(half, encoding="utf-8")
    seen = news()
    assert seen == half
    home.path.write_text(TEXT + "  side: {source: 'd.mp4'}\n", encoding="utf-8")
    home.settings.take(seen)  # it is not that any more
    assert (home.names, home.settings.show().error) == (["front", "back"], None)


@pytest.mark.parametrize("how", ["emptied", "removed", "not text"])
def test_file_that_is_lost_is_reported_and_cameras_stay(home: Home, how: str) -> None:
    if how == "removed":
        home.path.unlink()
    else:
        home.path.write_bytes(b"" if how == "emptied" else b"\xff\xfe\x00")
    home.settings.reload()
    error = home.settings.show().error
    assert error is not None
    assert error.startswith(str(home.path))
    assert home.names == ["front", "back"]
    assert home.settings.has_news() is None  # it is told once


def test_what_takes_a_restart_is_named(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    home.path.write_text(
        TEXT.replace("{workers: 0}", "{workers: 0, score_threshold: 0.6}") + "server: {port: 9000}\n",
        encoding="utf-8",
    )
    home.settings.reload()
    assert home.settings.show().needs_restart == ["server.port", "detector.score_threshold"]
    assert "in effect after a restart: server.port, detector.score_threshold" in caplog.text
    assert home.engine.config.server.port == 8080
    home.path.write_text(TEXT, encoding="utf-8")
    home.settings.reload()
    assert home.settings.show().needs_restart == []


def test_reload_reads_secrets_again(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("first\n", encoding="utf-8")
    text = TEXT.replace("swordfish", f"{{file: {tmp_path / 'secret'}}}")
    home = Home(tmp_path / "config.yaml", text)
    with home.engine:
        assert home.is_open("a.mp4")
        (tmp_path / "secret").write_text("second\n", encoding="utf-8")
        home.settings.reload()
        assert home.is_open("a.mp4", times=2)
    assert len(home.opened["b.mp4"]) == 1


def test_nothing_changes_after_the_end(home: Home) -> None:
    home.engine.close()
    home.settings.put("garden", {"source": "c.mp4"})
    assert home.names == ["front", "back"]
