"""One module per way to get pictures."""

from __future__ import annotations

from stream_server.config import SourceConfig
from stream_server.sources.base import Source

__all__ = ["Source", "open_source"]


def open_source(config: SourceConfig) -> Source:
    """Return the source that `config` describes, not opened yet.

    Its module is imported here and not earlier: who watches a webcam does not wait for FFmpeg to load.
    """
    kind = config.url.kind
    if kind == "webcam":
        from stream_server.sources.webcam import WebcamSource  # noqa: PLC0415

        return WebcamSource(config)
    if kind == "rtsp":
        from stream_server.sources.rtsp import RTSPSource  # noqa: PLC0415

        return RTSPSource(config)
    if kind == "hls":
        from stream_server.sources.hls import HLSSource  # noqa: PLC0415

        return HLSSource(config)
    if kind == "http":
        from stream_server.sources.http import HttpSource  # noqa: PLC0415

        return HttpSource(config)
    if kind == "file":
        from stream_server.sources.file import FileSource  # noqa: PLC0415

        return FileSource(config)
    from stream_server.sources.demo import DemoSource  # noqa: PLC0415

    return DemoSource(config)
