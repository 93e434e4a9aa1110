"""A real RTSP camera: GStreamer's server in a child process, with faults on command."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal

import pytest

PYTHON = "/usr/bin/python3"
SERVER = Path(__file__).with_name("rtsp_server.py")
START_TIMEOUT_S = 20


@dataclass(frozen=True)
class Stream:
    """What the camera shows at one path.

    loss: share of the RTP packets that get lost on the way, also over TCP.
    aspect: width of a pixel by its height.
    slices: several slices a picture, which GStreamer then cuts apart by repeating the parameter sets.
    """

    codec: Literal["h264", "h265", "mjpeg", "sound"] = "h264"
    width: int = 320
    height: int = 240
    fps: int = 25
    gop: int = 10
    kbps: int = 1000
    mtu: int = 1400
    pattern: str = "smpte"
    loss: float = 0.0
    slices: bool = False
    aspect: str = "1/1"


class RTSPCamera:
    """`with RTSPCamera({"/stream": Stream()}) as camera: open(camera.url())`.

    certificate: a PEM file with key and certificate; the camera then speaks rtsps.
    answers: how often it answered with each status code.
    """

    def __init__(
        self,
        streams: dict[str, Stream] | None = None,
        *,
        username: str | None = None,
        password: str | None = None,
        authentication: Literal["digest", "basic"] = "digest",
        certificate: Path | None = None,
    ) -> None:
        self.answers: Counter[int] = Counter()
        self._scheme = "rtsps" if certificate else "rtsp"
        options = {
            "streams": {path: asdict(stream) for path, stream in (streams or {"/stream": Stream()}).items()},
            "username": username,
            "password": password,
            "authentication": authentication,
            "certificate": str(certificate) if certificate else None,
        }
        self._process = subprocess.Popen(
            [PYTHON, str(SERVER), json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._port: int | None = None
        self._ready = threading.Event()
        self._listener = threading.Thread(target=self._listen, name="rtsp-camera", daemon=True)
        self._listener.start()

    def __enter__(self) -> RTSPCamera:
        if not self._ready.wait(START_TIMEOUT_S) or self._port is None:
            self.close()
            pytest.fail("the RTSP camera did not start; `make test` as root installs GStreamer's server")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def url(self, path: str = "/stream", credentials: str = "") -> str:
        """Return the address of a stream. credentials: "user:password@" as written in an address."""
        return f"{self._scheme}://{credentials}127.0.0.1:{self._port}{path}"

    def freeze(self) -> None:
        """Stop sending; connections stay open."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on after `freeze`."""
        self._process.send_signal(signal.SIGCONT)

    def drop(self) -> None:
        """End all sessions."""
        self._tell("drop")

    def resize(self, width: int, height: int) -> None:
        """Change the picture's size in the middle of the stream."""
        self._tell(f"size {width} {height}")

    def close(self) -> None:
        """End the camera."""
        self._process.kill()
        self._process.wait(10)
        self._listener.join(10)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()

    def _tell(self, line: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _listen(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            if line.startswith("ready "):
                self._port = int(line.split()[1])
                self._ready.set()
            else:
                self.answers[int(line)] += 1
        self._ready.set()
