"""`POST /`: for clients that speak the JSON of Google's Vision API (object localization)."""

from __future__ import annotations

from flask import Blueprint, Response
from pydantic import BaseModel, ConfigDict, Field

from stream_server.images.results import ImageDetections, ImageOptions
from stream_server.images.service import EncodedImage
from stream_server.web.api.image_requests import check_count
from stream_server.web.api.images import admitted
from stream_server.web.context import engine
from stream_server.web.request_body import decode_base64, read_json

blueprint = Blueprint("vision", __name__)


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


class Feature(_Lenient):
    """What is looked for; what is missing or null is as those clients are used to."""

    score_th: float | None = Field(None, ge=0, le=1, description="Default: 0.3.")
    nms_iou: float | None = Field(None, ge=0, le=1, description="Default: 0.4.")
    min_height: float | None = Field(None, ge=0, le=1, description="Default: 0.03.")
    min_width: float | None = Field(None, ge=0, le=1, description="Default: 0.03.")
    maxResults: int | None = Field(None, ge=1, le=1000, description="Default: 20.")

    @property
    def options(self) -> ImageOptions:
        """What it means here."""
        return ImageOptions(
            score_threshold=0.3 if self.score_th is None else self.score_th,
            iou_threshold=0.4 if self.nms_iou is None else self.nms_iou,
            min_height=0.03 if self.min_height is None else self.min_height,
            min_width=0.03 if self.min_width is None else self.min_width,
            max_detections=20 if self.maxResults is None else self.maxResults,
        )


class Content(_Lenient):
    """A picture: base64."""

    content: str


class AnnotateRequest(_Lenient):
    """One picture, and what is looked for in it: the first feature counts."""

    image: Content
    features: tuple[Feature | None, ...] | None = None

    @property
    def options(self) -> ImageOptions:
        """What its first feature means."""
        return ((self.features or (None,))[0] or Feature()).options


class AnnotateBody(_Lenient):
    """Pictures."""

    requests: tuple[AnnotateRequest, ...] = Field(min_length=1)


class Vertex(BaseModel):
    """A corner, 0..1 of width and height."""

    x: float
    y: float


class BoundingPoly(BaseModel):
    """A box's corners, clockwise from the upper left one."""

    normalizedVertices: list[Vertex]


class Annotation(BaseModel):
    """One object."""

    name: str
    score: float
    boundingPoly: BoundingPoly


class AnnotateAnswer(BaseModel):
    """What was found in one picture."""

    localizedObjectAnnotations: list[Annotation]

    @classmethod
    def of(cls, analysis: ImageDetections) -> AnnotateAnswer:
        """Return `analysis` in these words."""
        found = []
        for detection in analysis.detections:
            box = detection.box_relative
            clockwise = (
                (box.x_min, box.x_max, box.x_max, box.x_min),
                (box.y_min, box.y_min, box.y_max, box.y_max),
            )
            corners = [Vertex(x=x, y=y) for x, y in zip(*clockwise, strict=True)]
            poly = BoundingPoly(normalizedVertices=corners)
            found.append(Annotation(name=detection.label, score=detection.score, boundingPoly=poly))
        return cls(localizedObjectAnnotations=found)


class AnnotateAnswers(BaseModel):
    """One answer for each request, in their order."""

    responses: list[AnnotateAnswer]


@blueprint.post("/")
def annotate() -> Response:
    """Find objects in pictures."""
    with admitted() as analyst:
        requests = read_json(AnnotateBody).requests
        check_count(len(requests), engine().config.api.max_images, "requests")
        asked = (
            (EncodedImage(decode_base64(one.image.content, field), field=field), one.options)
            for number, one in enumerate(requests)
            for field in (f"requests[{number}].image.content",)
        )
        answers = [AnnotateAnswer.of(analysis) for analysis in analyst.analyse_each(asked)]
    return Response(AnnotateAnswers(responses=answers).model_dump_json(), content_type="application/json")
