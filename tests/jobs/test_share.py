"""A video in the background on a machine that others keep busy: it goes on, and says why it is slow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from stream_server.jobs.share import LEAST, Share, Weight
from stream_server.video.pace import Pace, ProgressMeter
from stream_server.video.summary import Progress
from tests.support.leaks import wait_until


@contextmanager
def spinning(*, nice: int = 0) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process that takes all it can of the first core it may use."""
    core = min(os.sched_getaffinity(0))
    code = f"import os; os.sched_setaffinity(0, {{{core}}}); os.nice({nice})\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        try:
            yield process
        finally:
            process.kill()


def test_work_that_others_hold_up_has_a_small_share() -> None:
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(spinning())
        stack.enter_context(spinning(nice=19))
        share, seen = Share(), []

        def is_measured() -> bool:
            if (one := share.measure()) is not None:
                seen.append(one)
            return len(seen) > 20

        assert wait_until(is_measured, 60)
    assert all(0 <= one <= 1 for one in seen)
    assert min(seen) < 0.9  # three want one core


def _nice_of(process: subprocess.Popen[bytes]) -> int:
    return os.getpriority(os.PRIO_PROCESS, process.pid)


def test_weight_grows_while_the_share_is_too_small_and_shrinks_after() -> None:
    code = """if True:
        import json, os
        from stream_server.jobs.share import Weight
        os.nice(19)
        weight = Weight(19)
        seen = []
        for share in (0.01, 0.01, 0.01, 0.01, 0.2, None, 0.9, 0.9, 0.9):
            weight.adapt(share)
            seen.append((weight._step, os.nice(0)))
        print(json.dumps(seen))
    """
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, start_new_session=True
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert [step for step, _ in seen] == [1, 2, 3, 3, 3, 2, 1, 0, 0]
    if os.geteuid() == 0:  # others may not, and have the sessions' weight alone
        assert [nice for _, nice in seen] in ([10, 5, 0, 0, 0, 5, 10, 19, 19], [19] * 9)


def test_weight_stays_where_nothing_is_to_give_way() -> None:
    weight = Weight(0)
    weight.adapt(LEAST / 2)
    assert os.nice(0) == os.getpriority(os.PRIO_PROCESS, 0)


@pytest.mark.parametrize(
    ("share", "said"), [(None, None), (0.9, None), (0.04, "it gets 4 % of"), (0.0, "it gets 1 % of")]
)
def test_what_holds_work_up_is_said(share: float | None, said: str | None) -> None:
    waits_for = Pace(share=share).waits_for
    assert (waits_for is None) == (said is None)
    assert (said or "") in (waits_for or "")


def test_time_left_is_known_though_frames_take_long(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("stream_server.video.pace.time.monotonic", lambda: now)
    pacer = ProgressMeter()
    for frames in range(1, 6):
        pace = pacer.take(Progress(frames, 105, 0, 0.0), 0.02)
        now += 17.0
    assert pace.fps == pytest.approx(1 / 17)
    assert pace.left_s == pytest.approx(1700)
