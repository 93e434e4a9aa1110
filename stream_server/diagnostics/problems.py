"""What is wrong now, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime, timezone
from typing import Literal

from pydantic import BaseModel, Field

from detector.machine import usable_cores
from detector.pool import PoolStatus
from stream_server.cameras.camera import CameraState
from stream_server.diagnostics.remedies import advice_for
from stream_server.pipeline import Pipeline
from stream_server.settings.live import SettingsView
from stream_server.streaming.overload import STEPS
from stream_server.telemetry.system_load import DiskSpace, Load

Level = Literal["ok", "warning", "error"]

LOST: frozenset[CameraState] = frozenset({"offline", "stalled", "auth_failed"})
KEEPS_UP = 0.6
"""Share of the frames to be analysed that has to be, until it is said that the detector does not keep up."""
LEAST_MEMORY = 0.05
LEAST_DISK, LEAST_DISK_BYTES = 0.05, 2 * 2**30
"""Free share, and free bytes: below both a disk is nearly full."""
WRONG_CLOCK_S = 86400.0

_MIB = 2**20


class Problem(BaseModel):
    """Something that is wrong."""

    level: Literal["warning", "error"] = Field(description="error: something does not work at all.")
    camera: str | None = Field(description="Which it is about; null: the server.")
    what: str
    advice: str = Field(description="What to do about it.")


def camera_problems(pipeline: Pipeline) -> Iterator[Problem]:
    """Yield what is wrong with a camera."""
    name, camera = pipeline.name, pipeline.camera
    if camera.state in LOST:
        advice = advice_for(name, camera.config, camera.state, camera.reason)
        state = camera.state.replace("_", " ")
        yield Problem(level="error", camera=name, what=_with_reason(state, camera.reason), advice=advice)
    if pipeline.overload.level:
        yield _overload(pipeline)


def _with_reason(state: str, reason: str) -> str:
    return f"{state}: {reason}" if reason else state


def _overload(pipeline: Pipeline) -> Problem:
    level, variants = pipeline.overload.level, len(pipeline.streams.watched)
    step, key = STEPS[level], f"cameras.{pipeline.name}.stream"
    fewer = (
        f"{variants} different sizes, qualities and overlays of it are made now: let viewers share fewer. "
        if variants > 1
        else ""
    )
    return Problem(
        level="warning",
        camera=pipeline.name,
        what=f"its pictures take longer than there is time: JPEG quality is lowered by {step.quality}, to "
        f"{step.pace:.0%} of the frames asked for (step {level} of {len(STEPS) - 1})",
        advice=f"{fewer}Lower {key}.fps or {key}.width; with overlay none, JPEG cameras cost nearly nothing.",
    )


def pace_troubles(pipelines: Collection[Pipeline], pool: PoolStatus) -> Iterator[Problem]:
    """Yield that the detector does not keep up with cameras, but for those that leave out still frames."""
    if not any(worker.state in ("idle", "busy") for worker in pool.workers):
        return
    slow = [pipeline for pipeline in pipelines if _is_behind(pipeline)]
    if not slow:
        return
    done = sum(pipeline.detections_per_s for pipeline in slow)
    asked = sum(_asked_fps(pipeline) for pipeline in slow)
    name = slow[0].name if len(slow) == 1 else None
    of = "" if name else f" of {len(slow)} cameras"
    busy, cores = len(pool.workers) * pool.threads, usable_cores()
    more = f"Raise detector.workers: it uses {busy} of {cores} cores. Or lower" if busy < cores else "Lower"
    yield Problem(
        level="warning",
        camera=name,
        what=f"{done:.1f} of {asked:.1f} frames a second{of} are analysed: the detector has no time for more",
        advice=f"{more} cameras.{name or 'NAME'}.detect.fps, analyse only what moves (detect.motion.gate), "
        "or set detector.model to a faster one (`stream-server models bench`).",
    )


def _asked_fps(pipeline: Pipeline) -> float:
    return min(pipeline.config.detect.fps, pipeline.camera.fps)


def _is_behind(pipeline: Pipeline) -> bool:
    if pipeline.analysis is None or pipeline.config.detect.motion.gate or not pipeline.camera.is_online:
        return False
    is_slow = pipeline.detections_per_s < KEEPS_UP * _asked_fps(pipeline)
    return is_slow and pipeline.counters.skipped > 0


_DETECTOR_ADVICE: tuple[tuple[str, str], ...] = (
    (
        r"SIGKILL",
        "Most likely memory ran out and the system ended it (`dmesg` tells): lower detector.workers, or set "
        "detector.model to a smaller one.",
    ),
    (
        r"SIGILL",
        "This processor lacks instructions that the model's runtime needs: run it on another machine.",
    ),
    (
        r"SIG|exit code",
        "The model's runtime crashed, and is started again by itself. If that goes on, try the model alone: "
        "`stream-server models info {model}`.",
    ),
    (
        r"cannot read the model|no model of this name|not here yet|saved_model.pb",
        "Put the file there, or set detector.model to one that `stream-server models list` shows; then start "
        "the server again.",
    ),
    (
        r"did not answer within|did not get ready",
        "The machine is too slow for this model, or busy: set detector.model to a faster one "
        "(`stream-server models bench`), or raise detector.timeout_s.",
    ),
    (
        r"cannot start",
        "The system has no memory, process or descriptor left: end other programs, or raise its limits "
        "(`ulimit -u`, `ulimit -n`).",
    ),
)
_DETECTOR_UNKNOWN = "Try the model alone: `stream-server models info {model}` says what is wrong with it."


def detector_troubles(status: PoolStatus, *, with_reason: bool) -> Iterator[Problem]:
    """Yield why there are fewer detectors than there should be; nothing while they start as usual.

    with_reason: that may name files of the server, which is not for everybody.
    """
    ready = sum(worker.state in ("idle", "busy") for worker in status.workers)
    workers = len(status.workers)
    if status.error is None or ready == workers > 0:
        return
    what = f"{ready} of {workers} detector workers work" if ready else "nothing is detected"
    advice = "Ask who runs this server: the reason is shown to who may see all cameras."
    if with_reason:
        what = f"{what}: {status.error}"
        found = (advice for pattern, advice in _DETECTOR_ADVICE if re.search(pattern, status.error))
        advice = next(found, _DETECTOR_UNKNOWN).format(model=status.model)
    yield Problem(level="warning" if ready else "error", camera=None, what=what, advice=advice)


def memory_troubles(load: Load) -> Iterator[Problem]:
    """Yield that memory runs out."""
    total, left = load.memory_total_bytes, load.memory_available_bytes
    if total is None or left is None or left >= LEAST_MEMORY * total:
        return
    ours = sum(process.memory_bytes for process in load.processes)
    is_ours = ours > (total - left) / 2
    yield Problem(
        level="warning",
        camera=None,
        what=f"memory runs out: {left // _MIB} of {total // _MIB} MiB are left; stream-server uses "
        f"{ours // _MIB} MiB",
        advice="Lower detector.workers or videos.max_running, or let fewer cameras or sizes be watched."
        if is_ours
        else "Other programs use most of it: end some of them.",
    )


def disk_troubles(disk: DiskSpace) -> Iterator[Problem]:
    """Yield that the disk fills up on which videos are kept."""
    if disk.free_bytes >= min(LEAST_DISK * disk.total_bytes, LEAST_DISK_BYTES):
        return
    yield Problem(
        level="warning",
        camera=None,
        what=f"the disk of videos.folder is nearly full: {disk.free_bytes // _MIB} MiB are free",
        advice="Delete videos on the page Videos, or move videos.folder to a larger disk; when it is full, "
        "uploads are refused.",
    )


def clock_troubles(now_s: float, installed_s: float) -> Iterator[Problem]:
    """Yield that the clock is certainly wrong: earlier than when this was installed. Seconds since 1970."""
    if now_s >= installed_s - WRONG_CLOCK_S:
        return
    yield Problem(
        level="warning",
        camera=None,
        what=f"the machine's clock is wrong: it says {datetime.fromtimestamp(now_s, timezone.utc):%Y-%m-%d}, "
        "before stream-server was installed",
        advice="Set it (`sudo timedatectl set-ntp true`): until then logins, links and the times in pictures "
        "are wrong.",
    )


def crowd_troubles(viewers: int, most: int) -> Iterator[Problem]:
    """Yield that no further viewer is let in."""
    if viewers >= most:
        yield Problem(
            level="warning",
            camera=None,
            what=f"{viewers} viewers watch, more are refused",
            advice="Raise server.max_viewers, if network and machine can bear more.",
        )


def settings_troubles(shown: SettingsView) -> Iterator[Problem]:
    """Yield that the configuration that runs is not the one that is written down."""
    if shown.error:
        yield Problem(
            level="warning",
            camera=None,
            what=f"{shown.file} was changed and is wrong, so the server goes on as before: {shown.error}",
            advice="Correct it; the cameras follow within seconds.",
        )
    if shown.needs_restart:
        yield Problem(
            level="warning",
            camera=None,
            what=f"changed in {shown.file}, but not in effect: {', '.join(shown.needs_restart)}",
            advice="Start the server again; only cameras are changed while it runs.",
        )


BROKEN = Problem(
    level="error",
    camera=None,
    what="a part of the server that carries pictures has ended",
    advice="Start the server again, and report this with the lines of its log.",
)


def verdict(
    states: Sequence[CameraState], detection: Literal["off", "starting", "on"], troubles: Iterable[Problem]
) -> tuple[Level, str]:
    """Return how the server is doing, in one sentence."""
    troubles = tuple(troubles)
    general = [trouble for trouble in troubles if trouble.camera is None and trouble.level == "error"]
    lost = sum(state in LOST for state in states)
    broken = [trouble.what for trouble in general]
    if lost:
        broken.insert(0, _count(lost, len(states)) + (" shows" if lost == 1 else " show") + " no picture")
    if broken:
        return "error", _sentence("; ".join(broken))
    if not states:
        return "warning", "There is no camera."
    well = ", ".join((*_well(states), *_DETECTION[detection]))
    if troubles:
        things = "1 thing needs" if len(troubles) == 1 else f"{len(troubles)} things need"
        return "warning", _sentence(f"{things} attention; {well}")
    return "ok", _sentence(f"all is well: {well}")


_DETECTION = {"off": (), "starting": ("detection is starting",), "on": ("detection runs",)}
_WELL: tuple[tuple[CameraState, str, str], ...] = (
    ("online", "shows pictures", "show pictures"),
    ("connecting", "is being connected", "are being connected"),
    ("idle", "waits for a viewer", "wait for a viewer"),
    ("waiting", "waits for pictures to be sent", "wait for pictures to be sent"),
    ("ended", "has ended", "have ended"),
)


def _well(states: Sequence[CameraState]) -> Iterator[str]:
    for state, one, many in _WELL:
        if count := states.count(state):
            yield f"{_count(count, len(states))} {one if count == 1 else many}"


def _count(count: int, total: int) -> str:
    if total == 1:
        return "the camera"
    return f"{count} of {total} cameras" if count < total else f"all {total} cameras"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
