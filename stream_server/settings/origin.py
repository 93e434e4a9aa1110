"""Where a run's configuration comes from: a file, and what the command line says on top of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from stream_server.base.redaction import Holder
from stream_server.config import CameraConfig, Config, database_of
from stream_server.config.text import compose, parse_yaml, read_text


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A configuration as it was read: the file's text, what it says as plain data, and checked.

    secrets: holds those of `config`, until it is told that nothing runs by that any more.
    """

    text: str
    data: Mapping[str, Any]
    config: Config
    secrets: Holder = field(default_factory=Holder, compare=False, repr=False)

    @property
    def cameras(self) -> dict[str, dict[str, Any]]:
        """The sections of the cameras as they are written, secrets included."""
        return {str(name): section for name, section in (self.data.get("cameras") or {}).items()}


@dataclass(frozen=True, slots=True)
class ConfigOrigin:
    """What a run is told; read again, it gives the configuration of a run that would start now.

    path: of the file, None for none. sections: whole sections that replace the file's.
    overrides: `key.path=value`. shows_something: a webcam, else the demo, where no camera is named.
    """

    path: Path | None = None
    sections: Mapping[str, Any] = field(default_factory=dict)
    overrides: tuple[str, ...] = ()
    shows_something: bool = False

    def text(self) -> str:
        """Return what is in the file. Raises ConfigError."""
        return read_text(self.path) if self.path else ""

    def read(self, text: str | None = None, where: str | None = None) -> LoadedConfig:
        """Return the configuration, checked.

        text: in place of the file's. where: names that in messages, "" for no name; default: the file's path.

        Raises ConfigError.
        """
        secrets = Holder()
        with secrets.collecting():
            return self._read(self.text() if text is None else text, where, secrets)

    def _read(self, text: str, where: str | None, secrets: Holder) -> LoadedConfig:
        where = str(self.path or "") if where is None else where
        data = compose(parse_yaml(text, where or "the file"), self.sections, self.overrides)
        folder = self.path.absolute().parent if self.path else Path()
        config = Config.parse(data, where=where or None, folder=folder)
        auth = config.auth.model_copy(update={"database": SecretStr(database_of(config, self.path))})
        config = config.model_copy(update={"auth": auth})
        if self.shows_something and not config.cameras:
            config = config.model_copy(update={"cameras": _something()})
        return LoadedConfig(text, data, config, secrets)

    @property
    def sets_all_cameras(self) -> bool:
        """Whether the command line says which cameras there are, whatever the file says."""
        return "cameras" in self.sections or "cameras" in self._keys

    def sets(self, camera: str) -> bool:
        """Whether the command line says something of a camera."""
        return self.sets_all_cameras or any(key.split(".")[:2] == ["cameras", camera] for key in self._keys)

    @property
    def _keys(self) -> list[str]:
        return [override.partition("=")[0] for override in self.overrides]


def _something() -> dict[str, CameraConfig]:
    """Return the first webcam, else the demo."""
    from stream_server.sources.webcam import find_webcams  # noqa: PLC0415 - loads OpenCV

    webcams = find_webcams()
    if webcams:
        return {"webcam": CameraConfig(source=webcams[0].path)}
    return {"demo": CameraConfig(source="demo:")}
