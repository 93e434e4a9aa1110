"""Where things are in the checkout."""

from __future__ import annotations

from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
DATA = CHECKOUT / "tests" / "data"
CERTIFICATE = CHECKOUT / "tests" / "support" / "cameras" / "camera.pem"
"""A certificate for 127.0.0.1 that nobody signed, and its key."""
