"""HLS: playlists and segments fetched by our own HTTP client, decoded by FFmpeg, shown at their own pace."""

from __future__ import annotations

import io
import time
from http import HTTPStatus

from av.container import InputContainer

from stream_server.config import SourceConfig
from stream_server.errors import AuthenticationFailed, SourceError
from stream_server.media.av_decoder import VideoPacket
from stream_server.media.av_opening import TimeLeft, open_input
from stream_server.media.frames import Picture
from stream_server.net.http_client import Answer, CameraClient
from stream_server.sources.av_live import LiveSource
from stream_server.sources.base import credentials_of
from stream_server.sources.pacing import Pacer, Timeline
from stream_server.sources.playlist import best_variant, is_master, is_playlist, with_whole_addresses

MAX_FILE_BYTES = 64 * 2**20
MAX_PLAYLIST_BYTES = 4 * 2**20
MAX_NESTING = 3
"""Playlists that may lead from the configured address to the one that names segments; RFC 8216 knows one."""
MAX_IN_VAIN = 60
MAX_BYTES_IN_VAIN = 2 * MAX_FILE_BYTES
"""What may be fetched for one picture: ten segments that a live playlist named too early, not a circle."""
RELOAD_S = 0.5
"""Least seconds from one look at a playlist to the next, whatever it says of itself."""

_OPTIONS = {
    # Nothing is opened but by `_fetch`, which these would go around.
    "http_persistent": "0",
    "http_multiple": "0",
    "protocol_whitelist": "http,https",
    "format_whitelist": "hls,mpegts,mov",  # what `_fetch` takes for a playlist is none of the others
    "allowed_extensions": "ALL",  # names tell nothing: seg?id=1; `format_whitelist` holds all the same
    "allowed_segment_extensions": "ALL",
    "extension_picky": "0",
    "analyzeduration": "100000",  # a second may be more than a live playlist has
    "probesize": "500000",
}


