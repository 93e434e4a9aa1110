"""The command `stream-server annotate`: many videos, one after the other."""
