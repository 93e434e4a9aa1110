"""One way up: pictures that lie on their side or are mirrored, from every kind of camera to all who look."""

from __future__ import annotations

import itertools
import json
import struct
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from flask.testing import FlaskClient

from detector.detections import BGRImage
from detector.pool import DetectorPool
from stream_server.config import Config, SourceConfig
from stream_server.engine import Engine
from stream_server.media.frames import Picture
from stream_server.media.jpeg import decode, decode_grey, picture_of
from stream_server.media.orientation import back, matrix_of, of_matrix, turn, turned_wh
from stream_server.sources import open_source
from stream_server.streaming.streams import Variant
from stream_server.video import Options, annotate
from stream_server.web.app import create_app
from tests.support.cameras.http import HTTPCamera
from tests.support.cameras.videofile import write_video
from tests.support.cameras.webcam import Bench, FakeWebcam, sees_fake_webcams
from tests.support.leaks import wait_until
from tests.support.pictures import BLUE, ORIENTATIONS, is_upright, jpeg_lying, stored, upright
from tests.support.sources import ScriptedSource
from tests.test_pipeline import WITHIN_S, next_frame, running

SIZE_WH = (160, 96)
_A, _W = 1 << 16, 1 << 30
MATRICES = {
    1: (_A, 0, 0, 0, _A, 0, 0, 0, _W),
    2: (-_A, 0, 0, 0, _A, 0, 160 * _A, 0, _W),
    3: (-_A, 0, 0, 0, -_A, 0, 160 * _A, 96 * _A, _W),
    4: (_A, 0, 0, 0, -_A, 0, 0, 96 * _A, _W),
    5: (0, _A, 0, _A, 0, 0, 0, 0, _W),
    6: (0, _A, 0, -_A, 0, 0, 160 * _A, 0, _W),
    7: (0, -_A, 0, -_A, 0, 0, 160 * _A, 96 * _A, _W),
    8: (0, -_A, 0, _A, 0, 0, 0, 96 * _A, _W),
}
"""As they stand in the track header of an MP4, for a picture that is shown 160 wide and 96 high.

ISO 14496-12, 8.3.2: a, b, 0, c, d, 0, tx, ty, 1; (x, y) is shown at (a x + c y + tx, b x + d y + ty).
"""


def decoded(jpeg: bytes) -> BGRImage:
    """Return the pixels as stored, whatever the EXIF data says, which is how `live` streams are to look."""
    how = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    return np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), how), np.uint8)


def mp4_lying(path: Path, orientation: int, count: int = 3) -> Path:
    """Write a video that players show upright."""
    write_video(path, [stored(upright(SIZE_WH), orientation)] * count, options={"qp": "10"})
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 4 + 20 + 16
    data[at : at + 36] = struct.pack(">9i", *MATRICES[orientation])
    path.write_bytes(data)
    return path


def first_picture(address: str, **config: object) -> Picture:
    source = open_source(SourceConfig.model_validate({"source": address, **config}))
    try:
        source.open()
        return next(picture for picture in (source.read() for _ in itertools.count()) if picture)
    finally:
        source.close()


# The eight ways.


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_turning_and_turning_back(orientation: int) -> None:
    image = upright((40, 36))
    lying = stored(image, orientation)
    np.testing.assert_array_equal(turn(lying, orientation), image)
    np.testing.assert_array_equal(turn(image, back(orientation)), lying)
    assert turned_wh(lying.shape[1::-1], orientation) == (40, 36)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_matrices_are_read_and_written(orientation: int) -> None:
    assert of_matrix(MATRICES[orientation]) == orientation
    assert of_matrix(matrix_of(orientation)) == orientation
    assert matrix_of(orientation)[:6] == MATRICES[orientation][:6]


@pytest.mark.parametrize(
    ("matrix", "nearest"),
    [
        ((0, 0, 0, 0, 0, 0, 0, 0, 0), 1),
        ((64000, 10000, 0, -10000, 64000, 0, 0, 0, _W), 1),
        ((10000, 64000, 0, -64000, 10000, 0, 0, 0, _W), 6),
        ((2 * _A, 0, 0, 0, -3 * _A, 0, 0, 0, _W), 4),
    ],
)
def test_other_matrices_are_the_nearest_orientation(matrix: tuple[int, ...], nearest: int) -> None:
    assert of_matrix(matrix) == nearest


