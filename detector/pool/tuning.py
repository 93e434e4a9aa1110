"""How many workers, and how many threads each: measured once for each model file and machine."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

from detector.checksums import sha256_of
from detector.errors import DetectorError
from detector.locks import alone_in
from detector.machine import available_memory_bytes, describe, usable_cores
from detector.pool.layout import Layout, Planner, layouts
from detector.pool.messages import Model, name_of
from detector.pool.speed import Speed, measure, sample_images
from detector.zoo.catalog import find_model

logger = logging.getLogger(__name__)

MEASURE_S = 2.0
FIXED = "STREAM_SERVER_LAYOUT"
_CANDIDATES = 3
_AS_GOOD = 0.9
_IMAGE_WH = (1280, 720)
_MAX_MEMORY_SHARE = 0.5


def best_layout(
    model: Model, *, cores: int | None = None, is_cancelled: Callable[[], bool] = lambda: False
) -> Layout:
    """Return the number of workers and of threads in each with which `model` is fastest here.

    The first call for a model file and machine measures for two seconds, loading not counted, and takes all
    cores meanwhile; the answer is kept in the user's cache. The environment variable STREAM_SERVER_LAYOUT,
    e.g. "2x1" for two workers of one thread, is the answer without looking. One core needs no measurement;
    where none is possible the answer is a worker a core.

    cores: that may be used; default: those this process may. is_cancelled: asked now and then; the answer is
    of no use when it says so. May be called from any thread.
    """
    cores = cores or usable_cores()
    if fixed := _fixed():
        return fixed
    if cores == 1:
        return Layout(1, 1)
    try:
        key = _key(model, cores)
        known = _cached(key)
        if known is None:
            logger.info("measuring how many detector workers are best here, this once")
            known = choose(_measure(model, cores, is_cancelled))
            _cache(key, known)
            logger.info("%s: best here with workers: %d, threads: %d", name_of(model), *known)
    except DetectorError as exc:
        if not is_cancelled():
            logger.warning("cannot measure how fast the model is here: %s", exc)
        return Layout(cores, 1)
    return known


def planner_for(model: Model, workers: int | Literal["auto"], threads: int | Literal["auto"]) -> Planner:
    """Return what finds out the layout: the best where both numbers are open, else the given ones.

    One number alone leaves the other what the cores are enough for.
    """

    def plan(is_cancelled: Callable[[], bool]) -> Layout:
        if workers == "auto" and threads == "auto":
            return best_layout(model, is_cancelled=is_cancelled)
        cores = usable_cores()
        if workers == "auto":
            assert threads != "auto"
            return Layout(max(1, cores // threads), threads)
        return Layout(workers, max(1, cores // workers) if threads == "auto" else threads)

    return plan


def choose(speeds: Iterable[Speed]) -> Layout:
    """Return the layout of the fewest workers that is about as good as the best: less memory, less delay."""
    speeds = list(speeds)
    enough = _AS_GOOD * max(speed.per_s for speed in speeds)
    return min((speed.layout for speed in speeds if speed.per_s >= enough), key=lambda layout: layout.workers)


def _measure(model: Model, cores: int, is_cancelled: Callable[[], bool]) -> list[Speed]:
    """Measure from few workers to many, as long as there is memory for them."""
    candidates = layouts(cores)[:_CANDIDATES][::-1]
    images = sample_images(_IMAGE_WH)
    speeds: list[Speed] = []
    for layout in candidates:
        if speeds and not _has_memory_for(layout, speeds[-1]):
            break
        speeds.append(measure(model, layout, images, MEASURE_S / len(candidates), is_cancelled))
    return speeds


def _has_memory_for(layout: Layout, last: Speed) -> bool:
    available = available_memory_bytes()
    needed = layout.workers * last.memory_bytes / last.layout.workers
    return available is None or needed <= _MAX_MEMORY_SHARE * available


def _fixed() -> Layout | None:
    match = re.fullmatch(r"([1-9]\d{0,2})x([1-9]\d{0,2})", os.environ.get(FIXED, ""))
    return Layout(int(match[1]), int(match[2])) if match else None


def _key(model: Model, cores: int) -> str:
    """Return what the answer depends on, as a checksum."""
    file = find_model(model) if isinstance(model, str) else model
    settings = (file.inputs_wh, file.head, file.resize, file.input_name, file.output_names)
    text = json.dumps([sha256_of(file.path), str(settings), cores, describe()])
    return hashlib.sha256(text.encode()).hexdigest()


def _cache_path() -> Path:
    """Return the file of known answers, in the user's cache (XDG Base Directory Specification)."""
    folder = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(folder).expanduser() / "stream-server" / "layouts.json"


def _cached(key: str) -> Layout | None:
    try:
        workers, threads = _all_cached()[key]
    except (ValueError, TypeError, KeyError):
        return None
    return Layout(workers, threads) if _is_count(workers) and _is_count(threads) else None


def _is_count(value: object) -> bool:
    return isinstance(value, int) and 1 <= value <= 999


def _cache(key: str, layout: Layout) -> None:
    """Keep an answer; where that is not possible it is measured again next time."""
    path = _cache_path()
    new = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with alone_in(path.parent):
            new.write_text(json.dumps({**_all_cached(), key: layout}), encoding="utf-8")
            new.replace(path)
    except OSError as exc:
        logger.info("%s: cannot be written: %s", path, exc.strerror)


def _all_cached() -> dict[str, Any]:
    try:
        known = json.loads(_cache_path().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
