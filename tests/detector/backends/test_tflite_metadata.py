from __future__ import annotations

import json
from pathlib import Path

import pytest

from detector import load_detector
from detector.backends import ModelMetadata
from detector.backends.litert import LiteRTBackend
from detector.backends.tflite_metadata import read_metadata
from detector.model_file import ModelFile
from detector.zoo.catalog import find_model
from tests.support.models.metadata import metadata_of, with_metadata

DEFAULT = find_model("centernet-mobilenetv3")
PLAIN = DEFAULT.path.read_bytes()
NAMES = {0: "cat", 1: "dog's"}


def test_model_without_metadata_says_nothing() -> None:
    assert read_metadata(PLAIN) == ModelMetadata()


@pytest.mark.parametrize(
    ("metadata", "files", "labels"),
    [
        (metadata_of(), {}, None),
        (metadata_of("labels.txt"), {}, None),  # named, but not there
        (metadata_of(), {"labels.txt": "cat\n"}, None),  # there, but not said to be labels
        (metadata_of("labels.txt"), {"notes.txt": "x", "labels.txt": "cat\n\ndog\n"}, {0: "cat", 2: "dog"}),
        (metadata_of("labels.txt"), {"labels.txt": "???\ncat\n???\ndog\n"}, {0: "cat", 2: "dog"}),
        (None, {"labels.txt": "Füße\r\n"}, {0: "Füße"}),
        (None, {"metadata.json": json.dumps({"stride": 32, "names": NAMES})}, NAMES),
        (None, {"metadata.json": json.dumps({"names": ["cat", "dog's"]})}, NAMES),
        (None, {"temp_meta.txt": str({"stride": 32, "names": NAMES})}, NAMES),
    ],
)
def test_labels_are_those_in_the_archive(
    metadata: bytes | None, files: dict[str, str], labels: dict[int, str] | None
) -> None:
    assert read_metadata(with_metadata(PLAIN, metadata, files)).labels == labels


@pytest.mark.parametrize(
    ("mean", "std", "expected"),
    [
        ([], [], (None, None)),
        ([127.5], [127.5], ((127.5,) * 3, (127.5,) * 3)),
        ([1, 2, 3], [4, 5, 6], ((1, 2, 3), (4, 5, 6))),
        ([1, 2], [4, 5], (None, None)),
        ([1], [0], (None, None)),  # nothing can be divided by it
    ],
)
def test_normalisation_is_that_of_the_input(
    mean: list[float], std: list[float], expected: tuple[object, object]
) -> None:
    found = read_metadata(with_metadata(PLAIN, metadata_of(mean=mean, std=std)))
    assert (found.mean, found.std) == expected


@pytest.mark.parametrize(
    ("metadata", "files"),
    [
        (b"", {}),
        (b"\xff" * 40, {}),
        (metadata_of("labels.txt", [1], [1])[:60], {}),
        (None, {"metadata.json": "{"}),
        (None, {"metadata.json": '{"names": 5}'}),
        (None, {"metadata.json": '{"names": ' + "[" * 100_000}),
        (None, {"labels.txt": "x" * 2_000_000}),
    ],
)
def test_damaged_metadata_is_not_used(
    metadata: bytes | None, files: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    assert read_metadata(with_metadata(PLAIN, metadata, files)) == ModelMetadata()


LABELS = DEFAULT.labels_path.read_text(encoding="utf-8").upper()  # type: ignore[union-attr]


def _archives() -> dict[str, bytes]:
    """Return a good model behind which an archive is damaged in the ways that zipfile stumbles over."""
    good = with_metadata(PLAIN, metadata_of("labels.txt"), {"labels.txt": LABELS})
    entry, directory = good.rfind(b"PK\x03\x04"), good.rfind(b"PK\x01\x02")

    def patched(at: int, data: bytes) -> bytes:
        return good[:at] + data + good[at + len(data) :]

    return {
        "unknown compression": patched(entry + 8, b"\x63\x00")[:directory]
        + patched(directory + 10, b"\x63\x00")[directory:],
        "encrypted": patched(directory + 8, b"\x01\x00"),
        "wrong checksum": patched(directory + 16, b"\1\2\3\4"),
        "no local header": patched(entry, b"XXXX"),
        "far offset": patched(directory + 42, b"\xff\xff\xff\x7f"),
        "size of 2 GiB": patched(directory + 20, b"\xff\xff\xff\x7f"),
        "half": good[:directory] + good[directory + 10 :],
    }


@pytest.mark.parametrize("damage", _archives())
def test_good_model_is_used_without_its_damaged_archive(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(_archives()[damage])
    read_metadata(path.read_bytes())
    with load_detector(ModelFile("model", path)) as detector:
        assert len(detector.labels) == 80


def test_detector_takes_labels_and_normalisation_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    words = DEFAULT.labels_path.read_text(encoding="utf-8").upper()  # type: ignore[union-attr]
    path.write_bytes(with_metadata(PLAIN, metadata_of("words.txt", [3], [4]), {"words.txt": words}))
    assert LiteRTBackend(path).metadata.mean == (3, 3, 3)
    with load_detector(ModelFile("model", path)) as detector:
        assert detector.labels[0] == "PERSON"
        assert len(detector.labels) == 80
