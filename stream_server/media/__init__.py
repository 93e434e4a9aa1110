"""Pictures as values, and codecs: bytes to pixels and back. Knows no camera and no socket."""
