"""Objects followed over frames: a number for each, and boxes carried to the time of the frame being drawn.

ByteTrack (Zhang et al., "ByteTrack: Multi-Object Tracking by Associating Every Detection Box", ECCV 2022):
sure detections are matched to the tracks first, unsure ones only continue tracks that are left over. Unlike
the original, time is counted in seconds, not in frames, since detections come at a varying rate.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from detector.detections import Detections
from detector.inference.nms import box_ious

_Floats = NDArray[np.float64]
_Bools = NDArray[np.bool_]
_Ints = NDArray[np.int64]

KEPT_S = 3.0
"""A track that no detection continues for so long is given up, unless analysed frames are rare."""
KEPT_FRAMES, KEPT_AT_MOST_S = 5, 15.0
"""So many analysed frames may miss an object, however far apart they are, within that time."""
SHOWN_S = 1.0
"""A track is shown for so long after it was last seen, once detections have missed it."""
CARRIED_S = 1.0
"""A box moves on for so long after it was last seen; then it stands still."""

_MIN_IOU_SURE = 0.1
_MIN_IOU_UNSURE = 0.5
_SAME_IOU = 0.7  # of two tracks that must be one object

# Standard deviations, in parts of the box's own size so that near and far objects are alike.
_PLACE_NOISE = 0.05  # of a detection
_FIRST_SPEED = 1.0  # per second
_SPEED_WALK = 0.5  # per second, gained in a second
_SURE_SPEED = 1.0  # slower than this many of its own standard deviations counts as standing still
_CALM = 0.02  # smaller changes of place, in parts of the size, are followed in that proportion only


@dataclass(frozen=True, slots=True, eq=False)
class Followed:
    """T objects that are followed, as of when each was last seen: it tells their boxes at any time near that.

    detections: boxes, scores, class ids and ids.
    speeds: (T, 4) what the boxes' corners gain in pixels per second, for CARRIED_S before and after.
    first_seen_at, seen_at: (T,) seconds.
    shown_until: (T,) seconds; at later times it is not shown any more, unless newer detections say otherwise.
    """

    detections: Detections
    speeds: NDArray[np.float32]
    first_seen_at: _Floats
    seen_at: _Floats
    shown_until: _Floats


@dataclass(frozen=True, slots=True, eq=False)
class _Tracks:
    """T tracks, each as of when it was last seen, best score first. Never modified: any thread may read it.

    place, speed: (T, 4) centre x and y, width and height in pixels, and their change per second.
    steady: (T, 4) the place that is shown, which follows small changes only in part.
    place_variance, covariance, speed_variance: (T, 4), what a Kalman filter knows about them. The coordinates
        are independent of one another, so each has 2 x 2 numbers of its own instead of 8 x 8 for all.
    first_seen_at, seen_at: (T,) seconds.
    ids: (T,) 0 while a track is not confirmed.
    is_lost: (T,) whether the newest detections missed it.
    is_hidden: (T,) whether it is lost and another one is in its place.
    """

    place: _Floats
    speed: _Floats
    steady: _Floats
    place_variance: _Floats
    covariance: _Floats
    speed_variance: _Floats
    first_seen_at: _Floats
    seen_at: _Floats
    ids: _Ints
    class_ids: _Ints
    scores: NDArray[np.float32]
    is_lost: _Bools
    is_hidden: _Bools

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, keep: _Bools | _Ints) -> _Tracks:
        return _Tracks(*(getattr(self, column.name)[keep] for column in fields(self)))

    @classmethod
    def joined(cls, *parts: _Tracks) -> _Tracks:
        names = [column.name for column in fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    @classmethod
    def started(cls, detections: Detections, seen_at: float) -> _Tracks:
        """Return a new track for each detection."""
        count = len(detections)
        place = _centres(detections.boxes)
        size = _sizes(place)
        nothing = np.zeros(count, np.bool_)
        return cls(
            place=place,
            speed=np.zeros((count, 4)),
            steady=place,
            place_variance=(_PLACE_NOISE * size) ** 2,
            covariance=np.zeros((count, 4)),
            speed_variance=(_FIRST_SPEED * size) ** 2,
            first_seen_at=np.full(count, seen_at),
            seen_at=np.full(count, seen_at),
            ids=np.zeros(count, np.int64),
            class_ids=detections.class_ids,
            scores=detections.scores,
            is_lost=nothing,
            is_hidden=nothing,
        )

    def predicted(self, time_s: float) -> _Tracks:
        """Return the tracks as expected at `time_s`.

        Kalman filter, first half. The speed is a random walk: Bar-Shalom, Li, Kirubarajan, "Estimation with
        Applications to Tracking and Navigation", 6.2.2, written out for the two numbers of a coordinate.
        """
        elapsed = (time_s - self.seen_at)[:, None]
        walk = (_SPEED_WALK * _sizes(self.place)) ** 2
        moved = 2 * self.covariance * elapsed + self.speed_variance * elapsed**2 + walk * elapsed**3 / 3
        return replace(
            self,
            place=self.place + self.speed * np.minimum(elapsed, CARRIED_S),
            steady=self.steady + self._sure_speed * np.minimum(elapsed, CARRIED_S),
            place_variance=self.place_variance + moved,
            covariance=self.covariance + self.speed_variance * elapsed + walk * elapsed**2 / 2,
            speed_variance=self.speed_variance + walk * elapsed,
        )

    def corrected(self, detections: Detections, seen_at: float) -> _Tracks:
        """Return the predicted tracks, each seen again as the detection at its index (second half)."""
        size, nothing = _sizes(self.place), np.zeros(len(self), np.bool_)
        surprise = _centres(detections.boxes) - self.place
        total = self.place_variance + (_PLACE_NOISE * size) ** 2
        place_gain, speed_gain = self.place_variance / total, self.covariance / total
        place = self.place + place_gain * surprise
        drift = place - self.steady
        return replace(
            self,
            place=place,
            speed=self.speed + speed_gain * surprise,
            steady=self.steady + drift * np.minimum(np.abs(drift) / (_CALM * size), 1),
            place_variance=(1 - place_gain) * self.place_variance,
            covariance=(1 - place_gain) * self.covariance,
            speed_variance=self.speed_variance - speed_gain * self.covariance,
            seen_at=np.full(len(self), seen_at),
            scores=detections.scores,
            is_lost=nothing,
            is_hidden=nothing,
        )

    def boxes_at(self, time_s: float) -> NDArray[np.float32]:
        """Return (T, 4) corners of the boxes carried to `time_s`."""
        elapsed = np.clip(time_s - self.seen_at, -CARRIED_S, CARRIED_S)[:, None]
        return _corners(self.steady + self._sure_speed * elapsed)

    @property
    def can_be_shown(self) -> _Bools:
        """(T,) whether it is confirmed, and no other in its place."""
        return (self.ids > 0) & ~self.is_hidden

    @property
    def shown_until(self) -> _Floats:
        """(T,) seconds."""
        return self.seen_at + np.where(self.is_lost, SHOWN_S, KEPT_S)

    def followed(self) -> Followed:
        """Return the tracks as others see them."""
        speed = self._sure_speed
        return Followed(
            Detections(_corners(self.steady), self.scores, self.class_ids, self.ids),
            np.hstack([speed[:, :2] - speed[:, 2:] / 2, speed[:, :2] + speed[:, 2:] / 2]).astype(np.float32),
            self.first_seen_at,
            self.seen_at,
            self.shown_until,
        )

    @property
    def _sure_speed(self) -> _Floats:
        """(T, 4) pixels per second; 0 where the speed may as well be noise: standing objects stand still."""
        return self.speed * (np.abs(self.speed) > _SURE_SPEED * np.sqrt(self.speed_variance))


class Tracker:
    """Follows the objects of one camera. `update` is for one thread; `at` may be called from any.

    score_threshold: least score, 0..1, of a detection that starts a track. Ones below only continue tracks,
        so hand over those of about half that score, too.
    """

    def __init__(self, score_threshold: float = 0.4) -> None:
        self._score_threshold = score_threshold
        self._updated_at = -np.inf
        self._updates: deque[float] = deque(maxlen=KEPT_FRAMES + 1)
        self._last_id = 0
        self._tracks = _Tracks.started(Detections.none(), 0.0)

    def update(
        self,
        detections: Detections,
        captured_at: float,
        thresholds: NDArray[np.float32] | None = None,
    ) -> Detections:
        """Learn what was found in the frame of `captured_at`; return what is to be shown of it, with ids.

        captured_at: seconds on the clock that `at` uses. What is not newer than the last update is returned
            without ids and otherwise ignored, as when a slow worker answers late.
        thresholds: (N,) the least score of each detection, where it is not the tracker's own for all.

        An object gets its id when it is seen for the second time; in the first frame at once. Unsure
        detections that continue no track are left out.
        """
        is_sure = detections.scores >= (self._score_threshold if thresholds is None else thresholds)
        if captured_at <= self._updated_at:
            return detections[is_sure]
        tracks = self._tracks[self._is_kept(self._tracks.seen_at, captured_at)]
        partners = _match(tracks, detections, is_sure, captured_at)
        is_seen = partners >= 0
        is_new = is_sure.copy()
        is_new[partners[is_seen]] = False

        seen = tracks[is_seen].predicted(captured_at)
        seen = self._confirm(seen.corrected(detections[partners[is_seen]], captured_at))
        new = _Tracks.started(detections[is_new], captured_at)
        if self._updated_at == -np.inf:
            new = self._confirm(new)
        missed = tracks[~is_seen & (tracks.ids > 0)]

        track_ids = np.zeros(len(detections), np.int64)
        track_ids[partners[is_seen]] = seen.ids
        track_ids[is_new] = new.ids
        self._publish(_Tracks.joined(seen, new, _lost(missed, seen, captured_at)), captured_at)
        return replace(detections, track_ids=track_ids)[is_sure | (track_ids > 0)]

    def at(self, time_s: float) -> Detections:
        """Return the confirmed objects with their boxes carried to `time_s`; changes nothing.

        Boxes may reach out of the picture. Tracks that the newest detections missed vanish after SHOWN_S, all
        after KEPT_S without any detections.
        """
        tracks = self._tracks
        tracks = tracks[tracks.can_be_shown & (time_s <= tracks.shown_until)]
        return Detections(tracks.boxes_at(time_s), tracks.scores, tracks.class_ids, tracks.ids)

    def followed(self) -> Followed:
        """Return the objects that `at` may show until the next update; changes nothing."""
        tracks = self._tracks
        return tracks[tracks.can_be_shown & (tracks.shown_until >= self._updated_at)].followed()

    def forget(self) -> None:
        """Drop all tracks, as when the camera's picture changes its size; ids go on."""
        self._tracks = _Tracks.started(Detections.none(), 0.0)

    def _is_kept(self, seen_at: _Floats, time_s: float) -> _Bools:
        oldest = min(time_s - KEPT_S, self._updates[0]) if self._updates else time_s
        kept: _Bools = seen_at >= max(oldest, time_s - KEPT_AT_MOST_S)
        return kept

    def _confirm(self, tracks: _Tracks) -> _Tracks:
        ids = tracks.ids.copy()
        is_due = ids == 0
        ids[is_due] = self._last_id + 1 + np.arange(is_due.sum())
        self._last_id += int(is_due.sum())
        return replace(tracks, ids=ids)

    def _publish(self, tracks: _Tracks, updated_at: float) -> None:
        self._tracks = tracks[np.argsort(-tracks.scores, kind="stable")]
        self._updated_at = updated_at
        self._updates.append(updated_at)


