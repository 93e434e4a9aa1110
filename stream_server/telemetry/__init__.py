"""Figures, as they are measured."""
