"""A TCP relay between a camera and the server, which breaks the connection in the ways networks do."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Literal
from urllib.parse import urlsplit

Mode = Literal["pass", "freeze", "drop", "slow", "truncate", "half-open"]

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER with 0 seconds, socket(7)


class Relay:
    """Relays a port of this machine; `with Relay(camera.port) as relay: open(relay.url(camera.url))`.

    Its modes count for all connections, also those that are open:

    pass: everything goes through.
    freeze: nothing does, nothing is lost; the connections stay open.
    drop: what comes is swallowed; the connections stay open.
    slow: at most `bytes_per_s` go through.
    truncate: after `byte_limit` more bytes to the client its connection is closed.
    half-open: new connections are accepted, but nobody reads them.
    """

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self.port = 0
        self.connections = 0
        self._upstream = (host, port)
        self._mode: Mode = "pass"
        self._bytes_per_s = 10_000.0
        self._byte_limit = 0
        self._loop = asyncio.new_event_loop()
        self._changed = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._started = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)

    def __enter__(self) -> Relay:
        self._thread.start()
        assert self._started.wait(30)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)

    def url(self, address: str) -> str:
        """Return the address, led through this relay."""
        return address.replace(f":{urlsplit(address).port}/", f":{self.port}/", 1)

    def pass_through(self) -> None:
        """Let everything through, also what was held back."""
        self._set("pass")

    def freeze(self) -> None:
        """Let nothing through; the connections stay open and nothing is lost."""
        self._set("freeze")

    def drop(self) -> None:
        """Swallow everything."""
        self._set("drop")

    def slow(self, bytes_per_s: float) -> None:
        """Let so much through and no more."""
        self._bytes_per_s = bytes_per_s
        self._set("slow")

    def truncate(self, after_bytes: int) -> None:
        """Close the client's connection after so many more bytes."""
        self._byte_limit = after_bytes
        self._set("truncate")

    def half_open(self) -> None:
        """Accept connections without ever reading from them or answering."""
        self._set("half-open")

    def reset(self) -> None:
        """End all connections with a RST."""
        self._call(self._reset_all)

    def _set(self, mode: Mode) -> None:
        def change() -> None:
            self._mode = mode
            self._changed.set()
            self._changed = asyncio.Event()

        self._call(change)

    def _call(self, function: Callable[[], None]) -> None:
        """Run `function` on the relay's thread and wait for it."""
        done = threading.Event()
        self._loop.call_soon_threadsafe(function)
        self._loop.call_soon_threadsafe(done.set)
        assert done.wait(30)

    # On the relay's thread.

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        with contextlib.closing(self._loop):
            self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._stop.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0)  # lets the transports close their sockets

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            if self._mode == "half-open":
                await self._stop.wait()
            else:
                await self._connect(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            self._discard(writer)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        camera_reader, camera_writer = await asyncio.open_connection(*self._upstream)
        self._writers.add(camera_writer)
        pumps = [
            asyncio.ensure_future(self._pump(reader, camera_writer, is_downstream=False)),
            asyncio.ensure_future(self._pump(camera_reader, writer, is_downstream=True)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            self._discard(camera_writer)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_downstream: bool
    ) -> None:
        while data := await reader.read(16 * 1024):
            while self._mode in ("freeze", "half-open"):
                await self._changed.wait()
            if self._mode == "drop":
                continue
            if self._mode == "truncate" and is_downstream:
                data = data[: self._byte_limit]
                self._byte_limit -= len(data)
            writer.write(data)
            await writer.drain()
            if self._mode == "slow":
                await asyncio.sleep(len(data) / self._bytes_per_s)
            if self._mode == "truncate" and is_downstream and not self._byte_limit:
                return

    def _discard(self, writer: asyncio.StreamWriter) -> None:
        self._writers.discard(writer)
        writer.close()

    def _reset_all(self) -> None:
        for writer in list(self._writers):
            sock = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            writer.transport.abort()