def _match(tracks: _Tracks, detections: Detections, is_sure: _Bools, time_s: float) -> _Ints:
    """Return the index (T,) of each track's detection, -1 for none.

    Tracks seen just now choose before lost ones: where one object hides another, what is seen keeps its id
    (of 13 switches on vtest.avi at 10 frames a second this leaves none).
    """
    ious = box_ious(tracks.boxes_at(time_s), detections.boxes)
    ious[tracks.class_ids[:, None] != detections.class_ids] = 0
    is_confirmed = tracks.ids > 0
    partners = np.full(len(tracks), -1)
    for may_choose, choice, least in (
        (is_confirmed & ~tracks.is_lost, is_sure, _MIN_IOU_SURE),
        (is_confirmed & ~tracks.is_lost, ~is_sure, _MIN_IOU_UNSURE),
        (is_confirmed & tracks.is_lost, is_sure, _MIN_IOU_SURE),
        (is_confirmed & tracks.is_lost, ~is_sure, _MIN_IOU_UNSURE),
        (~is_confirmed, is_sure, _MIN_IOU_SURE),
    ):
        rows = np.flatnonzero(may_choose & (partners < 0))
        columns = np.setdiff1d(np.flatnonzero(choice), partners)
        allowed = ious[np.ix_(rows, columns)]
        allowed[allowed < least] = 0
        row, column = linear_sum_assignment(allowed, maximize=True)
        is_match = allowed[row, column] > 0
        partners[rows[row[is_match]]] = columns[column[is_match]]
    return partners


def _lost(missed: _Tracks, seen: _Tracks, time_s: float) -> _Tracks:
    """Return the missed tracks as lost, and hidden where a seen one is the same object in another class."""
    ious = box_ious(missed.boxes_at(time_s), seen.boxes_at(time_s))
    is_hidden = np.asarray((ious > _SAME_IOU).any(axis=1))
    return replace(missed, is_lost=np.ones(len(missed), np.bool_), is_hidden=is_hidden)


def _centres(boxes: NDArray[np.float32]) -> _Floats:
    corners = boxes.astype(np.float64)
    return np.hstack([(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]])


def _corners(places: _Floats) -> NDArray[np.float32]:
    half = np.maximum(places[:, 2:], 1) / 2
    return np.hstack([places[:, :2] - half, places[:, :2] + half]).astype(np.float32)


def _sizes(places: _Floats) -> _Floats:
    """Return (T, 4) what noise is measured against: for all coordinates the mean side of the box."""
    return np.broadcast_to(np.sqrt(np.maximum(places[:, 2:].prod(axis=1, keepdims=True), 1)), places.shape)