class HLSSource(LiveSource):
    """An HLS stream (RFC 8216) of MPEG-TS or MP4 segments, not encrypted.

    A playlist may name any address. So FFmpeg opens none: what it wants is fetched by the client for HTTP
    cameras, which follows to http and https only, never into a more private network than the playlist's own,
    and shows the credentials to no other host.
    """

    def __init__(self, config: SourceConfig, spent_s: float = 0.0) -> None:
        """Prepare to open the playlist that `config` names. spent_s: of the time to connect, already."""
        super().__init__(config)
        self._client = CameraClient(config.source, credentials_of(config), verify_tls=config.verify_tls)
        self._failure: SourceError | None = None
        self._list_url = ""
        self._kept = b""
        self._listed_at = float("-inf")
        self._spent_s = spent_s
        self._until = float("inf")  # when FFmpeg gets nothing more, until it is asked for the next packet
        self._in_vain = self._bytes_in_vain = 0  # segments since the last one that held video
        self._timeout_s = config.connect_timeout_s
        self._pacer = Pacer()
        self._timeline = Timeline()
        self._time_s: float | None = None
        self._next: tuple[float, Picture | None] | None = None

    def open(self) -> None:
        """Fetch the playlist and the beginning of the video."""
        super().open()
        self._timeout_s = self._config.read_timeout_s
        self._pacer.restart()

    def read(self, wanted: bool = True) -> Picture | None:
        """Return the next picture when its time has come: segments arrive seconds at a time."""
        if self._next is None:
            picture = self._read_unpaced(wanted)
            self._next = (self._timeline.place(self._time_s), picture)
        position_s, picture = self._next
        if not self._pacer.keep_up(position_s):
            return None
        self._next = None
        return picture

    def close(self) -> None:
        """Disconnect."""
        super().close()
        self._client.close()

    def interrupt(self) -> None:
        """End a wait for the network or the next picture's time; for a new segment, when the list is due."""
        super().interrupt()
        self._client.interrupt()
        self._pacer.stop()

    @property
    def _protocol(self) -> str:
        return "HLS"

    def _connect(self) -> InputContainer:
        left = TimeLeft(self._timeout_s - self._spent_s)
        self._client.allow(float(left))
        self._until = left.until
        self._list_url = self._find_segments()
        return open_input(
            self._list_url,
            "hls",
            _OPTIONS,
            io_open=self._open_for_ffmpeg,
            # No slices: FFmpeg's HLS takes a wait that was cut short for the end of the stream.
            timeout=(left, self._config.read_timeout_s),
        )

    def _find_segments(self) -> str:
        """Return the address of the playlist that names the segments of the largest video; keep what it says.

        FFmpeg would open all that a master names: each video, sound, subtitles, and what these name again.
        """
        url = self._config.source
        for _ in range(MAX_NESTING):
            text, found_at = self._get_playlist(url)
            if not is_master(text):
                self._kept = with_whole_addresses(text, found_at).encode()
                return url
            url = best_variant(text, found_at)
        raise SourceError(f"its playlists lead to other playlists, more than {MAX_NESTING} in a row")

    def _explain(self, exc: Exception, elapsed_s: float) -> SourceError:
        if self._failure:
            return self._failure
        return SourceError("not a playlist of H.264 or other video that can be shown (HLS)")

    def _read_unpaced(self, wanted: bool) -> Picture | None:
        started = time.monotonic()
        self._until = started + self._timeout_s
        try:
            return super().read(wanted)
        except SourceError as exc:
            if self._failure:
                raise self._failure from None
            if time.monotonic() - started >= self._config.read_timeout_s:
                raise SourceError(f"no new segment for {self._config.read_timeout_s:g} s") from None
            raise exc from None

    def _next_packet(self) -> VideoPacket:
        packet = super()._next_packet()
        self._in_vain = self._bytes_in_vain = 0
        self._time_s = None if packet.dts is None else float(packet.dts * packet.time_base)
        return packet

    def _open_for_ffmpeg(self, url: str, flags: int, options: dict[str, str]) -> io.BytesIO:
        """Return what is at `url`; nothing if it cannot be had: an error raised here crashes FFmpeg's HLS."""
        if isinstance(self._failure, AuthenticationFailed):
            return io.BytesIO()  # asking again would lock the account
        if time.monotonic() > self._until:
            return io.BytesIO()  # FFmpeg does not look at its time limit while a list says to come at once
        try:
            data = self._fetch(url, options)
        except SourceError as exc:
            self._failure = exc
            self._client.close()
            return io.BytesIO()
        self._failure = None
        return io.BytesIO(data)

    def _fetch(self, url: str, options: dict[str, str]) -> bytes:
        """Return the file at `url`, or the range of it that FFmpeg asks for."""
        if url.startswith("crypto"):
            raise SourceError("its segments are encrypted, which is not supported")
        if self._container is not None:
            self._client.allow(self._timeout_s)
        if url == self._list_url:
            return self._segments_now()
        start, end = int(options.get("offset", 0)), int(options.get("end_offset", 0))
        return self._get_segment(url, start, end)

    def _segments_now(self) -> bytes:
        """Return the playlist as it is now; the first time, as `_find_segments` found it."""
        kept, self._kept = self._kept, b""
        if kept:
            return kept
        self._client.pause(max(0.0, self._listed_at + RELOAD_S - time.monotonic()))
        text, found_at = self._get_playlist(self._list_url)
        return with_whole_addresses(text, found_at).encode()

    def _get_playlist(self, url: str) -> tuple[str, str]:
        """Return the playlist at `url`, and where it was found in the end."""
        self._listed_at = time.monotonic()
        answer, data = self._get(url, {}, MAX_PLAYLIST_BYTES, "playlist")
        if not is_playlist(data):
            raise SourceError("not a playlist (HLS)")
        return data.decode("utf-8-sig", "replace"), answer.url

    def _get_segment(self, url: str, start: int, end: int) -> bytes:
        self._in_vain += 1
        if self._in_vain > MAX_IN_VAIN or self._bytes_in_vain > MAX_BYTES_IN_VAIN:
            raise self._failure or SourceError("its segments hold no picture")
        headers = {"Range": f"bytes={start}-{end - 1}"} if end else {}
        answer, data = self._get(url, headers, MAX_FILE_BYTES, "playlist or segment")
        if is_playlist(data):
            raise SourceError("a playlist names itself or another one as a segment")
        self._bytes_in_vain += len(data)
        return data[start:end] if end and answer.status != HTTPStatus.PARTIAL_CONTENT else data

    def _get(self, url: str, headers: dict[str, str], max_bytes: int, what: str) -> tuple[Answer, bytes]:
        led_to = None if url == self._config.source else url
        try:
            answer = self._client.get(headers, led_to=led_to)
            return answer, answer.read_whole(max_bytes, what)
        except TimeoutError:
            raise SourceError(f"no answer within {self._timeout_s:g} s") from None
