"""Times rise from frame to frame, as near to the container's stamps as may be."""

from fractions import Fraction

import numpy as np
import pytest

from curation.media.segments import Stretch, sound_clock, stretches_of, stretches_text
from curation.media.timeline import timeline
from curation.media.timestamps import Stamps


def made(
    pts, *, real=None, end=None, base=Fraction(1, 25), longest_s=20.0, fps=None, seconds=None,
    restarts=(),
):  # fmt: skip
    """The timeline of these stamps; those that are None are the decoder's guesses of 0."""
    known = [p is not None for p in pts] if real is None else real
    stamps = Stamps(
        np.array([0 if p is None else p for p in pts], np.int64), np.array(known, bool), base
    )
    return timeline(
        stamps, np.arange(0), end_pts=end, longest_s=longest_s, header_fps=fps, duration_s=seconds,
        restarts=restarts,
    )  # fmt: skip


def ticks(found):
    return (found.starts_s / float(Fraction(1, 25))).tolist()


def test_stamps_that_rise_are_taken_as_they_are():
    found = made([7, 8, 10, 11])
    assert ticks(found) == pytest.approx([0, 1, 3, 4, 5])
    assert (found.timestamps, found.variable_rate, len(found.stretches)) == ("exact", True, 1)
    assert not made([7, 8, 9, 10]).variable_rate


def test_the_last_frame_lasts_as_long_as_the_container_says():
    assert made([0, 1, 2], end=100).starts_s[-1] == pytest.approx(4.0)
    assert made([0, 1, 2]).starts_s[-1] == pytest.approx(3 / 25)
    assert made([5], end=30).starts_s.tolist() == [0, 1.0]


@pytest.mark.parametrize(
    ("stamps", "wanted"),
    [
        ([0, 1, 2, 2, 9, 10], [0, 1, 1.94, 2, 9, 10]),  # equal: moved a little
        ([*range(20), 19, *range(21, 30)], range(30)),  # at a constant rate: where it belongs
        ([0, 1, 2, 99, 4, 5], [0, 1, 2, 3, 4, 5]),  # far off: between its neighbours
        ([0, 1, 2, -50, 4, 5], [0, 1, 2, 3, 4, 5]),
        ([90, 1, 2, 3, 4], [0, 1, 2, 3, 4]),
        ([0, 1, 2, 3, 0], [0, 1, 2, 3, 4]),
    ],
)
def test_one_bad_stamp_costs_one_time(stamps, wanted):
    found = made(stamps)
    assert found.timestamps == "repaired"
    assert ticks(found)[:-1] == pytest.approx(wanted, abs=0.11)
    assert np.all(np.diff(found.starts_s) > 0)
    assert len(found.stretches) == 1


def test_guesses_count_where_they_rise_and_are_spread_where_not():
    good = made([0, 2, 3, 6], real=[True, False, False, True])
    assert ticks(good)[:-1] == pytest.approx([0, 2, 3, 6])
    bad = made([0, 0, 0, 6], real=[True, False, False, True])
    assert ticks(bad)[:-1] == pytest.approx([0, 2, 4, 6])
    assert (good.timestamps, bad.timestamps) == ("repaired", "repaired")


def test_a_guess_beyond_the_end_lies_before_it():
    found = made([1, 2, 3, 4, 9], real=[True] * 4 + [False], end=6)
    assert ticks(found) == pytest.approx([0, 1, 2, 3, 4, 5])


def test_after_pulldown_the_last_frame_lasts_as_its_turn_is():
    """Film frames last three and two fields in turn; the last one has no stamp of its own."""
    found = made([0, 3, 5, 8], real=[True, True, True, False])
    assert ticks(found)[-1] == pytest.approx(10)


def test_times_that_restart_begin_a_stretch():
    found = made([*range(100, 110), *range(100, 110)])
    assert ticks(found) == pytest.approx(range(21))
    assert found.stretches == (Stretch(0, 4.0, 0.0), Stretch(10, 4.0, 0.4))
    assert found.parts(5, 15) == [(5, 10), (10, 15)]
    assert found.cut_pts(2, 6) is None  # both stretches have these stamps
    assert found.timestamps == "exact"


def test_a_gap_belongs_to_no_frame():
    found = made([0, 1, 2, 90_000, 90_001, 90_002])
    assert ticks(found) == pytest.approx(range(7))
    assert found.gap_s == pytest.approx((90_000 - 2 - 1) / 25)
    assert [s.start_frame for s in found.stretches] == [0, 3]
    assert found.cut_pts(0, 3) == (0, 90_000)
    assert found.cut_pts(3, 6) == (90_000, None)
    assert not found.variable_rate


def test_a_still_of_some_seconds_is_no_gap():
    found = made([0, 1, 326, 327], longest_s=20.0)
    assert (found.gap_s, len(found.stretches)) == (0, 1)
    assert found.starts_s[2] == pytest.approx(326 / 25)


def test_without_stamps_the_header_says_the_rate_unless_it_contradicts_the_duration():
    blank = [None] * 100
    assert made(blank, fps=50.0).starts_s[-1] == pytest.approx(2.0)
    assert made(blank, fps=50.0, seconds=2.02).starts_s[-1] == pytest.approx(2.0)
    found = made(blank, fps=1000.0, seconds=4.0)
    assert (found.starts_s[-1], found.timestamps) == (pytest.approx(4.0), "none")
    assert made(blank).starts_s[-1] == pytest.approx(4.0)


def test_a_long_run_is_repaired_in_time_that_grows_with_its_length_alone():
    stamps = np.arange(200_000)
    stamps[::7] = 0
    found = made(stamps.tolist())
    assert np.all(np.diff(found.starts_s) > 0)
    assert ticks(found)[1000] == pytest.approx(1000, abs=2)


def test_stretches_are_stored_as_text():
    stretches = (Stretch(0, 1.4, 0.0), Stretch(50, 1.4, 2.0))
    assert stretches_of(stretches_text(stretches), 1.4) == stretches
    assert stretches_of(None, 1.5) == (Stretch(0, 1.5, 0.0),)
    assert stretches_of(None, None) == (Stretch(0, 0.0, 0.0),)
    assert sound_clock((Stretch(0, 1.5, 0.0),)) == "(T+-1.500000)/TB"
    assert sound_clock(tuple(Stretch(n, 0.0, n) for n in range(1000))) is None


def test_stamps_of_which_none_is_real_where_a_recording_begins_still_rise():
    """A jump near a restart turns the few real stamps around it into guesses."""
    found = made(
        [0, 1, 2, 3, 4, 9000, 9001, 9002, 9003],
        real=[True, True, True, True, True, False, True, False, False],
        restarts=(7,),
    )
    assert np.all(np.diff(found.starts_s) > 0)
