"""What opens the gate and what does not, in pictures made of plain colours and noise."""

from __future__ import annotations

import av
import cv2
import numpy as np
import pytest

from detector.detections import BGRImage
from stream_server.config import MotionConfig
from stream_server.detection.motion import HOLD_S, WIDTH, MotionGate, small_grey
from stream_server.detection.regions import Regions
from stream_server.errors import ImageError
from stream_server.media.av_pictures import PictureMaker
from stream_server.media.frames import Picture
from stream_server.media.jpeg import picture_of
from stream_server.sources.demo import DemoScene
from tests.support.sources import plain, raw_picture

SIZE_WH = (640, 360)
EVERY_S = 0.2
ON = MotionConfig(gate=True)


def _street(light: float = 1.0, noise: float = 0.0, seed: int = 0) -> BGRImage:
    """Return a picture with some structure, under that much light and noise."""
    column = np.linspace(40, 160, SIZE_WH[0], dtype=np.float32)
    image = np.broadcast_to(column[None, :, None], (SIZE_WH[1], SIZE_WH[0], 3)) * light
    grain = np.random.default_rng(seed).normal(0, noise, image.shape) if noise else 0
    return np.clip(image + grain, 0, 255).astype(np.uint8)


def _with_person(image: BGRImage, x: int, y: int = 150, height: int = 80) -> BGRImage:
    image = image.copy()
    image[y : y + height, x : x + height // 3] = 220
    return image


class _Camera:
    """Shows pictures to a gate, five a second; what it lets through is analysed, `boxes` are found there."""

    def __init__(self, gate: MotionGate) -> None:
        self.gate = gate
        self.time_s = 0.0
        self.has_detector = True
        self.boxes: tuple[tuple[float, float, float, float], ...] = ()

    def show(self, *images: BGRImage) -> list[bool]:
        return [self._show(image) for image in images]

    def _show(self, image: BGRImage) -> bool:
        self.time_s += EVERY_S
        opens = self.gate.opens(raw_picture(image), self.time_s)
        if opens and self.has_detector:
            self._learn()
        return opens

    def find(self, *boxes: tuple[float, float, float, float]) -> None:
        """Let these be found in the last picture shown and all that follow."""
        self.boxes = boxes
        self._learn()

    def _learn(self) -> None:
        self.gate.learn(np.array(self.boxes, np.float32).reshape(-1, 4), SIZE_WH, self.time_s)

    def settle(self, image: BGRImage) -> None:
        """Show a still picture until it is background."""
        self.show(*[image] * (int(HOLD_S / EVERY_S) + 2))


@pytest.fixture
def camera() -> _Camera:
    return _Camera(MotionGate(ON))


def test_a_still_camera_opens_for_its_first_second_only(camera: _Camera) -> None:
    shown = camera.show(*[_street()] * 300)
    held = int(HOLD_S / EVERY_S) + 1
    assert shown[:held] == [True] * held
    assert not any(shown[held + 1 :])


def test_a_person_opens_it_at_once_and_while_walking(camera: _Camera) -> None:
    camera.settle(_street())
    assert all(camera.show(*(_with_person(_street(), x) for x in range(0, 600, 12))))


def test_a_far_person_is_seen(camera: _Camera) -> None:
    camera.settle(_street(noise=3))
    far = _with_person(_street(noise=3, seed=1), 200, height=36)  # 3 x 9 pixels of the small picture
    assert camera.show(far) == [True]


def test_what_stopped_is_analysed_where_it_stands_and_then_let_be(
    camera: _Camera,
) -> None:
    camera.settle(_street())
    camera.show(*(_with_person(_street(), x) for x in range(0, 200, 12)))
    shown = camera.show(*[_with_person(_street(), 200)] * 200)
    assert all(shown[: int(HOLD_S / EVERY_S)])
    assert not any(shown[150:])  # it has become background


def test_objects_in_a_still_picture_are_looked_for_now_and_then(camera: _Camera) -> None:
    camera.settle(_street())
    camera.find((10, 10, 50, 90))
    shown = camera.show(*[_street()] * 100)
    assert sum(shown) == pytest.approx(100 * EVERY_S / ON.refresh_s, abs=1)
    camera.find()
    assert not any(camera.show(*[_street()] * 100))


def test_a_refresh_stays_due_until_somebody_has_time_for_it(camera: _Camera) -> None:
    camera.settle(_street())
    camera.find((10, 10, 50, 90))
    camera.time_s += ON.refresh_s
    camera.has_detector = False
    assert camera.show(*[_street()] * 3) == [True] * 3
    camera.find()
    assert camera.show(_street()) == [False]


def test_motion_that_nobody_had_time_for_is_not_forgotten(camera: _Camera) -> None:
    camera.settle(_street())
    camera.has_detector = False
    camera.show(_with_person(_street(), 200))
    assert all(camera.show(*[_street()] * 20))
    camera.find()
    assert camera.show(_street()) == [False]


@pytest.mark.parametrize(("noise", "learnt_within_s"), [(10, HOLD_S + EVERY_S), (30, 20.0)])
def test_noise_does_not_open_for_ever(camera: _Camera, noise: float, learnt_within_s: float) -> None:
    noisy = [_street(noise=noise, seed=seed) for seed in range(40)] * 4
    shown = camera.show(*noisy)
    assert not any(shown[round(learnt_within_s / EVERY_S) :])


def test_slow_light_and_a_sudden_cloud_open_nothing(camera: _Camera) -> None:
    camera.settle(_street())
    evening = [_street(light=1 - 0.002 * step) for step in range(150)]
    assert not any(camera.show(*evening))
    darker = np.clip(evening[-1].astype(np.int16) - 25, 0, 255).astype(np.uint8)
    assert not any(camera.show(*[darker] * 10))


def test_switch_to_night_opens_once(camera: _Camera) -> None:
    camera.settle(_street())
    night = np.ascontiguousarray(255 - _street()[:, ::-1] // 2)
    shown = camera.show(*[night] * 100)
    assert shown[0]
    assert sum(shown) <= HOLD_S / EVERY_S + 1


def test_a_lamp_switched_on_does_not_open_for_ever(camera: _Camera) -> None:
    camera.settle(_street())
    lit = _street()
    lit[:180, :200] += 80
    shown = camera.show(*[lit] * 300)
    assert shown[0]
    assert not any(shown[150:])


def test_a_blinking_light_does_not_open_for_ever_but_a_person_beside_it_does(
    camera: _Camera,
) -> None:
    dark, lit = _street(), _street()
    lit[20:120, 20:120] = 250
    blinking = [dark, lit, lit, dark, dark] * 120
    shown = camera.show(*blinking)
    assert any(shown[:50])
    assert not any(shown[-100:])
    assert camera.show(_with_person(dark, 300)) == [True]


@pytest.mark.parametrize("is_known", [True, False], ids=["known as an object", "not known"])
def test_objects_that_pass_often_are_not_taken_for_flicker(camera: _Camera, is_known: bool) -> None:
    """Something sways to and fro for two minutes, half of the time in the same place."""
    for _ in range(120):
        for x in (200, 206, 300, 306):
            camera.show(_with_person(_street(), x))
            camera.find(*[(x, 150, x + 27, 230)] if is_known else [])
    camera.find()
    camera.time_s += HOLD_S
    shown = camera.show(_with_person(_street(), 200), _with_person(_street(), 300))
    assert any(shown) == is_known


def test_motion_counts_in_the_regions_only() -> None:
    regions = Regions(
        inside=[((0, 0), (0.5, 0), (0.5, 1), (0, 1))],
        ignore=[((0, 0), (1, 0), (1, 0.3), (0, 0.3))],
    )
    camera = _Camera(MotionGate(ON, regions))
    camera.settle(_street())
    assert not any(camera.show(*(_with_person(_street(), x, 200) for x in range(400, 600, 10))))
    assert not any(camera.show(*(_with_person(_street(), x, 10) for x in range(0, 300, 10))))
    assert camera.show(_with_person(_street(), 100, 200)) == [True]


def test_another_picture_size_starts_anew(camera: _Camera) -> None:
    camera.settle(_street())
    assert camera.show(_street()) == [False]
    assert camera.show(plain(90, (480, 640))) == [True]


def test_a_broken_picture_is_an_error() -> None:
    def broken() -> BGRImage:
        raise ImageError("truncated")

    with pytest.raises(ImageError):
        MotionGate(ON).opens(Picture((320, 240), broken), 1.0)


@pytest.mark.parametrize("size_wh", [(1, 1), (3, 2), (160, 90), (1281, 723), (720, 1280)])
def test_small_picture_has_the_proportions_of_any_picture(
    size_wh: tuple[int, int],
) -> None:
    small = small_grey(raw_picture(plain(77, size_wh)))
    assert max(small.shape) == WIDTH
    assert small.shape[1] / small.shape[0] == pytest.approx(size_wh[0] / size_wh[1], rel=0.02)
    assert small == pytest.approx(77, abs=1)


def _planes(image: BGRImage, pixel_format: str) -> Picture:
    frame = av.VideoFrame.from_ndarray(image, format="bgr24")
    return PictureMaker().picture(frame.reformat(format=pixel_format))


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuvj420p", "nv12", "gray", "yuv420p10le", "bgr24"])
def test_brightness_of_any_camera_format_is_that_of_its_picture(
    pixel_format: str,
) -> None:
    image = DemoScene((640, 360), 25).frame(0)
    grey = small_grey(_planes(image, pixel_format))
    assert np.corrcoef(grey.ravel(), small_grey(raw_picture(image)).ravel())[0, 1] > 0.97


def test_brightness_of_a_camera_that_sends_planes_or_jpegs_needs_no_pixels() -> None:
    image = DemoScene((640, 360), 25).frame(0)
    jpeg = picture_of(cv2.imencode(".jpg", image)[1].tobytes())
    for picture in (_planes(image, "yuv420p"), jpeg):
        grey = small_grey(picture)
        assert not picture.is_decoded
        assert np.corrcoef(grey.ravel(), small_grey(raw_picture(image)).ravel())[0, 1] > 0.97
        _ = picture.image
        assert np.array_equal(small_grey(picture), grey)
