"""When frames were, on a recording's clock."""

from fractions import Fraction

import numpy as np
import pytest

from curation.media.timeline import Timeline, TimelineSegment
from curation.signals.clock import NS, Clock, drift_ppm, elapsed_ns
from curation.signals.resample import NO_TIME


def timeline(starts_s, segments):
    return Timeline(None, Fraction(1), np.array(starts_s, float), np.array([0]), False,
                    segments=tuple(TimelineSegment(*s) for s in segments))  # fmt: skip


def test_frames_count_through_gaps_that_the_sources_seconds_leave_out():
    line = timeline([0, 1, 2, 3, 4], [(0, 7.0, 0.0), (2, 100.0, 2.0)])
    assert (elapsed_ns(line) / NS).tolist() == [0, 1, 93, 94, 95]


def test_a_segment_whose_times_restart_has_none():
    line = timeline([0, 1, 2, 3], [(0, 50.0, 0.0), (2, 0.0, 2.0)])
    assert elapsed_ns(line).tolist() == [0, NS, NO_TIME, NO_TIME]


def test_start_drift_and_offset():
    placed = Clock(5 * NS, offset_s=-0.04, drift_ppm=100.0).place(np.array([0, NS, 1000 * NS]))
    assert placed.tolist() == [4_960_000_000, 5_960_100_000, 1_005_060_000_000]


def test_stamps_of_frames_hold_whatever_the_container_says():
    stamps = np.array([10, 20, 35], np.int64)
    clock = Clock(frame_stamps=stamps)
    assert clock.place(np.arange(4) * NS).tolist() == [10, 20, 35, 47]  # the end: a usual step
    assert clock.place(np.arange(3) * NS).tolist() == [10, 20, 35]
    assert clock.place(np.arange(6) * NS).tolist() == [10, 20, 35, *[NO_TIME] * 3]


def test_anchors_are_interpolated_and_never_extended():
    epoch = 1_751_017_792_293_127_800
    anchors = np.array([[0, epoch], [NS, epoch + 2 * NS], [2 * NS, epoch + 3 * NS]], np.int64)
    placed = Clock(anchors=anchors).place(np.array([-2 * NS, 0, NS // 2, 9 * NS]))
    assert placed.tolist() == [NO_TIME, epoch, epoch + NS, NO_TIME]


def test_drift_is_the_slope():
    elapsed = np.arange(100, dtype=np.int64) * (NS // 30)
    assert drift_ppm(np.rint(elapsed * 1.0001).astype(np.int64) + 5, elapsed) == pytest.approx(100)
    assert drift_ppm(elapsed[:5], elapsed[:5]) is None