# Cameras that send JPEGs.


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("order", ["<", ">"])
def test_jpegs_become_upright_pixels(orientation: int, order: str) -> None:
    jpeg = jpeg_lying(upright(SIZE_WH), orientation, order)
    picture = picture_of(jpeg)
    assert picture.size_wh == SIZE_WH
    assert is_upright(picture.image)
    assert is_upright(decode(jpeg))
    assert picture.grey.shape == (12, 20)
    assert decode_grey(jpeg)[1, 1] < 60 < decode_grey(jpeg)[10, 10] < decode_grey(jpeg)[1, 18]


def test_bytes_of_upright_jpegs_stay_untouched() -> None:
    without_exif = cv2.imencode(".jpg", upright())[1].tobytes()
    for jpeg in (without_exif, jpeg_lying(upright(), 1), jpeg_lying(upright(), 1, ">")):
        assert picture_of(jpeg).jpeg is jpeg
    for orientation in ORIENTATIONS[1:]:
        assert picture_of(jpeg_lying(upright(), orientation)).jpeg is None


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("mode", ["mjpeg", "snapshot"])
def test_http_cameras_are_upright(mode: str, orientation: int) -> None:
    with HTTPCamera(mode, jpegs=[jpeg_lying(upright(), orientation)]) as camera:  # type: ignore[arg-type]
        picture = first_picture(camera.url)
    assert (picture.size_wh, is_upright(picture.image)) == (SIZE_WH, True)


@sees_fake_webcams
def test_webcams_are_upright(tmp_path: Path) -> None:
    from stream_server.sources.webcam import WebcamSource

    bench = Bench(tmp_path)
    FakeWebcam(bench, config="MJPG 160 96 50", frames=[jpeg_lying(upright(), 5)]).plug(0)
    source = WebcamSource(SourceConfig.model_validate({"source": "0"}), bench.webcams)
    source.open()
    try:
        picture = next(picture for picture in (source.read() for _ in range(100)) if picture)
    finally:
        source.close()
    assert (picture.size_wh, is_upright(picture.image)) == (SIZE_WH, True)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_files_of_jpegs_are_upright(tmp_path: Path, orientation: int) -> None:
    path = tmp_path / "camera.mjpeg"
    path.write_bytes(3 * jpeg_lying(upright(), orientation))
    picture = first_picture(str(path))
    assert (picture.size_wh, is_upright(picture.image)) == (SIZE_WH, True)


@pytest.fixture(scope="module")
def pool() -> Iterator[DetectorPool]:
    with DetectorPool("patches", workers=1, loader="tests.support.fakes:load_patches") as started:
        started.wait_ready(20)
        for answer in [started.submit(upright(SIZE_WH)) for _ in range(8)]:
            answer.result(20)  # its memory is there from now on
        yield started


@pytest.mark.parametrize("orientation", [2, 6, 7])
def test_streams_and_boxes_are_one_way_up(pool: DetectorPool, orientation: int) -> None:
    source = ScriptedSource()
    jpeg = jpeg_lying(upright(), orientation)
    variants = [Variant("none"), Variant("none", quality=80), Variant("live", caption=False)]
    with running(source, pool) as pipeline, pipeline.analyses.heard_by(lambda: None):

        def has_both() -> bool:
            source.emit(picture_of(jpeg))
            analysis = pipeline.analysis
            return analysis is not None and len(analysis.detections) == 2

        assert wait_until(has_both, WITHIN_S)
        analysis = pipeline.analysis
        assert analysis is not None
        boxes = {
            int(id): box
            for id, box in zip(analysis.detections.class_ids, analysis.detections.boxes, strict=True)
        }
        assert boxes[0] == pytest.approx([0, 0, 32, 32], abs=2)  # blue
        assert boxes[1] == pytest.approx([128, 0, 160, 32], abs=2)  # green
        for variant in variants:
            with pipeline.streams.watch(variant, 100) as viewer:
                source.emit(picture_of(jpeg))
                frame = next_frame(viewer)
            image = decoded(frame.jpeg)
            assert frame.size_wh == image.shape[1::-1] == SIZE_WH
            assert variant.is_drawn_on or is_upright(image)
            assert np.abs(image[16, 16].astype(int) - BLUE).max() < 60


