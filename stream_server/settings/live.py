"""The configuration while the server runs: changed by requests and by hand, checked, written, applied."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from detector.errors import ModelError
from stream_server.base.redaction import redact
from stream_server.config import Config
from stream_server.engine import Engine
from stream_server.errors import ConfigError, SettingsConflict, UnknownCamera
from stream_server.settings.config_file import ConfigFile
from stream_server.settings.differences import describe_cameras, keys_for_restart
from stream_server.settings.masking import masked, unmasked
from stream_server.settings.origin import ConfigOrigin, LoadedConfig
from stream_server.settings.yaml_editing import with_camera

log = logging.getLogger(__name__)

Section = dict[str, Any]
Change = Callable[[Section | None], Section | None]
"""From a camera's section as it is stored to what it is to be; None: there is none."""


@dataclass(frozen=True, slots=True)
class SettingsView:
    """The configuration as it may be shown; cameras' sections are masked.

    file: its name. why_read_only: why no camera can be changed. error: why the file is not in effect.
    needs_restart: keys that are. fixed: cameras that the command line sets.
    """

    file: str | None
    why_read_only: str | None
    error: str | None
    needs_restart: list[str]
    cameras: dict[str, Section]
    fixed: list[str]


class LiveSettings:
    """What a server runs by. Any thread may call anything; changes happen one after the other.

    What runs is what a start now would run, but for what takes a restart. A configuration that is wrong
    changes nothing.
    """

    def __init__(
        self, engine: Engine, origin: ConfigOrigin | None = None, reading: LoadedConfig | None = None
    ) -> None:
        """engine: runs `reading`, which `origin` gave; default: what no file and no command line said."""
        self._engine = engine
        self._started = engine.config
        self._origin = origin or ConfigOrigin()
        self._file = ConfigFile(self._origin.path) if self._origin.path else None
        self._changing = threading.Lock()  # one change at a time; guards the three below
        self._reading = self._first = reading or LoadedConfig("", {}, engine.config)
        self._error: str | None = None
        self._refused: str | None = None  # what the file held, or why it could not be read, when it was wrong

    def show(self) -> SettingsView:
        """Return the configuration as it may be shown."""
        reading, error = self._reading, self._error
        cameras = {name: masked(section) for name, section in reading.cameras.items()}
        return SettingsView(
            file=self._file.path.name if self._file else None,
            why_read_only=self._why_read_only,
            error=error and error.replace("\n", "; "),
            needs_restart=keys_for_restart(self._started, reading.config),
            cameras=cameras,
            fixed=[name for name in cameras if self._origin.sets(name)],
        )

    @property
    def names_no_camera(self) -> bool:
        """Whether what there is to see, if anything, is there because nobody has named a camera yet."""
        return not self._reading.cameras and (self._origin.shows_something or not self._engine.config.cameras)

    @property
    def _why_read_only(self) -> str | None:
        if self._origin.sets_all_cameras:
            return "the command line says which cameras there are; start without --source to change them here"
        if self._file is None:
            return (
                "there is no configuration file; make an empty one, and start with --config and its path, to "
                "change cameras here"
            )
        return self._file.why_read_only

    # By requests.

    def put(self, name: str, section: Section) -> bool:
        """Let a camera have this section, in which `***` stands for stored secrets; return whether it is new.

        Raises ConfigError, SettingsConflict.
        """
        before = self._change(name, lambda stored: unmasked(section, stored or {}, f"cameras.{name}."))
        return before is None

    def patch(self, name: str, patch: Section) -> None:
        """Change a camera's section by a JSON merge patch (RFC 7396).

        Raises UnknownCamera, ConfigError, SettingsConflict.
        """

        def change(stored: Section | None) -> Section:
            if stored is None:
                raise UnknownCamera(name)
            return unmasked(_merge(masked(stored), patch), stored, f"cameras.{name}.")

        self._change(name, change)

    def remove(self, name: str) -> None:
        """Forget a camera. Raises UnknownCamera, ConfigError, SettingsConflict."""

        def change(stored: Section | None) -> None:
            if stored is None:
                raise UnknownCamera(name)

        self._change(name, change)

    def section(self, name: str) -> Section:
        """Return a camera's section as it may be shown. Raises UnknownCamera."""
        found = self._reading.cameras.get(name)
        if found is None:
            raise UnknownCamera(name)
        return masked(found)

    def stored(self, name: str) -> Section:
        """Return a camera's section with its secrets, an empty one where there is none."""
        return self._reading.cameras.get(name, {})

    def _change(self, name: str, change: Change) -> Section | None:
        """Change a camera in the file and then in the engine; return its section as it was."""
        with self._changing:
            file = self._writable_file(name)
            text = file.read()
            self._catch_up(text)
            before = self._reading.cameras.get(name)
            changed = with_camera(text, name, change(before))
            reading = self._origin.read(changed, where="")
            with reading.secrets.collecting():
                effective = self._check(reading)
                if changed != text:
                    file.write(changed, instead_of=text)
            self._apply(reading, effective)
            return before

    def _writable_file(self, name: str) -> ConfigFile:
        if why := self._why_read_only:
            raise SettingsConflict(why)
        if self._origin.sets(name):
            raise SettingsConflict(f"cameras.{name}: is set on the command line, and cannot be changed here")
        assert self._file
        return self._file

    def _catch_up(self, text: str) -> None:
        """Take in what was changed by hand and not noticed yet. Raises SettingsConflict where it is wrong."""
        known = self._refused if self._error else self._reading.text
        if text != known:
            self._take(text)
        if self._error:
            raise SettingsConflict(f"the file was changed by hand, and is wrong: {self._error}")

    # By hand.

    def reload(self) -> None:
        """Read everything again, also what the file refers to, and say in the log what came of it."""
        with self._changing:
            self._take(self._seen(), is_asked=True)

    def has_news(self) -> str | None:
        """Return what the file holds, or why it cannot be read, when neither is known yet."""
        seen = self._seen()
        known = self._refused if self._error else self._reading.text
        return None if seen == known else seen

    def take(self, seen: str) -> None:
        """Apply what `has_news` returned, if the file still is so."""
        with self._changing:
            if self._seen() == seen:
                self._take(seen)

    def _seen(self) -> str:
        try:
            return self._origin.text()
        except ConfigError as exc:
            return str(exc)

    def _take(self, seen: str, *, is_asked: bool = False) -> None:
        try:
            text = self._origin.text()
            if not text.strip() and self._reading.text.strip():
                raise ConfigError(f"{self._origin.path}: is empty")
            reading = self._origin.read(text)
            with reading.secrets.collecting():
                effective = self._check(reading)
        except ConfigError as exc:
            self._refuse(seen, redact(str(exc)))
            return
        what = describe_cameras(self._engine.config, effective)
        if is_asked or self._error or effective != self._engine.config:
            log.info("configuration read again: %s", what)
        self._apply(reading, effective)

    def _refuse(self, seen: str, error: str) -> None:
        self._refused, self._error = seen, error
        for line in error.splitlines():
            log.error("the configuration stays as it was: %s", line)

    # Both.

    def _check(self, reading: LoadedConfig) -> Config:
        """Return what is to run: the cameras as read, and all else as at the start. Raises ConfigError."""
        effective = self._started.model_copy(update={"cameras": reading.config.cameras})
        try:
            self._engine.check(effective)
        except ModelError as exc:
            raise ConfigError(str(exc)) from None
        return effective

    def _apply(self, reading: LoadedConfig, effective: Config) -> None:
        replaced, before = self._reading, keys_for_restart(self._started, self._reading.config)
        self._reading, self._error, self._refused = reading, None, None
        self._engine.apply(effective)
        if replaced is not self._first:  # by which all runs that takes a restart to change
            replaced.secrets.let_go()
        later = keys_for_restart(self._started, reading.config)
        if later and later != before:
            log.warning("changed, and in effect after a restart: %s", ", ".join(later))


def _merge(section: Section, patch: Section) -> Section:
    """Return the section changed by a JSON merge patch (RFC 7396, section 2)."""
    merged = dict(section)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            before = merged.get(key)
            merged[key] = _merge(before if isinstance(before, dict) else {}, value)
        else:
            merged[key] = value
    return merged
