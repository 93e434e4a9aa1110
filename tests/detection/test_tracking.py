"""Objects with known paths, seen by a detector with known faults."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from detector.detections import Detections
from detector.inference.nms import box_ious
from stream_server.detection.tracking import CARRIED_S, KEPT_AT_MOST_S, KEPT_S, SHOWN_S, Tracker

Box = tuple[float, float, float, float]

STANDING: Box = (100, 100, 160, 260)
FAR: Box = (500, 100, 560, 260)


def _found(*boxes: Box, scores: Sequence[float] = (), class_ids: Sequence[int] = ()) -> Detections:
    count = len(boxes)
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores or [0.9] * count, np.float32),
        np.array(class_ids or [0] * count, np.int64),
    )


def _moved(box: Box, x: float, y: float = 0) -> Box:
    return (box[0] + x, box[1] + y, box[2] + x, box[3] + y)


def _iou(shown: Detections, box: Box) -> float:
    return float(box_ious(shown.boxes, np.array([box], np.float32)).max())


def _ids(detections: Detections) -> list[int]:
    return [int(track_id) for track_id in detections.track_ids]


@pytest.fixture
def tracker() -> Tracker:
    return Tracker(score_threshold=0.4)


def test_nothing_found_is_nothing_tracked(tracker: Tracker) -> None:
    assert len(tracker.at(0.0)) == 0
    assert len(tracker.update(Detections.none(), 1.0)) == 0
    assert len(tracker.at(1.0)) == 0
    assert tracker.at(1.0).boxes.shape == (0, 4)


def test_first_frame_numbers_its_objects_from_one(tracker: Tracker) -> None:
    tracked = tracker.update(_found(STANDING, FAR), 10.0)
    assert _ids(tracked) == [1, 2]
    assert tracker.at(10.0).boxes == pytest.approx(np.array([STANDING, FAR]), abs=0.01)


def test_later_objects_get_their_number_at_the_second_sight(tracker: Tracker) -> None:
    tracker.update(_found(STANDING), 0.0)
    assert _ids(tracker.update(_found(STANDING, FAR), 0.2)) == [1, 0]
    assert _ids(tracker.at(0.3)) == [1]
    assert _ids(tracker.update(_found(STANDING, FAR), 0.4)) == [1, 2]
    assert _ids(tracker.at(0.4)) == [1, 2]


def test_what_is_seen_once_uses_no_number(tracker: Tracker) -> None:
    tracker.update(Detections.none(), 0.0)
    for time_s in (0.2, 0.6):
        assert _ids(tracker.update(_found(STANDING), time_s)) == [0]
        tracker.update(Detections.none(), time_s + 0.2)
    tracker.update(_found(FAR), 1.0)
    assert _ids(tracker.update(_found(FAR), 1.2)) == [1]


def test_returned_boxes_are_those_found_in_their_order(tracker: Tracker) -> None:
    found = _found(FAR, STANDING, scores=[0.8, 0.7])
    tracked = tracker.update(found, 0.0)
    assert np.array_equal(tracked.boxes, found.boxes)
    assert np.array_equal(tracked.scores, found.scores)
    assert _ids(found) == [0, 0]


@pytest.mark.parametrize("speed", [0, 60, -120], ids=["standing", "walking", "running left"])
def test_number_survives_five_missed_frames(tracker: Tracker, speed: float) -> None:
    for index in range(20):
        missed = 10 <= index < 15
        box = _moved(STANDING, speed * index * 0.2)
        tracked = tracker.update(Detections.none() if missed else _found(box), index * 0.2)
        assert _ids(tracked) == ([] if missed else [1])


@pytest.mark.parametrize("every_s", [0.1, 0.2, 1.0, 2.0])
def test_number_of_what_stands_survives_five_missed_frames_at_any_rate(
    tracker: Tracker, every_s: float
) -> None:
    for index in range(20):
        missed = 10 <= index < 15
        tracked = tracker.update(Detections.none() if missed else _found(STANDING), index * every_s)
        assert _ids(tracked) == ([] if missed else [1])


def test_number_does_not_survive_a_long_time_without_any_analysed_frame(tracker: Tracker) -> None:
    for time_s in (0.0, 0.2, KEPT_AT_MOST_S + 0.3, KEPT_AT_MOST_S + 0.5):
        tracked = tracker.update(_found(STANDING), time_s)
    assert _ids(tracked) == [2]


def test_missed_object_is_shown_for_a_second_and_numbered_anew_after_three(tracker: Tracker) -> None:
    tracker.update(_found(STANDING), 0.0)
    for index in range(1, 7):
        tracker.update(Detections.none(), 0.2 * index)
        assert _ids(tracker.at(SHOWN_S - 0.01)) == [1]
        assert _ids(tracker.at(SHOWN_S + 0.01)) == []
    tracker.update(_found(STANDING), KEPT_S + 0.01)
    assert _ids(tracker.update(_found(STANDING), KEPT_S + 0.2)) == [2]


def test_boxes_outlive_a_slow_detector_but_not_a_dead_one(tracker: Tracker) -> None:
    tracker.update(_found(STANDING), 0.0)
    assert _ids(tracker.at(2.0)) == [1]
    assert _ids(tracker.at(KEPT_S + 0.1)) == []


@pytest.mark.parametrize("rate", [2, 5, 15])
def test_boxes_follow_a_walker_between_detections(tracker: Tracker, rate: int) -> None:
    speed = 80.0
    for index in range(4 * rate):
        tracker.update(_found(_moved(STANDING, speed * index / rate)), index / rate)
    last = (4 * rate - 1) / rate
    for ahead in (0.0, 0.5 / rate, 1 / rate):
        assert _iou(tracker.at(last + ahead), _moved(STANDING, speed * (last + ahead))) > 0.85


def test_times_between_detections_may_vary(tracker: Tracker) -> None:
    times = np.cumsum(np.random.default_rng(5).uniform(0.05, 0.5, 30))
    for time_s in times.tolist():
        tracked = tracker.update(_found(_moved(STANDING, 60 * time_s)), time_s)
    assert _ids(tracked) == [1]
    assert _iou(tracker.at(times[-1] + 0.3), _moved(STANDING, 60 * (times[-1] + 0.3))) > 0.85


def test_boxes_do_not_fly_away(tracker: Tracker) -> None:
    for index in range(10):
        tracker.update(_found(_moved(STANDING, 200 * index * 0.2)), index * 0.2)
    gone = tracker.at(1.8 + CARRIED_S).boxes
    assert np.array_equal(tracker.at(1.8 + 2.5).boxes, gone)
    assert gone[0, 0] == pytest.approx(100 + 200 * (1.8 + CARRIED_S), abs=40)


def test_large_slow_object_is_not_lagged_behind(tracker: Tracker) -> None:
    for index in range(50):
        left = 100 + 6.0 * index  # 30 pixels a second, 5 detections a second
        tracker.update(_found((left, 100, left + 400, 500)), index * 0.2)
        if index > 10:
            shown = tracker.at(index * 0.2).boxes[0]
            assert np.abs(shown - (left, 100, left + 400, 500)).max() < 2


def test_standing_object_does_not_jitter(tracker: Tracker) -> None:
    noise = np.random.default_rng(3).normal(0, 1.5, (50, 4))
    shown: list[NDArray[np.float32]] = []
    for index in range(50):
        box = np.array(STANDING) + noise[index]
        tracker.update(_found((box[0], box[1], box[2], box[3])), index * 0.2)
        shown += [tracker.at(index * 0.2 + ahead).boxes[0] for ahead in (0.05, 0.1, 0.15)]
    settled = np.array(shown[45:])
    assert np.abs(settled - STANDING).mean() < 0.8 * np.abs(noise).mean()
    between_updates = settled.reshape(-1, 3, 4)
    assert np.ptp(between_updates, axis=1).mean() < 0.2
    assert np.abs(np.diff(between_updates[:, 0], axis=0)).mean() < 0.5 * np.abs(np.diff(noise, axis=0)).mean()


def test_walkers_who_cross_keep_their_numbers(tracker: Tracker) -> None:
    for index in range(31):
        left, right = _moved(STANDING, 20 * index), _moved(STANDING, 600 - 20 * index, 30)
        tracked = tracker.update(_found(left, right), index * 0.2)
        assert _ids(tracked) == [1, 2]


def test_unsure_detections_continue_tracks_but_start_none(tracker: Tracker) -> None:
    assert len(tracker.update(_found(STANDING, scores=[0.3]), -0.2)) == 0
    assert len(tracker.at(-0.2)) == 0
    tracker.update(_found(STANDING), 0.0)
    tracker.update(_found(STANDING), 0.1)
    for index in range(1, 5):
        tracked = tracker.update(_found(STANDING, FAR, scores=[0.25, 0.2]), 0.2 * index)
        assert _ids(tracked) == [1]
        assert tracked.scores == pytest.approx([0.25])


def test_each_detection_may_have_a_threshold_of_its_own(tracker: Tracker) -> None:
    found = _found(STANDING, FAR, scores=[0.5, 0.3], class_ids=[0, 2])
    tracked = tracker.update(found, 0.0, np.array([0.6, 0.3], np.float32))
    assert tracked.class_ids.tolist() == [2]
    assert _ids(tracker.at(0.0)) == [1]


def test_sure_detections_are_matched_before_unsure_ones(tracker: Tracker) -> None:
    tracker.update(_found(STANDING), 0.0)
    tracked = tracker.update(_found(_moved(STANDING, 20), STANDING, scores=[0.5, 0.3]), 0.2)
    assert _ids(tracked) == [1]
    assert tracked.scores == pytest.approx([0.5])


def test_classes_are_never_mixed(tracker: Tracker) -> None:
    tracker.update(_found(STANDING, class_ids=[2]), 0.0)
    assert _ids(tracker.update(_found(STANDING, class_ids=[7]), 0.2)) == [0]
    assert _ids(tracker.update(_found(STANDING, class_ids=[7]), 0.4)) == [2]
    assert _ids(tracker.update(_found(STANDING, class_ids=[2]), 0.6)) == [1]


def test_object_whose_class_flickers_has_one_box(tracker: Tracker) -> None:
    tracker.update(_found(STANDING, class_ids=[2]), 0.0)
    for index in (1, 2):
        tracker.update(_found(STANDING, class_ids=[7]), 0.2 * index)
    shown = tracker.at(0.5)
    assert _ids(shown) == [2]
    assert shown.class_ids.tolist() == [7]


@pytest.mark.parametrize("late_at", [0.4, 0.1])
def test_late_answers_change_nothing(tracker: Tracker, late_at: float) -> None:
    for index in range(3):
        tracker.update(_found(STANDING), 0.2 * index)
    before = tracker.at(0.5)
    late = tracker.update(_found(FAR, STANDING, scores=[0.9, 0.1]), late_at)
    assert _ids(late) == [0]
    assert np.array_equal(tracker.at(0.5).boxes, before.boxes)
    assert _ids(tracker.at(0.5)) == [1]


def test_asking_changes_nothing(tracker: Tracker) -> None:
    for index in range(5):
        tracker.update(_found(_moved(STANDING, 20 * index)), 0.2 * index)
    first = tracker.at(1.0)
    tracker.at(50.0)
    first.boxes[:] = 0
    assert _iou(tracker.at(1.0), _moved(STANDING, 100)) > 0.85


def test_shown_objects_are_best_first(tracker: Tracker) -> None:
    tracker.update(_found(STANDING, FAR, scores=[0.9, 0.5]), 0.0)
    tracker.update(_found(FAR, STANDING, scores=[0.8, 0.6]), 0.2)
    shown = tracker.at(0.2)
    assert _ids(shown) == [2, 1]
    assert shown.scores == pytest.approx([0.8, 0.6])


def test_forgetting_goes_on_counting(tracker: Tracker) -> None:
    tracker.update(_found(STANDING), 0.0)
    tracker.forget()
    assert len(tracker.at(0.1)) == 0
    tracker.update(_found(STANDING), 0.2)
    assert _ids(tracker.update(_found(STANDING), 0.4)) == [2]


def test_one_coordinate_by_hand(tracker: Tracker) -> None:
    """A 100 x 100 box seen at x = 50 and, a second later, at x = 80.

    Noise of a sight: 5² = 25; first speed: 100² = 10000 a second; walk: 50² = 2500 a second.
    Variance of the place after the second: 25 + 10000 + 2500 / 3 = 10858.3; gain 10858.3 / 10883.3 = 0.9977.
    Covariance: 10000 + 1250 = 11250; gain of the speed 11250 / 10883.3 = 1.0337.
    So the place is 50 + 0.9977 * 30 = 79.931, the speed 31.01 a second.
    Variance of the speed: 12500 - 1.0337 * 11250 = 871, deviation 29.5: sure to be moving, just so.
    """
    tracker.update(_found((0, 0, 100, 100)), 0.0)
    tracker.update(_found((30, 0, 130, 100)), 1.0)
    assert tracker.at(1.0).boxes[0] == pytest.approx([29.931, 0, 129.931, 100], abs=0.01)
    assert tracker.at(1.5).boxes[0] == pytest.approx([45.436, 0, 145.436, 100], abs=0.01)


def test_what_is_followed_tells_the_boxes_at_any_time(tracker: Tracker) -> None:
    for step in range(6):
        tracker.update(_found(STANDING, _moved(FAR, 40.0 * step, -10.0 * step)), 10 + 0.2 * step)
    followed = tracker.followed()
    assert list(followed.first_seen_at) == [10.0, 10.0]
    assert list(followed.seen_at) == [11.0, 11.0]
    assert list(followed.shown_until) == [11 + KEPT_S] * 2
    for time_s in (10.5, 11.0, 11.3, 11 + CARRIED_S, 13.0):
        elapsed = np.clip(time_s - followed.seen_at, -CARRIED_S, CARRIED_S)[:, None]
        carried = followed.detections.boxes + followed.speeds * elapsed
        assert carried == pytest.approx(tracker.at(time_s).boxes, abs=0.01)
        assert _ids(followed.detections) == _ids(tracker.at(time_s))
    assert np.abs(followed.speeds).max() > 50


def test_missed_object_is_followed_until_it_is_shown_no_more(tracker: Tracker) -> None:
    tracker.update(_found(STANDING), 10.0)
    tracker.update(_found(), 10.2)
    assert list(tracker.followed().shown_until) == [10 + SHOWN_S]
    tracker.update(_found(), 11.1)
    assert len(tracker.followed().detections) == 0
