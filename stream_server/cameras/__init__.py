"""One camera: its thread, its state, its last minutes, a look at it."""
