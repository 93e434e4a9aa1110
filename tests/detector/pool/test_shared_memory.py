from __future__ import annotations

import mmap
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from detector import DetectorError
from detector.pool.shared_memory import KEEP_BYTES, SharedImage, SharedImageReader
from tests.support.leaks import open_descriptors


@pytest.fixture
def slot() -> Iterator[SharedImage]:
    slot = SharedImage()
    yield slot
    slot.close()


def numbered(shape: tuple[int, int, int], start: int = 0) -> np.ndarray:
    return (np.arange(np.prod(shape)) + start).astype(np.uint8).reshape(shape)


def test_reader_sees_the_image_that_was_written(slot: SharedImage) -> None:
    image = numbered((4, 5, 3))
    slot.write(image)
    assert np.array_equal(SharedImageReader(slot.fd).read(image.shape), image)


def test_reader_gets_no_right_to_write(slot: SharedImage) -> None:
    slot.write(numbered((2, 2, 3)))
    image = SharedImageReader(slot.fd).read((2, 2, 3))
    assert not image.flags.writeable
    with pytest.raises(ValueError, match="WRITEABLE"):
        image.setflags(write=True)


@pytest.mark.parametrize("shapes", [[(1, 1, 3), (720, 1280, 3), (2, 3, 3), (1080, 1920, 3)]])
def test_one_reader_follows_every_change_of_size(
    slot: SharedImage, shapes: list[tuple[int, int, int]]
) -> None:
    reader = SharedImageReader(slot.fd)
    for number, shape in enumerate(shapes):
        image = numbered(shape, number)
        slot.write(image)
        assert np.array_equal(reader.read(shape), image)


def test_an_image_in_the_hands_of_a_detector_outlives_the_slots_growth(slot: SharedImage) -> None:
    reader = SharedImageReader(slot.fd)
    slot.write(numbered((2, 2, 3)))
    kept = reader.read((2, 2, 3))
    slot.write(numbered((100, 100, 3), 1))
    reader.read((100, 100, 3))
    assert kept[0, 0, 0] == 1


def test_a_sliced_image_is_written_as_it_looks(slot: SharedImage) -> None:
    image = numbered((8, 8, 3))[::2, ::-1]
    slot.write(image)
    assert np.array_equal(SharedImageReader(slot.fd).read(image.shape), image)


def test_a_very_large_image_gives_its_memory_back_and_the_next_one_still_arrives(slot: SharedImage) -> None:
    reader = SharedImageReader(slot.fd)
    slot.write(np.ones((4000, 4000, 3), np.uint8))
    assert reader.read((4000, 4000, 3))[-1, -1, -1] == 1
    slot.trim()
    assert os.fstat(slot.fd).st_blocks == 0
    slot.write(numbered((2, 2, 3)))
    assert np.array_equal(reader.read((2, 2, 3)), numbered((2, 2, 3)))


def test_the_memory_of_a_usual_image_is_kept(slot: SharedImage) -> None:
    slot.write(np.ones((2160, 3840, 3), np.uint8))
    slot.trim()
    assert 2160 * 3840 * 3 <= os.fstat(slot.fd).st_size <= KEEP_BYTES


def test_memory_is_claimed_before_it_is_touched(slot: SharedImage) -> None:
    slot._reserve(np.ones((720, 1280, 3), np.uint8))
    assert os.fstat(slot.fd).st_blocks * 512 >= 720 * 1280 * 3


def test_a_slot_without_memory_names_the_size_and_keeps_working(slot: SharedImage) -> None:
    slot.write(numbered((2, 2, 3)))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(DetectorError, match=r"1280x720 pixels: File too large; 2\.6 MiB needed"):
            slot.write(np.ones((720, 1280, 3), np.uint8))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    slot.write(numbered((2, 2, 3), 7))
    assert np.array_equal(SharedImageReader(slot.fd).read((2, 2, 3)), numbered((2, 2, 3), 7))


def test_a_closed_slot_refuses_images_and_leaves_nothing_open() -> None:
    before = open_descriptors()
    slot = SharedImage()
    slot.write(numbered((2, 2, 3)))
    slot.close()
    slot.close()
    assert open_descriptors() == before
    with pytest.raises(DetectorError, match="closed"):
        slot.write(numbered((2, 2, 3)))


def test_without_memfd_the_file_has_no_name_either(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delattr(os, "memfd_create")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    slot = SharedImage()
    image = numbered((3, 3, 3))
    slot.write(image)
    assert np.array_equal(SharedImageReader(slot.fd).read(image.shape), image)
    assert list(tmp_path.iterdir()) == []
    slot.close()


def test_mapping_that_is_refused_is_a_detector_error(
    slot: SharedImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(fd: int, size: int) -> mmap.mmap:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(mmap, "mmap", refuse)
    with pytest.raises(DetectorError, match="Cannot allocate memory"):
        slot.write(numbered((2, 2, 3)))
