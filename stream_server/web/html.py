"""Docstrings and descriptions as HTML."""

from __future__ import annotations

from markupsafe import Markup, escape


def inline(text: str) -> Markup:
    """Return a paragraph as HTML, with its `words` as code and its blanks and line ends as one blank each."""
    parts = enumerate(" ".join(text.split()).split("`"))
    words = (Markup("<code>{}</code>").format(part) if n % 2 else escape(part) for n, part in parts)
    return Markup().join(words)
