"""The models that videos may be looked at with, and what each knows."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Literal

from detector.errors import ModelError
from detector.model_file import ModelFile
from detector.pool import DetectorPool
from stream_server.config import Config
from stream_server.detection.model_labels import ModelLabels, named
from stream_server.jobs.job import VideoOptions
from stream_server.video.options import Options

LOAD_TIMEOUT_S = 120.0


class JobModels:
    """The same that may be asked for a picture. Any thread may call anything."""

    def __init__(self, config: Config, labels_of: Callable[[str], Mapping[int, str]]) -> None:
        """labels_of: what a model knows that the server has loaded, by its name; empty for others."""
        self._config = config
        self._labels_of = labels_of
        self._loading = threading.Lock()  # guards what was asked for already
        self._labels: dict[str, Mapping[int, str]] = {}

    @property
    def workers(self) -> int | Literal["auto"]:
        """Detectors that look at one video; 0: none do."""
        return self._config.detector.workers

    @property
    def threads(self) -> int | Literal["auto"]:
        """Threads of each."""
        return self._config.detector.threads

    @property
    def names(self) -> tuple[str, ...]:
        """What may be asked for, the detector's own first; none where that is not there."""
        try:
            return tuple(self._files())
        except ModelError:
            return ()

    def file(self, name: str | None = None) -> ModelFile:
        """Return the model of that name, by default the detector's. Raises OptionError, ModelError."""
        files = self._files()
        return next(iter(files.values())) if name is None else files[named(name, files)]

    def options(self, asked: VideoOptions) -> Options:
        """Return what is to be done with a video; what is not said is as the server's configuration has it.

        Raises OptionError, ModelError.
        """
        detector, file = self._config.detector, self.file(asked.model)
        classes = detector.classes if file == self.file() else None
        return asked.for_video(file.name, detector.score_threshold, classes)

    def check(self, asked: VideoOptions) -> None:
        """Raise OptionError for a model that may not be asked for, and for words that it does not know.

        A model that the server has not loaded is, once, in a process of its own. Raises DetectorError.
        """
        file = self.file(asked.model)
        if asked.classes or asked.blur:
            model = ModelLabels(file.name, self._labels_of(file.name) or self._ask(file))
            model.check("classes", asked.classes)
            model.check("blur", asked.blur)

    def _files(self) -> dict[str, ModelFile]:
        files = self._config.model_files() or [self._config.detector.file()]
        return {file.name: file for file in files}

    def _ask(self, file: ModelFile) -> Mapping[int, str]:
        with self._loading:
            if file.name not in self._labels:
                with DetectorPool(file, workers=1) as pool:
                    pool.wait_ready(LOAD_TIMEOUT_S)
                    self._labels[file.name] = pool.labels
            return self._labels[file.name]
