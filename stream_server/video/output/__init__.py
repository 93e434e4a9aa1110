"""Annotated videos, and the files written beside them."""
