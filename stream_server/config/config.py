"""The configuration: YAML to checked models. The only place with defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from detector.model_file import ModelFile
from stream_server.config.cameras import CameraConfig
from stream_server.config.detector import DetectorConfig
from stream_server.config.section import Section
from stream_server.config.server import ApiConfig, AuthConfig, ServerConfig
from stream_server.config.text import compose, read_yaml
from stream_server.config.types import CameraName
from stream_server.config.validation import explain_errors
from stream_server.config.videos import VideosConfig
from stream_server.errors import ConfigError


def database_of(config: Config, config_file: Path | None) -> str:
    """Return the address of the database of accounts."""
    if config.auth.database:
        return config.auth.database.get_secret_value()
    folder = config_file.absolute().parent if config_file else Path.cwd()
    return f"sqlite:///{folder / 'data' / 'accounts.db'}"


class Config(Section):
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
