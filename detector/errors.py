"""The root of the detector's error tree."""

from __future__ import annotations


class DetectorError(Exception):
    """Anything that went wrong between an image and its detections."""


class ModelError(DetectorError):
    """A model cannot be used: the message names the file, what was found and what is supported."""


class DownloadError(DetectorError):
    """A model cannot be fetched: the message names the address or file and the reason."""


class DetectorBusy(DetectorError):
    """Every worker is busy and the line of waiting images is full; try again later."""


class DetectorTimeout(DetectorError):
    """A worker did not answer in time; it was replaced and its image is lost."""


class WorkerLost(DetectorError):
    """The worker that held an image died; it is being replaced and its image is lost."""


class DetectorUnavailable(DetectorError):
    """No image is taken now: the detector is not started yet, is being restarted or was closed."""
