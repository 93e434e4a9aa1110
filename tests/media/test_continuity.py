"""Pictures that got lost whole: nothing is shown that was predicted from them, and each is counted."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from fractions import Fraction

import av
import numpy as np
import pytest
from av.video.stream import VideoStream

from detector.detections import BGRImage
from stream_server.media.av_decoder import PacketDecoder, VideoPacket
from stream_server.media.av_pictures import PictureMaker
from stream_server.media.continuity import FrameNumbers

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
}


@pytest.fixture(scope="module", params=ENCODERS)
def film(request: pytest.FixtureRequest) -> tuple[str, bytes]:
    """A stream as cameras send it: parameter sets before each key frame, one every 12 pictures."""
    codec, options, pixels = ENCODERS[request.param]
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
    return request.param, data.getvalue()


def decoded(data: bytes, is_lost: Callable[[int], bool]) -> tuple[dict[int, BGRImage], int]:
    """Return what is shown of a stream without the packets that are lost, by time stamp, and the errors."""
    maker, shown = PictureMaker(), {}
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        decoder = PacketDecoder(stream, hide_broken=True)
        packets: Iterator[VideoPacket] = (packet for packet in container.demux(stream) if packet.size)
        for number, packet in enumerate(packets):
            if not is_lost(number):
                for frame in decoder.decode(packet):
                    shown[frame.pts or 0] = maker.picture(frame).image
        return shown, decoder.decode_errors


@pytest.mark.parametrize("seed", range(6))
def test_each_picture_shown_is_one_the_camera_saw(film: tuple[str, bytes], seed: int) -> None:
    name, data = film
    whole, errors = decoded(data, lambda _: False)
    assert (len(whole) >= COUNT - 3, errors) == (True, 0)
    lost = np.random.default_rng(seed).random(COUNT) < 0.1
    lost[0] = False
    shown, errors = decoded(data, lambda number: bool(lost[number]))
    assert all(np.array_equal(picture, whole[at]) for at, picture in shown.items())
    assert len(shown) > 5
    withheld = COUNT - int(lost.sum()) - len(shown)
    # Who has B-frames holds one back to order them, and loses it with each loss.
    assert 0 <= withheld - errors <= (lost.sum() if name == "unreferenced" else 0)


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
