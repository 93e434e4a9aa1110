"""Videos in, annotated videos out.

from stream_server.video import Options, annotate, detections

summary = annotate("street.mp4", "street.annotated.mp4", Options(every=2, trails=True))
for time_s, found in detections("street.mp4"):
    print(time_s, found.boxes, found.class_ids, found.track_ids)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stream_server.video.annotating import annotate, detections
    from stream_server.video.formats import OutputError
    from stream_server.video.options import Crop, Options
    from stream_server.video.summary import Progress, Summary

__all__ = ["Crop", "Options", "OutputError", "Progress", "Summary", "annotate", "detections"]

_MODULES = {
    "annotate": "annotating",
    "detections": "annotating",
    "Crop": "options",
    "Options": "options",
    "OutputError": "formats",
    "Progress": "summary",
    "Summary": "summary",
}


def __getattr__(name: str) -> object:
    """Import what is asked for only then: the command line needs none of it for its help."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
