"""A model as those see it who ask for what it finds."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from detector.errors import ModelError
from detector.labels import find_class_ids
from stream_server.config.validation import shorten
from stream_server.errors import OptionError


@dataclass(frozen=True, slots=True)
class ModelLabels:
    """A model's name, and the words by class id."""

    name: str
    labels: Mapping[int, str]

    def check(self, field: str, wanted: Collection[str] | None) -> None:
        """Raise OptionError, naming `field`, for a word that it does not know, with those like it."""
        try:
            find_class_ids(self.labels, wanted or ())
        except ModelError as exc:
            raise OptionError(field, str(exc)) from None


def named(name: str, known: Collection[str], field: str = "model") -> str:
    """Return `name`. Raises OptionError, naming `field`, for a model that is not in `known`."""
    if name not in known:
        raise OptionError(field, f"got {shorten(name)}, expected one of {', '.join(known)}")
    return name
