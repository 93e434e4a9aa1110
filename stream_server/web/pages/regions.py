"""`/cameras/<camera>/regions`: where objects count, drawn on the camera's picture."""

from __future__ import annotations

from flask import Blueprint, render_template, url_for

from stream_server.config import DetectConfig
from stream_server.web.context import engine, pipeline

blueprint = Blueprint("regions", __name__)


@blueprint.get("/cameras/<camera>/regions")
def page(camera: str) -> str:
    """Show the editor; what is drawn goes through the settings' API."""
    drawn_on = pipeline(camera)
    detect = drawn_on.config.detect
    return render_template(
        "regions.html",
        camera=drawn_on,
        regions={"inside": detect.inside, "ignore": detect.ignore},
        least=(detect.min_width, detect.min_height),
        detector=_detector(detect) if engine().image_analyst else None,
    )


def _detector(detect: DetectConfig) -> str:
    """Return the address that finds in a picture what the camera's detection would, were there no regions."""
    default = engine().config.detector.score_threshold
    threshold = default if detect.score_threshold is None else detect.score_threshold
    classes = ",".join(detect.classes) if detect.classes else None
    return url_for("detect.detect", score_threshold=threshold, classes=classes, model=detect.model)
