"""Frames as a GIF has them: 256 colours, chosen for each."""

from __future__ import annotations

from av.filter import Graph
from av.video.frame import VideoFrame


class Palette:
    """Gives frames a palette each, by FFmpeg's `palettegen` and `paletteuse`."""

    def __init__(self) -> None:
        self._graph: Graph | None = None

    def apply(self, frame: VideoFrame) -> VideoFrame:
        """Return `frame` in pixel format pal8; all frames are of one size and format."""
        if self._graph is None:
            self._graph = _graph(frame)
        self._graph.push(frame)
        return self._graph.vpull()


def _graph(frame: VideoFrame) -> Graph:
    graph = Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
    )
    split = graph.add("split")
    generate = graph.add("palettegen", "stats_mode=single")
    use = graph.add("paletteuse", "new=1:dither=bayer")
    sink = graph.add("buffersink")
    source.link_to(split)
    split.link_to(use, 0, 0)
    split.link_to(generate, 1, 0)
    generate.link_to(use, 0, 1)
    use.link_to(sink)
    graph.configure()
    return graph