@pytest.fixture(scope="module")
def client() -> Iterator[FlaskClient]:
    config = Config.load(None, cameras={"phone": {"source": "push:"}}, detector={"workers": 0})
    with Engine(config) as engine, create_app(engine).test_client() as client:
        yield client


@pytest.mark.parametrize("orientation", [1, 3, 5, 8])
def test_pushed_pictures_are_upright_on_every_route(client: FlaskClient, orientation: int) -> None:
    width = 160 + 16 * orientation  # each time another size: what is shown is the picture just pushed
    jpeg = jpeg_lying(upright((width, 96)), orientation)

    def told() -> dict[str, int]:
        answer = client.get("/api/v1/cameras").json
        return answer["cameras"][0] if isinstance(answer, dict) else answer[0]  # type: ignore[index,no-any-return]

    def has_arrived() -> bool:
        assert client.post("/api/v1/cameras/phone/push", data=jpeg).status_code == 200
        return (told()["width"], told()["height"]) == (width, 96)

    assert wait_until(has_arrived, WITHIN_S)
    for path in (
        "/cameras/phone/snapshot.jpg?overlay=none",
        "/cameras/phone/snapshot.jpg?caption=0",
        "/?action=snapshot",
        "/snapshot",
        "/api/phone/latest.jpg",
    ):
        answer = client.get(path)
        assert answer.status_code == 200, path
        assert decoded(answer.data).shape == (96, width, 3), path
        if "caption=0" in path or "none" in path:
            assert is_upright(decoded(answer.data), (width, 96)), path


# Video files: turned and mirrored by the matrix of their track.


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_file_cameras_heed_the_matrix(tmp_path: Path, orientation: int) -> None:
    picture = first_picture(str(mp4_lying(tmp_path / "in.mp4", orientation)))
    assert picture.size_wh == SIZE_WH
    assert is_upright(picture.image)
    assert picture.grey.shape == (96, 160)
    assert picture.grey[16, 16] < 60 < picture.grey[80, 80] < picture.grey[16, 144]


def shown(path: Path) -> list[BGRImage]:
    """Return the pictures of a video as players show them."""
    with av.open(str(path)) as container:
        images = []
        for frame in container.decode(video=0):
            matrix = frame.side_data.get("DISPLAYMATRIX")
            lies = of_matrix(struct.unpack("=9i", bytes(matrix))) if matrix else 1  # type: ignore[call-overload]
            images.append(turn(np.asarray(frame.to_ndarray(format="bgr24"), np.uint8), lies))
        return images


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize(
    ("out", "classes"),
    [
        ("o.mp4", ("person",)),
        ("o.mp4", ("cat",)),  # nothing is drawn: frames pass as they are
        ("o.mkv", ("person",)),
        ("o.avi", ("cat",)),
        ("o.gif", ("person",)),
    ],
)
def test_annotated_videos_are_shown_as_their_inputs(
    tmp_path: Path, pool: DetectorPool, orientation: int, out: str, classes: tuple[str, ...]
) -> None:
    source = mp4_lying(tmp_path / "in.mp4", orientation)
    options = Options(classes=classes, draw_labels=False, side=frozenset({"json"}))
    assert annotate(source, tmp_path / out, options, pool=pool).frames == 3
    images = shown(tmp_path / out)
    assert len(images) == 3
    assert all(is_upright(image) for image in images)
    lines = [json.loads(line) for line in (tmp_path / "o.ndjson").read_text().splitlines()]
    boxes = [found["box"] for line in lines for found in line["objects"]]
    assert boxes == ([pytest.approx([0, 0, 32, 32], abs=2)] * 3 if classes == ("person",) else [])
