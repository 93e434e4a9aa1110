"""Stand-ins that a child process can import: detectors that do what the image tells them to."""

from __future__ import annotations

import os
import pickle
import signal
import struct
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from enum import IntEnum

import cv2
import numpy as np

from detector import BGRImage, Detections, DetectorError, ModelError


class Command(IntEnum):
    """What a ScriptedDetector does with an image; the value of its first byte."""

    ANSWER = 0
    SLEEP = 1
    SEGFAULT = 2
    EXIT = 3
    RAISE = 4
    REFUSE = 5
    LEAK = 6
    FREEZE = 7
    MEASURE = 8


def scripted_image(
    token: int = 0,
    command: Command = Command.ANSWER,
    argument: int = 0,
    shape: tuple[int, int, int] = (4, 8, 3),
) -> BGRImage:
    """Return an image that carries a command, its argument (ms, MiB) and a token to be returned, 32 bits."""
    image = np.zeros(shape, np.uint8)
    image.reshape(-1)[:12] = np.array([command, argument, token], "<u4").view(np.uint8)
    return image


class ScriptedDetector:
    """Finds one box, the whole image, whose class id is the image's token."""

    labels: Mapping[int, str] = {0: "thing"}

    def __init__(self) -> None:
        self.leaked: list[bytearray] = []

    def detect(
        self,
        image: BGRImage,
        *,
        score_threshold: float | None = None,
        iou_threshold: float | None = None,
        classes: Collection[str] | None = None,
        max_detections: int | None = None,
    ) -> Detections:
        command, argument, token = (int(value) for value in image.reshape(-1)[:12].view("<u4"))
        match Command(command):
            case Command.SLEEP:
                time.sleep(argument / 1000)
            case Command.SEGFAULT:
                os.kill(os.getpid(), signal.SIGSEGV)
            case Command.EXIT:
                sys.exit(argument)
            case Command.RAISE:
                raise RuntimeError("no luck\nwith this one")
            case Command.REFUSE:
                raise DetectorError("the image is refused")
            case Command.LEAK:
                self.leaked.append(bytearray(os.urandom(1 << 20) * argument))
            case Command.FREEZE:
                os.kill(os.getpid(), signal.SIGSTOP)
            case Command.MEASURE:
                token = time.monotonic_ns()
        height, width = image.shape[:2]
        return Detections(
            np.array([[0, 0, width, height]], np.float32),
            np.array([score_threshold or 1], np.float32),
            np.array([token], np.int64),
        )


def load_scripted(model: str) -> ScriptedDetector:
    """Return a ScriptedDetector, or fail the way `model` says."""
    match model:
        case "missing":
            raise ModelError("missing.tflite: no such file")
        case "broken":
            raise OSError("a library\nis missing")
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "stuck":
            time.sleep(3600)
    if model.startswith("file:") and not os.path.exists(model[5:]):
        raise ModelError(f"{model[5:]}: no such file")
    return ScriptedDetector()


class PatchDetector:
    """Finds patches of pure colour: blue persons, green cars, red cats, all of score 0.9.

    A patch narrower than a twentieth of the image is too small for it, as for any detector.
    """

    labels: Mapping[int, str] = {0: "person", 1: "car", 2: "cat"}

    def detect(
        self,
        image: BGRImage,
        *,
        score_threshold: float | None = None,
        iou_threshold: float | None = None,
        classes: Collection[str] | None = None,
        max_detections: int | None = None,
    ) -> Detections:
        found = []
        for class_id in self.labels:
            patches = (image[:, :, class_id] > 200) & (image.sum(axis=2, dtype=np.int64) < 300)
            _, _, stats, _ = cv2.connectedComponentsWithStats(patches.astype(np.uint8))
            found += [
                (x, y, x + w, y + h, class_id) for x, y, w, h, _ in stats[1:] if w >= image.shape[1] / 20
            ]
        table = np.array(found, np.float32).reshape(-1, 5)
        return Detections(table[:, :4], np.full(len(table), 0.9, np.float32), table[:, 4].astype(np.int64))


def load_patches(model: str) -> PatchDetector:
    """Return a PatchDetector, whatever `model` is."""
    return PatchDetector()


class BatchingDetector(ScriptedDetector):
    """A ScriptedDetector that can take several images at once; the score says how many there were, in %."""

    def detect_batch(
        self,
        images: Sequence[BGRImage],
        *,
        score_threshold: float | None = None,
        iou_threshold: float | None = None,
        classes: Collection[str] | None = None,
        max_detections: int | None = None,
    ) -> list[Detections]:
        return [self.detect(image, score_threshold=len(images) / 100) for image in images]


def load_batching(model: str) -> BatchingDetector:
    """Return a BatchingDetector, whatever `model` is."""
    return BatchingDetector()


class NamedDetector(ScriptedDetector):
    """A ScriptedDetector of one label, the model's name."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.labels = {0: name}

    def detect(self, image: BGRImage, *, classes: Collection[str] | None = None, **_: object) -> Detections:
        if not set(classes or ()) <= set(self.labels.values()):
            raise ModelError(f"{self.labels[0]} does not know {classes}")
        return super().detect(image)


def load_named(model: str) -> NamedDetector:
    """Return a NamedDetector for `model`."""
    return NamedDetector(model)


class HostileDetector(ScriptedDetector):
    """Says things of its own to the pool rather than to answer."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self.what = what

    def detect(self, image: BGRImage, **_: object) -> Detections:  # type: ignore[override]
        pipe = int(sys.argv[3])
        data = Canary.pickled(self.what.removeprefix("pickle:"))
        length = struct.pack("!i", len(data) if self.what.startswith("pickle:") else 1000)
        os.write(pipe, length + (data if self.what.startswith("pickle:") else b"half"))
        return super().detect(scripted_image(0, Command.SLEEP, 60_000))


class Canary:
    """Makes the file of this name when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return open, (self.path, "w")

    @classmethod
    def pickled(cls, path: str) -> bytes:
        """Return what makes the file."""
        return pickle.dumps(cls(path))


def load_hostile(model: str) -> HostileDetector:
    """Return a HostileDetector that does what `model` says: "pickle:PATH" or "half"."""
    return HostileDetector(model)
