from __future__ import annotations

from pathlib import Path

import pytest

from detector.machine import gpus_for
from detector.model_file import ModelFile
from detector.pool import DetectorPool
from tests.support.fakes import scripted_image
from tests.support.leaks import wait_until

LITE, SAVED = ModelFile("lite", Path("lite.tflite")), ModelFile("saved", Path("saved"))


@pytest.fixture
def devices(tmp_path: Path) -> Path:
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    return tmp_path


def test_without_a_driver_there_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert gpus_for([SAVED], tmp_path) == ()


@pytest.mark.parametrize(
    ("allowed", "gpus"),
    [(None, ("0", "1")), ("", ()), ("-1", ()), ("1", ("1",)), ("GPU-a, 2", ("GPU-a", "2"))],
)
def test_those_are_used_that_may_be(
    devices: Path, monkeypatch: pytest.MonkeyPatch, allowed: str | None, gpus: tuple[str, ...]
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if allowed is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", allowed)
    assert gpus_for([LITE, SAVED], devices) == gpus


def test_models_that_run_on_the_cpu_need_none(devices: Path) -> None:
    assert gpus_for([LITE], devices) == ()


def test_each_worker_sees_a_gpu_of_its_own() -> None:
    pool = DetectorPool("good", workers=3, loader="tests.support.fakes:load_scripted", devices=("4", "7"))
    with pool:
        assert wait_until(lambda: pool.idle_workers == 3)
        pool.submit(scripted_image(1)).result(30)
        environments = [
            Path(f"/proc/{worker.pid}/environ").read_bytes().split(b"\0") for worker in pool.status().workers
        ]
    seen = [next(line for line in lines if line.startswith(b"CUDA_VISIBLE")) for lines in environments]
    assert seen == [b"CUDA_VISIBLE_DEVICES=4", b"CUDA_VISIBLE_DEVICES=7", b"CUDA_VISIBLE_DEVICES=4"]
