"""Pictures and slices that got lost: nothing is shown that was predicted from them, and each is counted."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import cast

import av
import numpy as np
import pytest
from av.packet import Packet
from av.video.stream import VideoStream

from detector.detections import BGRImage
from stream_server.media.av_decoder import PacketDecoder, VideoPacket
from stream_server.media.av_pictures import PictureMaker
from stream_server.media.continuity import START_CODE, FrameNumbers, nal_units
from stream_server.media.slices import PictureSlices, decodable

COUNT, GOP = 60, 12
SIZE_WH = (160, 96)


def image(number: int) -> BGRImage:
    """Return a texture that moves from picture to picture: none looks like another."""
    texture = (
        np.random.default_rng(1).integers(0, 8, (12, 60, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1) * 32
    )
    return np.ascontiguousarray(texture[:, 5 * number : 5 * number + SIZE_WH[0]])


X264 = {"preset": "ultrafast", "tune": "zerolatency"}
ENCODERS: dict[str, tuple[str, dict[str, str], str]] = {
    "plain": ("libx264", {**X264, "profile": "baseline"}, "yuv420p"),
    "high": ("libx264", {**X264, "profile": "high"}, "yuv420p"),
    "unreferenced": ("libx264", {"preset": "ultrafast", "bf": "1", "rc-lookahead": "1"}, "yuv420p"),
    "high 4:4:4": ("libx264", X264, "yuv444p"),
    "matrices": ("libx264", {**X264, "x264-params": "cqm=jvt:8x8dct=1"}, "yuv420p"),
    "H.265": ("libx265", {**X264, "x265-params": f"keyint={GOP}:log-level=none"}, "yuv420p"),
    "H.265 in slices": (
        "libx265",
        {**X264, "x265-params": f"keyint={GOP}:log-level=none:slices=3"},
        "yuv420p",
    ),
    "H.265 unreferenced": (
        "libx265",
        {"preset": "ultrafast", "x265-params": f"keyint={GOP}:log-level=none:bframes=2:b-adapt=0"},
        "yuv420p",
    ),
}


@pytest.fixture(scope="module", params=ENCODERS)
def film(request: pytest.FixtureRequest) -> tuple[str, bytes]:
    """A stream as cameras send it: parameter sets before each key frame, one every 12 pictures."""
    return request.param, encoded(request.param)


def encoded(name: str) -> bytes:
    codec, options, pixels = ENCODERS[name]
    data = io.BytesIO()
    with av.open(data, "w", format="mpegts") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = SIZE_WH
        stream.pix_fmt, stream.gop_size = pixels, GOP
        for number in range(COUNT):
            frame = av.VideoFrame.from_ndarray(image(number), format="bgr24").reformat(format=pixels)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return data.getvalue()


def decoded(data: bytes, change: Callable[[int, bytes], bytes]) -> tuple[dict[int, BGRImage], int]:
    """Return what is shown of a stream whose packets arrive changed, by time stamp, and the errors.

    change: gives what arrives of a packet of that number, nothing if it is lost.
    """
    maker, shown = PictureMaker(), {}
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        decoder = PacketDecoder(stream, hide_broken=True)
        packets: Iterator[VideoPacket] = (packet for packet in container.demux(stream) if packet.size)
        for number, packet in enumerate(packets):
            if arrived := change(number, bytes(packet)):
                for frame in decoder.decode(_with(packet, arrived)):
                    shown[frame.pts or 0] = maker.picture(frame).image
        return shown, decoder.decode_errors


def _with(packet: VideoPacket, data: bytes) -> VideoPacket:
    other = cast(VideoPacket, Packet(data))
    other.pts, other.dts, other.time_base = packet.pts, packet.dts, packet.time_base
    other.is_keyframe = packet.is_keyframe
    return other


def as_sent(_number: int, data: bytes) -> bytes:
    return data


def joined(units: list[bytes]) -> bytes:
    return b"".join(START_CODE + unit for unit in units)


def is_slice(unit: bytes) -> bool:
    """Return whether a unit of an H.265 stream is a slice."""
    return unit[0] >> 1 < 32


@pytest.mark.parametrize("seed", range(6))
def test_each_picture_shown_is_one_the_camera_saw(film: tuple[str, bytes], seed: int) -> None:
    _, data = film
    whole, errors = decoded(data, as_sent)
    assert (len(whole) >= COUNT - 3, errors) == (True, 0)
    lost = np.random.default_rng(seed).random(COUNT) < 0.1
    lost[0] = False
    shown, errors = decoded(data, lambda number, packet: b"" if lost[number] else packet)
    assert all(np.array_equal(picture, whole[at]) for at, picture in shown.items())
    assert len(shown) > 5
    withheld = COUNT - int(lost.sum()) - len(shown)
    assert 0 <= withheld - errors <= COUNT - len(whole), "at the end some may wait for those after them"


@pytest.mark.parametrize("seed", range(6))
def test_no_picture_is_shown_that_lacks_slices(seed: int) -> None:
    data = encoded("H.265 in slices")
    whole, _ = decoded(data, as_sent)
    random = np.random.default_rng(seed)

    def lossy(number: int, packet: bytes) -> bytes:
        """Lose each tenth slice, none of the first three pictures, which tell how many there are."""
        units = list(nal_units(packet))
        return joined([unit for unit in units if not is_slice(unit) or number < 3 or random.random() > 0.1])

    shown, errors = decoded(data, lossy)
    assert all(np.array_equal(picture, whole[at]) for at, picture in shown.items())
    assert len(shown) > 5
    assert errors >= COUNT - len(shown) - 5, "five or so lost all three"


def test_cameras_may_cut_each_picture_elsewhere() -> None:
    slices = PictureSlices(None)

    def cut(number: int, packet: bytes) -> bytes:
        """Leave the key frames three slices and the others one or two."""
        units = list(nal_units(packet))
        kept = [unit for unit in units if not is_slice(unit)] + [u for u in units if is_slice(u)][
            : 1 + number % 2
        ]
        assert slices.are_all(packet if number % GOP == 0 else joined(kept))
        return packet

    decoded(encoded("H.265 in slices"), cut)


def test_messages_that_ffmpeg_cannot_read_cost_no_picture() -> None:
    message = START_CODE + b"\x4e\x01\x05\xff\x20no 287 bytes\x80"
    shown, errors = decoded(encoded("H.265"), lambda _, packet: message + packet)
    assert (len(shown), errors) == (COUNT, 0)


def test_what_is_no_h264_is_let_through() -> None:
    for data in (
        b"",
        b"\0\0\1",
        b"\0\0\1\x67",
        b"\0\0\1\x67\xff",
        b"\0\0\1\x67" + bytes(40),
        b"garbage" * 100,
    ):
        numbers = FrameNumbers(data)
        assert numbers.follows(data, is_key=False)
        assert numbers.follows(b"\0\0\1\x41" + data, is_key=False)


def test_what_is_no_h265_is_let_through() -> None:
    for data in (
        b"",
        b"\0\0\1",
        b"\0\0\1\x42",
        b"\0\0\1\x42\x01" + bytes(40),
        b"\0\0\1\x02\x01\x80",
        b"rubbish" * 100,
    ):
        assert PictureSlices(data).are_all(data)
        assert decodable(data) == data
