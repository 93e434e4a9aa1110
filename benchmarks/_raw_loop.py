"""The floor of MJPEG servers in Python: `python _raw_loop.py PORT FPS FOLDER` sends ready-made parts to all.

No Flask, no camera, no logic: every viewer gets every JPEG of the folder in turn. Socket options and framing
are the product's, since they decide what the kernel does for a frame.
"""

from __future__ import annotations

import select
import socket
import sys
import time
from itertools import cycle
from pathlib import Path

SEND_BUFFER_BYTES = 256 * 1024
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary=frame\r\n\r\n--frame\r\n"
PART = (
    b"Content-Type: image/jpeg\r\nContent-Length: %d\r\nX-Timestamp: 0000000000.000000\r\n\r\n"
    b"%b\r\n--frame\r\n"
)


def main(port: int, fps: float, folder: Path) -> None:
    """Serve until killed."""
    jpegs = [path.read_bytes() for path in sorted(folder.glob("*.jpg"))]
    parts = cycle([PART % (len(jpeg), jpeg) for jpeg in jpegs])
    listener = socket.create_server(("127.0.0.1", port), backlog=1024)
    epoll = select.epoll()
    epoll.register(listener, select.EPOLLIN)
    viewers: dict[int, socket.socket] = {}
    unsent: dict[int, memoryview] = {}
    due = time.monotonic()
    while True:
        for fd, events in epoll.poll(max(0.0, due - time.monotonic())):
            if fd == listener.fileno():
                viewer = welcome(listener)
                viewers[viewer.fileno()] = viewer
                epoll.register(viewer, select.EPOLLRDHUP)
            elif events & (select.EPOLLHUP | select.EPOLLRDHUP):
                unsent.pop(fd, None)
                viewers.pop(fd).close()
            else:
                unsent[fd] = unsent[fd][viewers[fd].send(unsent[fd]) :]
                if not unsent[fd]:
                    del unsent[fd]
                    epoll.modify(fd, select.EPOLLRDHUP)
        if time.monotonic() >= due:
            due += 1 / fps
            part = next(parts)
            for fd, viewer in viewers.items():
                if fd not in unsent and (sent := send(viewer, part)) < len(part):
                    unsent[fd] = memoryview(part)[sent:]
                    epoll.modify(fd, select.EPOLLRDHUP | select.EPOLLOUT)


def send(viewer: socket.socket, part: bytes) -> int:
    try:
        return viewer.send(part)
    except OSError:
        return 0


def welcome(listener: socket.socket) -> socket.socket:
    viewer, _ = listener.accept()
    viewer.recv(4096)
    viewer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    viewer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    viewer.send(HEAD)
    viewer.setblocking(False)
    return viewer


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3]))
