"""Holds a configuration against its models: whether they load, and know what cameras look for."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import detector.pool
from detector.errors import ModelError
from detector.labels import find_class_ids
from detector.pool import DetectorPool
from stream_server.config import Config
from stream_server.errors import ConfigError

LOAD_TIMEOUT_S = 60.0


def check_detector(config: Config) -> dict[str, dict[int, str]]:
    """Return the labels of each model that a camera needs, by its name; the detector's own comes first.

    They are loaded in a process of their own. No camera detects: none is.

    Raises ModelError for a model that cannot be loaded, ConfigError for classes it does not know.
    """
    files = config.model_files()
    if not files:
        return {}
    with quiet_pool_log(), DetectorPool(files, workers=1) as pool:
        pool.wait_ready(LOAD_TIMEOUT_S)
        labels = {file.name: pool.labels_of(file.name) for file in files}
    _check_classes("detector.classes", config.detector.classes, labels[files[0].name])
    check_classes(config, labels)
    return labels


def check_classes(config: Config, labels: Mapping[str, Mapping[int, str]]) -> None:
    """Raise ConfigError for a camera that looks for classes its model does not know.

    labels: of each model, by its name; none of one that is still being loaded, which is not asked.
    """
    for name, camera in config.enabled_cameras.items():
        known = labels[config.detector.file(camera.detect.model).name] if camera.detect.enabled else {}
        if known:
            detect, key = camera.detect, f"cameras.{name}.detect"
            _check_classes(f"{key}.classes", detect.classes, known)
            _check_classes(f"{key}.score_thresholds", tuple(detect.score_thresholds), known)


@contextmanager
def quiet_pool_log() -> Iterator[None]:
    """Keep the pool from logging what it raises as well."""
    log = logging.getLogger(detector.pool.__name__)
    log.disabled = True
    try:
        yield
    finally:
        log.disabled = False


def _check_classes(key: str, classes: tuple[str, ...] | None, labels: Mapping[int, str]) -> None:
    try:
        find_class_ids(labels, classes or ())
    except ModelError as exc:
        raise ConfigError(f"{key}: {exc}") from None
