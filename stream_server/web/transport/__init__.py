"""Sockets, bodies, WebSockets, event streams: HTTP below Flask."""
