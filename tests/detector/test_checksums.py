from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from detector.checksums import check_sha256, sha256_of
from detector.errors import ModelError


@pytest.mark.parametrize("content", [b"", b"model", bytes(3 << 20)])
def test_checksum_of_a_file_is_its_sha256(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    assert sha256_of(path) == hashlib.sha256(content).hexdigest()
    check_sha256(path, sha256_of(path).upper())


def test_checksum_of_a_folder_is_that_of_its_list_of_files(tmp_path: Path) -> None:
    (tmp_path / "variables").mkdir()
    for name in ("saved_model.pb", "variables/variables.index", "Z", "a"):
        (tmp_path / name).write_text(name, encoding="utf-8")
    command = "find -type f | sed 's,^./,,' | LC_ALL=C sort | xargs sha256sum | sha256sum"
    listed = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, check=True)
    before = sha256_of(tmp_path)
    assert listed.stdout.split()[0] == before
    (tmp_path / "variables" / "variables.index").write_text("other", encoding="utf-8")
    with pytest.raises(ModelError, match=f"expected {before}: another file, or a damaged one"):
        check_sha256(tmp_path, before)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"gone\.tflite: cannot read the model: No such file"):
        sha256_of(tmp_path / "gone.tflite")
