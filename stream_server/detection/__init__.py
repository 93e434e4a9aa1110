"""A camera's frames at the detector, and what becomes of the answers."""
