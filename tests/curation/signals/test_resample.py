"""Signals at the times of frames: exact on a sample, null in gaps, by kind between."""

import numpy as np
import pytest

from curation.signals.resample import NO_TIME, pool, resample, rotation_6d
from curation.signals.signal import Signal, SignalError, period_ns

MS = 1_000_000


def signal(kind, stamps_ms, values, **fields):
    array = np.asarray(values)
    array = array[:, None] if array.ndim == 1 else array
    channels = tuple(map(str, range(array.shape[1])))
    stamps = np.rint(np.asarray(stamps_ms, float) * MS).astype(np.int64)
    return Signal("s", kind, stamps, array, channels, **fields)


def at(made, *times_ms):
    """Values at frames that start at all times but the last, null where invalid."""
    sampled = resample(made, np.rint(np.array(times_ms, float) * MS).astype(np.int64))
    pairs = zip(sampled.values[:, 0].tolist(), sampled.valid[:, 0].tolist(), strict=True)
    return [value if is_valid else None for value, is_valid in pairs]


def test_hold_is_the_newest_value_and_no_value_before_the_first():
    made = signal("hold", [10, 20, 40, 90], [1, 2, 3, 4])
    assert at(made, 0, 10, 19, 20, 60, 200, 210) == [None, 1, 1, 2, 3, 4]


def test_a_stamp_that_is_a_little_late_counts_for_its_frame():
    period = 1000 / 30
    made = signal("hold", np.arange(60) * period + 0.4, np.arange(60))
    assert at(made, *(np.arange(60) * period)) == list(range(59))


def test_what_was_dropped_is_null_and_not_the_value_before():
    kept = [n for n in range(20) if n not in (5, 11, 12)]
    made = signal("hold", np.array(kept) * 10.0, kept)
    expected = [n if n in kept else None for n in range(20)]
    assert at(made, *np.arange(21) * 10.0) == expected
    assert at(made, *np.arange(22) * 10.0)[-1] is None  # past the last sample


@pytest.mark.parametrize("kind", ["nearest", "linear"])
def test_gaps_are_null_for_other_kinds_too(kind):
    kept = [n for n in range(20) if n not in (5, 11, 12)]
    made = signal(kind, np.array(kept) * 10.0, np.array(kept, float))
    expected = [float(n) if n in kept else None for n in range(20)]
    assert at(made, *np.arange(21) * 10.0) == expected


def test_nearest():
    made = signal("nearest", [0, 10, 20, 30], [0, 1, 2, 3])
    assert at(made, 4, 6, 14, 16, 33, 40, 50) == [0, 1, 1, 2, 3, None]


def test_linear_between_and_never_outside():
    made = signal("linear", [0, 10, 20, 30], [0.0, 1.0, 4.0, 9.0])
    assert at(made, -1, 0, 5, 15, 30, 31, 32) == [None, 0.0, 0.5, 2.5, 9.0, None]


def test_linear_on_a_sample_is_that_sample_bit_for_bit():
    values = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    made = signal("linear", np.arange(50) * 7.0, values)
    sampled = resample(made, np.append(made.stamps, made.stamps[-1] + 7 * MS))
    assert sampled.values.dtype == np.float32
    assert sampled.values.tobytes() == values.tobytes()
    assert sampled.valid.all()


def test_nan_is_a_gap():
    made = signal("linear", [0, 10, 20, 30], [0.0, np.nan, 4.0, 6.0])
    assert at(made, 0, 5, 10, 15, 20, 25, 30) == [0.0, None, None, None, 4.0, 5.0]


def test_delta_sums_from_frame_to_frame_half_open():
    made = signal("delta", np.arange(9) * 10.0, np.arange(9))
    assert at(made, 0, 20, 40, 60, 90) == [0 + 1, 2 + 3, 4 + 5, 6 + 7 + 8]
    assert at(made, 5, 25, 40) == [1 + 2, 3]


def test_delta_with_a_missing_sample_is_null_there_alone():
    kept = np.array([n for n in range(12) if n != 5])
    made = signal("delta", kept * 10.0, kept)
    assert at(made, 0, 20, 40, 60, 80) == [1, 5, None, 13]


def test_events_are_summed_and_none_is_zero():
    made = signal("event", [3, 12, 13, 50], [1, 1, 1, 1])
    assert at(made, 0, 10, 20, 30, 60) == [1, 2, 0, 1]


def test_slerp_goes_the_shorter_way_at_constant_speed():
    half = np.sqrt(0.5)
    made = signal("rotation", [0, 10, 20], [[0, 0, 0, 1], [0, 0, -half, -half], [0, 0, 1, 0]])
    sampled = resample(made, np.array([0, 5, 10, 15, 20]) * MS)
    angles = 2 * np.arctan2(sampled.values[:, 2], sampled.values[:, 3])
    assert np.degrees(angles) % 360 == pytest.approx([0, 45, 90, 135])
    assert sampled.valid.all()


def test_scalar_first_quaternions_are_told_by_their_names():
    made = Signal("s", "rotation", np.array([0, 1, 2]) * MS, np.eye(4)[[0, 0, 0]], tuple("wxyz"))
    assert resample(made, np.array([0, MS])).values.tolist() == [[0, 0, 0, 1]]


def test_rotation_in_six_numbers_is_two_columns_of_its_matrix():
    half = np.sqrt(0.5)  # a quarter turn about z: x goes to y, y to −x
    assert rotation_6d(np.array([[0, 0, half, half]])) == pytest.approx(
        np.array([[0, 1, 0, -1, 0, 0]]), abs=1e-12
    )


def test_a_frame_without_a_time_has_no_value():
    made = signal("hold", [0, 10, 20], [1, 2, 3])
    sampled = resample(made, np.array([0, NO_TIME, 20 * MS, 30 * MS]))
    assert sampled.valid[:, 0].tolist() == [True, False, True]


def test_pooling_by_kind():
    times = np.arange(6) * 10 * MS
    groups = np.array([0, 1, 5])
    values = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    for kind, expected in (("linear", [1, 3.5]), ("delta", [1, 14]), ("hold", [1, 5])):
        made = signal(kind, np.arange(5) * 10.0, values)
        pooled = pool(made, resample(made, times), groups)
        assert pooled.values[:, 0].tolist() == expected, kind
        assert pooled.valid.all()


def test_a_pooled_sum_is_null_where_a_frame_is():
    kept = np.array([0, 1, 2, 4, 5, 6, 7, 8])
    times = np.arange(10) * 10 * MS
    made = signal("delta", kept * 10.0, kept)
    assert pool(made, resample(made, times), np.array([0, 1, 5, 9])).valid[:, 0].tolist() == [
        True, False, True,
    ]  # fmt: skip


def test_stamps_that_go_back_are_refused_by_number():
    with pytest.raises(SignalError, match="go back at sample 2"):
        signal("hold", [0, 20, 10], [1, 2, 3])


def test_regular_stamps_have_a_period_and_others_none():
    assert period_ns(np.arange(10) * 5) == 5
    assert period_ns(np.array([0, 1, 10, 11, 50, 51])) is None
