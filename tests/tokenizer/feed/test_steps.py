import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenizer.feed.steps import FeedCursor, TableSteps, iterate_steps

SIZES = st.lists(st.integers(1, 60), min_size=1, max_size=4)


START = FeedCursor(0, 0)


def listed(steps, at=START) -> list[tuple[int, int, list[int], int]]:
    """Bucket, epoch, positions and padding of every step."""
    return [
        (d.bucket, d.epoch, d.positions.tolist(), int(d.padding.sum()))
        for step in iterate_steps(steps, at)
        for d in step.draws
    ]


def test_one_shape_is_read_from_first_to_last():
    assert listed(TableSteps([7], 3, epochs=2)) == [
        (0, 0, [0, 1, 2], 0), (0, 0, [3, 4, 5], 0), (0, 0, [6], 0),
        (0, 1, [0, 1, 2], 0), (0, 1, [3, 4, 5], 0), (0, 1, [6], 0),
    ]  # fmt: skip


def test_an_incomplete_batch_is_dropped_or_filled_up():
    assert listed(TableSteps([7], 3, "drop"))[1:] == [(0, 0, [3, 4, 5], 0)]
    assert listed(TableSteps([7], 3, "pad"))[2:] == [(0, 0, [6, 0, 1], 2)]
    assert listed(TableSteps([2], 5, "pad")) == [(0, 0, [0, 1, 0, 1, 0], 3)]


@settings(deadline=None)
@given(SIZES, st.integers(1, 9), st.integers(0, 5))
def test_every_position_of_every_shape_comes_once(sizes, batch, seed):
    found = listed(TableSteps(sizes, batch, seed=seed))
    for bucket, samples in enumerate(sizes):
        own = [positions for b, _, positions, _ in found if b == bucket]
        assert [p for positions in own for p in positions] == list(range(samples))
        assert all(len(positions) == batch for positions in own[:-1])


@settings(deadline=None)
@given(SIZES, st.integers(1, 9), st.sampled_from(["short", "drop", "pad"]), st.data())
def test_steps_can_be_entered_anywhere(sizes, batch, last, data):
    if last == "drop" and max(sizes) < batch:
        return
    steps = TableSteps(sizes, batch, last, seed=3, epochs=2)
    cursors = [START, *(step.next_cursor for step in iterate_steps(steps, START))]
    at = data.draw(st.integers(0, len(cursors) - 1))
    fresh = TableSteps(sizes, batch, last, seed=3, epochs=2)
    assert listed(fresh, cursors[at]) == listed(steps)[at:]
    assert cursors == sorted(cursors)
    assert cursors[-1] == FeedCursor(2, 0)


@settings(deadline=None)
@given(SIZES, st.integers(1, 9))
def test_padded_and_dropped_batches_are_whole(sizes, batch):
    padded = listed(TableSteps(sizes, batch, "pad"))
    assert {len(positions) for _, _, positions, _ in padded} == {batch}
    assert sum(batch - padding for _, _, _, padding in padded) == sum(sizes)
    if max(sizes) >= batch:
        dropped = listed(TableSteps(sizes, batch, "drop"))
        assert {len(positions) for _, _, positions, _ in dropped} == {batch}
        assert len(dropped) == sum(samples // batch for samples in sizes)


def test_shapes_take_turns_anew_in_each_epoch():
    turns = [b for b, _, _, _ in listed(TableSteps([600, 200], 10, epochs=2, seed=1))]
    first, second = turns[:80], turns[80:]
    assert first != second
    assert first.count(1) == second.count(1) == 20
    halves = [first[:40].count(1), second[:40].count(1)]
    assert all(4 <= n <= 16 for n in halves)


def test_turns_are_right_beyond_one_stretch():
    """Counts are kept for every 4,096 batches; across such a border nothing is lost."""
    steps = TableSteps([9_000, 1_000], 1, seed=2)
    found = [steps.batch(0, number) for number in (4095, 4096, 4097, 9999)]
    earlier = [b for b, _, _, _ in listed(steps)]
    for number, draw in zip((4095, 4096, 4097, 9999), found, strict=True):
        assert draw.positions.tolist() == [earlier[:number].count(draw.bucket)]
        assert draw.bucket == earlier[number]


def test_one_shape_may_go_on_with_another_batch_size():
    half = [step.next_cursor for step in iterate_steps(TableSteps([20], 4), START)][2]
    found = listed(TableSteps([20], 5), half)
    assert [p for _, _, positions, _ in found for p in positions] == list(range(12, 20))


def test_a_cursor_behind_the_last_whole_batch_goes_to_the_next_epoch():
    assert listed(TableSteps([10], 4, "drop", epochs=2), FeedCursor(0, 8))[0] == (
        0,
        1,
        [0, 1, 2, 3],
        0,
    )
    assert listed(TableSteps([10], 4, "drop"), FeedCursor(0, 8)) == []


def test_without_a_number_of_epochs_there_is_no_end():
    steps = TableSteps([3], 2, epochs=None)
    found = [
        step for step, _ in zip(iterate_steps(steps, FeedCursor(10**9, 0)), range(4), strict=False)
    ]
    assert [int(step.draws[0].epoch) for step in found] == [10**9, 10**9, 10**9 + 1, 10**9 + 1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([5], 0), "a batch needs at least one sample, got 0"),
        (([5], 2, "repeat"), "last_batch 'repeat' is none of short, drop, pad"),
        (([5, 3], 8, "drop"), "an epoch of 8 samples has no whole batch of 8"),
    ],
)
def test_steps_that_cannot_be_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        TableSteps(*arguments)


def test_a_hundred_million_samples_of_three_shapes_start_at_once():
    steps = TableSteps([60_000_000, 30_000_000, 10_000_000], 256)
    number = sum(steps.batches) - 1
    draw = steps.batch(0, number)
    assert len(draw.positions) in (256, 60_000_000 % 256, 30_000_000 % 256, 10_000_000 % 256)
    assert np.diff(draw.positions).tolist() == [1] * (len(draw.positions) - 1)
