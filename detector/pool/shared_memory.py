"""Memory for one image, shared between the pool and one worker by file descriptor.

The file has no name (a memfd, else an unlinked temporary file), so nothing is left behind however the
processes end, and the size of /dev/shm does not matter. It grows in place: the worker keeps its one
descriptor for life.
"""

from __future__ import annotations

import mmap
import os
import tempfile
import threading

import numpy as np

from detector.detections import BGRImage
from detector.errors import DetectorError

KEEP_BYTES = 32 * 2**20
"""What a slot keeps between images (a 3840x2160 image is 24 MiB); more is given back after each one."""


class SharedImage:
    """The owner's side: writes images. One slot belongs to one worker."""

    def __init__(self) -> None:
        self.fd = _open_nameless_file()
        self._memory: mmap.mmap | None = None
        # Guards fd and _memory: an image is written in the submitter's thread while the pool's thread may
        # close.
        self._lock = threading.Lock()

    def write(self, image: BGRImage) -> None:
        """Copy `image` to the start of the slot, which grows when it must.

        The worker must be idle, and be told the image's shape. Raises DetectorError with the size needed when
        there is no memory for it or the slot is closed.
        """
        with self._lock:
            if self.fd < 0:
                raise DetectorError("the worker's image slot is closed")
            memory = self._reserve(image)
            np.copyto(np.frombuffer(memory, np.uint8, image.nbytes).reshape(image.shape), image)

    def trim(self) -> None:
        """Give the memory of an unusually large image back. The worker must be done with it."""
        with self._lock:
            if self._memory is not None and len(self._memory) > KEEP_BYTES:
                self._unmap()
                os.ftruncate(self.fd, 0)

    def close(self) -> None:
        """Give back memory and descriptor; may be called twice."""
        with self._lock:
            self._unmap()
            if self.fd >= 0:
                os.close(self.fd)
                self.fd = -1

    def _reserve(self, image: BGRImage) -> mmap.mmap:
        if self._memory is not None and len(self._memory) >= image.nbytes:
            return self._memory
        try:
            # Claims every page now: a page missing later would be a SIGBUS, which nothing can catch.
            os.posix_fallocate(self.fd, 0, image.nbytes)
            memory = mmap.mmap(self.fd, image.nbytes)
        except OSError as exc:
            height, width = image.shape[:2]
            raise DetectorError(
                f"no shared memory for an image of {width}x{height} pixels: {exc.strerror}; "
                f"{image.nbytes / 2**20:.1f} MiB needed for each worker"
            ) from exc
        self._unmap()
        self._memory = memory
        return memory

    def _unmap(self) -> None:
        if self._memory is not None:
            self._memory.close()
            self._memory = None


class SharedImageReader:
    """The worker's side: shows the image in the slot."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._memory: mmap.mmap | None = None

    def read(self, shape: tuple[int, ...]) -> BGRImage:
        """Return the slot's image, read-only and without a copy; it changes with the next one.

        shape: the shape of the image that was written last.
        """
        size = int(np.prod(shape))
        if self._memory is None or len(self._memory) < size:
            # An outgrown mapping is dropped, not closed: should a detector still hold a view of it, it lives
            # as long as the view.
            self._memory = mmap.mmap(self._fd, size, prot=mmap.PROT_READ)
        return np.frombuffer(self._memory, np.uint8, size).reshape(shape)


def _open_nameless_file() -> int:
    try:
        if hasattr(os, "memfd_create"):
            return os.memfd_create("detector-slot")
        with tempfile.TemporaryFile() as file:
            return os.dup(file.fileno())
    except OSError as exc:
        raise DetectorError(f"no shared memory for a worker's images: {exc.strerror}") from exc
