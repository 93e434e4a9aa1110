"""What may be asked about a video is checked before it is sent; the model that is asked for does the work."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from detector.zoo.catalog import find_model
from tests.support.paths import DATA
from tests.support.server import Answer
from tests.web.api.test_videos import TUS, Videos

PICTURE = DATA / "astronaut.jpg"


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Videos]:
    """A server with a second model: the first's file, every word of its labels with an X before it."""
    folder = tmp_path_factory.mktemp("asked")
    file = find_model("centernet-mobilenetv3")
    assert file.labels_path
    (folder / "x.txt").write_text("\n".join(f"X{word}" for word in file.labels_path.read_text().splitlines()))
    _write_astronaut(folder / "astronaut.mp4")
    models = f"detector.models={{x: {{path: '{file.path}', labels: '{folder}/x.txt'}}}}"
    with Videos(folder, models, "api.models=[x]", "detector.classes=[person, tie]") as videos:
        videos.server.wait_until_ready()
        yield videos


def _write_astronaut(path: Path) -> None:
    picture = cv2.resize(cv2.imread(str(PICTURE)), (320, 320))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 320, 320, "yuv420p"
        for _ in range(5):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="bgr24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


WRONG = [
    ({"model": "dragon"}, "model", "got 'dragon', expected one of centernet-mobilenetv3, x"),
    ({"classes": "persn"}, "classes", "the model knows no class 'persn'; did you mean 'person'?"),
    ({"classes": "person", "model": "x"}, "classes", "the model knows no class 'person'; did you mean"),
    ({"blur": "face"}, "blur", "the model knows no class 'face'; "),
    ({"score": 2}, "score", "expected 0 to 1"),
    ({"every": 0}, "every", "expected 1 to 10000"),
    ({"start_s": -1}, "start_s", "expected 0 to"),
    ({"start_s": 5, "end_s": 2}, "end_s", "expected more than start_s, which is 5"),
    ({"format": "wmv"}, "format", "expected 'mp4', 'mkv', 'avi' or 'gif'"),
    ({"format": "gif", "side": "clips"}, "side", "a GIF cannot be cut"),
]


@pytest.mark.parametrize(("options", "field", "right"), WRONG)
def test_what_is_wrong_is_said_before_anything_is_sent(
    videos: Videos, options: dict[str, Any], field: str, right: str
) -> None:
    query = "&".join(f"{key}={value}" for key, value in options.items())
    encoded = (f"{key} {base64.b64encode(str(value).encode()).decode()}" for key, value in options.items())
    announced = {**TUS, "Upload-Length": "99", "Upload-Metadata": ",".join(("filename YS5tcDQ=", *encoded))}
    named = json.dumps({"path": "astronaut.mp4", **options}).encode()
    for answer in (
        videos.ask("POST", "", b"", announced),
        videos.ask("POST", f"?name=a.mp4&{query}", b"x"),
        videos.ask("POST", "", named, {"Content-Type": "application/json"}),
    ):
        _check_problem(answer, field, right)
    assert videos.ask("GET").json == {"videos": []}


def _check_problem(answer: Answer, field: str, right: str) -> None:
    assert (answer.status, answer.headers["content-type"]) == (422, "application/problem+json")
    assert answer.json["field"] == field
    assert answer.json["detail"].startswith(f"{field}: ")
    assert right in answer.json["detail"]


def test_model_that_is_asked_for_does_the_work(videos: Videos) -> None:
    ours, theirs = videos.add("astronaut.mp4"), videos.add("astronaut.mp4", model="x", classes=["Xperson"])
    assert videos.end(ours)["summary"]["objects"].keys() <= {"person", "tie"}
    info = videos.end(theirs)
    assert info["options"]["model"] == "x"
    assert info["summary"]["objects"] == {"Xperson": 1}


def test_server_that_has_loaded_no_model_knows_what_it_knows(tmp_path: Path) -> None:
    _write_astronaut(tmp_path / "astronaut.mp4")
    with Videos(tmp_path) as videos:
        family = len(videos.server.family())
        wrong = videos.ask("POST", "?name=a.mp4&classes=persn", b"x")
        _check_problem(wrong, "classes", "did you mean 'person'?")
        assert len(videos.server.family()) == family
