"""The command `stream-server`, one module a command. No other package imports this one."""

from stream_server.cli.main import command, main

__all__ = ["command", "main"]
