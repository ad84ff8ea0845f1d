"""Times rise from frame to frame, as near to the container's pts as may be."""

from fractions import Fraction

import numpy as np
import pytest

from curation.media.audio import audio_pts_expression
from curation.media.timeline import (
    TimelineSegment,
    build_timeline,
    segments_from_json,
    segments_to_json,
)
from curation.media.timestamps import RawTimestamps


def timeline_of(
    pts, *, from_container=None, end=None, base=Fraction(1, 25), max_frame_s=20.0, fps=None,
    seconds=None, restarts=(),
):  # fmt: skip
    """The timeline of these timestamps; None is an estimate of 0 by the decoder."""
    if from_container is None:
        from_container = [p is not None for p in pts]
    ticks = np.array([0 if p is None else p for p in pts], np.int64)
    return build_timeline(
        RawTimestamps(ticks, np.array(from_container, bool), base), np.arange(0), end_pts=end,
        max_frame_s=max_frame_s, header_fps=fps, duration_s=seconds, restarts=restarts,
    )  # fmt: skip


def ticks(timeline):
    return (timeline.starts_s / float(Fraction(1, 25))).tolist()


def test_increasing_timestamps_are_kept():
    timeline = timeline_of([7, 8, 10, 11])
    assert ticks(timeline) == pytest.approx([0, 1, 3, 4, 5])
    assert (timeline.timestamps, timeline.variable_rate, len(timeline.segments)) == (
        "exact",
        True,
        1,
    )
    assert not timeline_of([7, 8, 9, 10]).variable_rate


def test_the_last_frame_lasts_as_long_as_the_container_says():
    assert timeline_of([0, 1, 2], end=100).starts_s[-1] == pytest.approx(4.0)
    assert timeline_of([0, 1, 2]).starts_s[-1] == pytest.approx(3 / 25)
    assert timeline_of([5], end=30).starts_s.tolist() == [0, 1.0]


@pytest.mark.parametrize(
    ("pts", "expected"),
    [
        ([0, 1, 2, 2, 9, 10], [0, 1, 1.94, 2, 9, 10]),  # equal: moved a little
        ([*range(20), 19, *range(21, 30)], range(30)),  # at a constant rate: where it belongs
        ([0, 1, 2, 99, 4, 5], [0, 1, 2, 3, 4, 5]),  # far off: between its neighbours
        ([0, 1, 2, -50, 4, 5], [0, 1, 2, 3, 4, 5]),
        ([90, 1, 2, 3, 4], [0, 1, 2, 3, 4]),
        ([0, 1, 2, 3, 0], [0, 1, 2, 3, 4]),
    ],
)
def test_one_bad_timestamp_changes_one_time(pts, expected):
    timeline = timeline_of(pts)
    assert timeline.timestamps == "repaired"
    assert ticks(timeline)[:-1] == pytest.approx(expected, abs=0.11)
    assert np.all(np.diff(timeline.starts_s) > 0)
    assert len(timeline.segments) == 1


def test_estimates_are_kept_if_they_increase_else_spread():
    good = timeline_of([0, 2, 3, 6], from_container=[True, False, False, True])
    assert ticks(good)[:-1] == pytest.approx([0, 2, 3, 6])
    bad = timeline_of([0, 0, 0, 6], from_container=[True, False, False, True])
    assert ticks(bad)[:-1] == pytest.approx([0, 2, 4, 6])
    assert (good.timestamps, bad.timestamps) == ("repaired", "repaired")


def test_an_estimate_beyond_the_end_is_moved_before_it():
    timeline = timeline_of([1, 2, 3, 4, 9], from_container=[True] * 4 + [False], end=6)
    assert ticks(timeline) == pytest.approx([0, 1, 2, 3, 4, 5])


def test_the_last_frame_of_pulldown_continues_the_pattern():
    """Film frames last three and two fields in turn; the last one has no timestamp."""
    timeline = timeline_of([0, 3, 5, 8], from_container=[True, True, True, False])
    assert ticks(timeline)[-1] == pytest.approx(10)


def test_a_restart_starts_a_segment():
    timeline = timeline_of([*range(100, 110), *range(100, 110)])
    assert ticks(timeline) == pytest.approx(range(21))
    assert timeline.segments == (TimelineSegment(0, 4.0, 0.0), TimelineSegment(10, 4.0, 0.4))
    assert timeline.split_at_segments(5, 15) == [(5, 10), (10, 15)]
    assert timeline.pts_bounds(2, 6) is None  # both segments have these timestamps
    assert timeline.timestamps == "exact"


def test_a_gap_belongs_to_no_frame():
    timeline = timeline_of([0, 1, 2, 90_000, 90_001, 90_002])
    assert ticks(timeline) == pytest.approx(range(7))
    assert timeline.gap_s == pytest.approx((90_000 - 2 - 1) / 25)
    assert [s.start_frame for s in timeline.segments] == [0, 3]
    assert timeline.pts_bounds(0, 3) == (0, 90_000)
    assert timeline.pts_bounds(3, 6) == (90_000, None)
    assert not timeline.variable_rate


def test_a_still_of_some_seconds_is_no_gap():
    timeline = timeline_of([0, 1, 326, 327], max_frame_s=20.0)
    assert (timeline.gap_s, len(timeline.segments)) == (0, 1)
    assert timeline.starts_s[2] == pytest.approx(326 / 25)


def test_without_timestamps_the_rate_is_the_headers_unless_it_contradicts_the_duration():
    blank = [None] * 100
    assert timeline_of(blank, fps=50.0).starts_s[-1] == pytest.approx(2.0)
    assert timeline_of(blank, fps=50.0, seconds=2.02).starts_s[-1] == pytest.approx(2.0)
    timeline = timeline_of(blank, fps=1000.0, seconds=4.0)
    assert (timeline.starts_s[-1], timeline.timestamps) == (pytest.approx(4.0), "none")
    assert timeline_of(blank).starts_s[-1] == pytest.approx(4.0)


@pytest.mark.slow
def test_repairing_many_timestamps_takes_linearithmic_time():
    pts = np.arange(200_000)
    pts[::7] = 0
    timeline = timeline_of(pts.tolist())
    assert np.all(np.diff(timeline.starts_s) > 0)
    assert ticks(timeline)[1000] == pytest.approx(1000, abs=2)


def test_segments_round_trip_through_json():
    segments = (TimelineSegment(0, 1.4, 0.0), TimelineSegment(50, 1.4, 2.0))
    assert segments_from_json(segments_to_json(segments), 1.4) == segments
    assert segments_from_json(None, 1.5) == (TimelineSegment(0, 1.5, 0.0),)
    assert segments_from_json(None, None) == (TimelineSegment(0, 0.0, 0.0),)
    assert audio_pts_expression((TimelineSegment(0, 1.5, 0.0),)) == "(T+-1.500000)/TB"
    assert audio_pts_expression(tuple(TimelineSegment(n, 0.0, n) for n in range(1000))) is None


def test_a_recording_without_container_timestamps_is_repaired():
    """A jump near a restart turns the few container timestamps around it into estimates."""
    timeline = timeline_of(
        [0, 1, 2, 3, 4, 9000, 9001, 9002, 9003],
        from_container=[True, True, True, True, True, False, True, False, False],
        restarts=(7,),
    )
    assert np.all(np.diff(timeline.starts_s) > 0)
