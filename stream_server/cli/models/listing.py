"""The models known by name, and which of them are here."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field
from rich.table import Table

from detector.zoo.catalog import KNOWN_MODELS, BundledModel
from detector.zoo.entries import ZOO, ZooModel
from detector.zoo.store import models_folder, read_record


class ListedModel(BaseModel):
    """One model known by name."""

    model_config = ConfigDict(frozen=True)

    name: str
    aliases: tuple[str, ...]
    description: str
    input: str = Field(description="Width and height of its largest input, in pixels.")
    accuracy: float | None = Field(description="AP on COCO val2017 as its authors state it, 0 to 1.")
    licence: str
    source: str
    is_here: bool = Field(description="Whether it can be used without a download.")
    size_bytes: int | None = Field(description="Of the model's file or archive, where it is here.")


def list_models() -> list[ListedModel]:
    """Return the models that come along, then those that can be pulled."""
    return [*map(_own, KNOWN_MODELS), *map(_others, ZOO)]


def as_table(models: list[ListedModel]) -> Table:
    """Return the list for a terminal."""
    table = Table(box=None, pad_edge=False, caption=_caption(), caption_justify="left")
    for heading in ("name", "input", "AP", "size", "licence", "here", "what"):
        table.add_column(heading, no_wrap=heading != "what")
    for model in models:
        table.add_row(
            model.name,
            model.input,
            "" if model.accuracy is None else f"{model.accuracy:.3f}",
            "" if model.size_bytes is None else f"{model.size_bytes / 1e6:.1f} MB",
            model.licence,
            "yes" if model.is_here else "",
            model.description,
        )
    return table


def _own(known: BundledModel) -> ListedModel:
    width, height = max(known.file.inputs_wh)
    return ListedModel(
        name=known.file.name,
        aliases=known.aliases,
        description=known.description,
        input=f"{width}x{height}",
        accuracy=known.accuracy,
        licence=known.licence,
        source=known.source,
        is_here=True,
        size_bytes=known.file.path.stat().st_size,
    )


def _others(model: ZooModel) -> ListedModel:
    record = read_record(model)
    return ListedModel(
        name=model.name,
        aliases=model.aliases,
        description=model.description,
        input=f"{model.side}x{model.side}",
        accuracy=model.accuracy,
        licence=model.licence,
        source=model.source,
        is_here=record is not None,
        size_bytes=record.size if record else None,
    )


def _caption() -> str:
    return (
        "AP: on COCO val2017, as the authors state it. `stream-server models pull NAME` fetches one "
        f"into {models_folder()}."
    )
