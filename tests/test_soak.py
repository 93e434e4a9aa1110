"""A server for an hour with settings that change all the time: what it holds has to level off.

`make soak`; SOAK_MINUTES says how long, SOAK_LOG into which file a line goes every few seconds.
"""

from __future__ import annotations

import itertools
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest

from tests.support.cameras.http import HTTPCamera
from tests.support.leaks import open_descriptors, resident_bytes, threads
from tests.support.posts import post_json
from tests.support.server import Answer, Server
from tests.support.viewers import Viewer
from tests.support.websockets import Client

MINUTES = float(os.environ.get("SOAK_MINUTES", "60"))
SAMPLE_EVERY_S = 5.0
MIB = 1 << 20
MOST_MIB_PER_MINUTE = 0.2
"""Of the second half: 12 MiB an hour would take a machine of 1 GiB three days."""

pytestmark = [pytest.mark.soak, pytest.mark.timeout(MINUTES * 60 + 300)]


@dataclass(frozen=True)
class Sample:
    """What the web worker holds, so many minutes after the start."""

    minute: float
    resident_mib: float
    descriptors: int
    threads: int
    changes: int


class Household:
    """People who change settings, add and remove cameras, watch and leave, all at random."""

    def __init__(self, server: Server, camera: HTTPCamera) -> None:
        self.changes = 0
        self._server = server
        self._addresses = (camera.url, "demo:")
        self._random = random.Random(12)
        self._numbers = itertools.count()

    def change(self) -> None:
        """Change something of a camera that stays."""
        name = self._random.choice(("front", "back"))
        kind = self._random.randrange(4)
        if kind == 0:
            patch: dict[str, object] = {"stream": {"quality": self._random.randint(40, 90)}}
        elif kind == 1:
            patch = {"fps": self._random.randint(2, 6)}  # asks something else of the source
        elif kind == 2:
            patch = {"detect": {"fps": 1, "classes": self._random.sample(["person", "cat", "car"], 2)}}
        else:
            patch = {"detect": {"fps": 1, "inside": [[[0, 0], [1, 0], [1, self._random.random()]]]}}
        self._ask("PATCH", name, patch, 200)

    def come_and_go(self) -> None:
        """Add a camera that nobody has had before, look at it, and remove it."""
        name = f"guest-{next(self._numbers)}"
        section = {"source": self._random.choice(self._addresses), "width": 160, "detect": {"fps": 1}}
        self._ask("PUT", name, section, 201)
        with Viewer(self._server.port, f"/cameras/{name}/stream.mjpg") as viewer:
            viewer.read(2)
        self._ask("DELETE", name, None, 204)

    def look(self) -> None:
        """Watch for a moment, and ask for what pages and monitoring ask for."""
        with (
            Viewer(
                self._server.port, f"/cameras/front/stream.mjpg?quality={self._random.randint(30, 90)}"
            ) as viewer,
            Client.connect(self._server.port) as wall,
        ):
            wall.watch({"id": 1, "camera": "front"}, {"id": 2, "camera": "back"})
            wall.picture()
            viewer.read(2)
        for path in ("/", "/settings", "/metrics", "/status", "/api/v1/status", "/cameras/back/snapshot.jpg"):
            assert self._server.get(path).status == 200, path

    def _ask(self, method: str, name: str, body: object, status: int) -> None:
        answer: Answer = post_json(self._server.port, f"/api/v1/settings/cameras/{name}", body, method=method)
        assert answer.status == status, answer.text
        self.changes += 1


@contextmanager
def _again_and_again(act: Callable[[], None], pause_s: float) -> Iterator[list[BaseException]]:
    """Repeat `act` on a thread of its own; yield the list that gets what goes wrong."""
    stop, errors = Event(), list[BaseException]()

    def run() -> None:
        try:
            while not stop.wait(pause_s):
                act()
        except BaseException as exc:
            errors.append(exc)

    thread = Thread(target=run, name=f"soak-{act.__name__}", daemon=True)
    thread.start()
    try:
        yield errors
    finally:
        stop.set()
        thread.join(30)


def _slope(samples: list[Sample], value: Callable[[Sample], float]) -> float:
    """Return by how much `value` grows a minute (least squares)."""
    return float(
        np.polyfit([sample.minute for sample in samples], [value(sample) for sample in samples], 1)[0]
    )


def _soak(server: Server, camera: HTTPCamera) -> list[Sample]:
    samples: list[Sample] = []
    household, worker, began = Household(server, camera), server.web_worker, time.monotonic()
    log = os.environ.get("SOAK_LOG")
    with ExitStack() as stack:
        errors = [
            stack.enter_context(_again_and_again(act, pause_s))
            for act, pause_s in ((household.change, 1.0), (household.come_and_go, 3.0), (household.look, 5.0))
        ]
        while (now := (time.monotonic() - began) / 60) < MINUTES and not any(errors):
            sample = Sample(
                round(now, 2), round(resident_bytes(worker) / MIB, 2), open_descriptors(worker),
                threads(worker), household.changes,
            )  # fmt: skip
            samples.append(sample)
            if log:
                with Path(log).open("a", encoding="utf-8") as file:
                    print(*astuple(sample), file=file)
            Event().wait(SAMPLE_EVERY_S)
    for error in itertools.chain(*errors):
        raise error
    assert server.web_worker == worker
    return samples


def test_what_a_server_holds_levels_off_while_settings_change_all_the_time(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    with HTTPCamera() as camera:
        file.write_text(
            "detector: {workers: 1}\n"
            "cameras:\n"
            "  front: {source: 'demo:', width: 320, height: 180, fps: 5, detect: {fps: 1}}\n"
            f"  back: {{source: '{camera.url}', detect: {{fps: 1}}}}\n",
            encoding="utf-8",
        )
        with Server("--config", str(file)) as server:
            samples = _soak(server, camera)
            assert not [line for line in server.log if " ERROR " in line or "Traceback" in line]
    half = samples[len(samples) // 2 :]
    assert _slope(half, lambda sample: sample.resident_mib) <= MOST_MIB_PER_MINUTE
    assert abs(_slope(half, lambda sample: sample.descriptors)) * half[-1].minute < 5
    assert abs(_slope(half, lambda sample: sample.threads)) * half[-1].minute < 5
