from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenizer.feed.steps import (
    FeedCursor,
    MixtureSteps,
    SourceSchedule,
    TableSteps,
    iterate_steps,
)

SIZES = st.lists(st.integers(1, 60), min_size=1, max_size=4)
START = FeedCursor(0, 0)
WEIGHTS = st.lists(st.integers(1, 30), min_size=1, max_size=6)


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


def test_an_incomplete_batch_is_dropped_or_padded():
    assert listed(TableSteps([7], 3, "drop"))[1:] == [(0, 0, [3, 4, 5], 0)]
    assert listed(TableSteps([7], 3, "pad"))[2:] == [(0, 0, [6, 0, 1], 2)]
    assert listed(TableSteps([2], 5, "pad")) == [(0, 0, [0, 1, 0, 1, 0], 3)]


@settings(deadline=None)
@given(SIZES, st.integers(1, 9), st.integers(0, 5))
def test_every_position_of_every_shape_comes_once(sizes, batch, seed):
    result = listed(TableSteps(sizes, batch, seed=seed))
    for bucket, samples in enumerate(sizes):
        own = [positions for b, _, positions, _ in result if b == bucket]
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


def test_shapes_are_interleaved_differently_in_each_epoch():
    turns = [b for b, _, _, _ in listed(TableSteps([600, 200], 10, epochs=2, seed=1))]
    first, second = turns[:80], turns[80:]
    assert first != second
    assert first.count(1) == second.count(1) == 20
    halves = [first[:40].count(1), second[:40].count(1)]
    assert all(4 <= n <= 16 for n in halves)


def test_the_schedule_is_right_beyond_one_block():
    """Counts are kept for every 4,096 batches; across such a border nothing is lost."""
    steps = TableSteps([9_000, 1_000], 1, seed=2)
    result = [steps.batch(0, number) for number in (4095, 4096, 4097, 9999)]
    earlier = [b for b, _, _, _ in listed(steps)]
    for number, draw in zip((4095, 4096, 4097, 9999), result, strict=True):
        assert draw.positions.tolist() == [earlier[:number].count(draw.bucket)]
        assert draw.bucket == earlier[number]


def test_one_shape_may_resume_with_another_batch_size():
    half = [step.next_cursor for step in iterate_steps(TableSteps([20], 4), START)][2]
    result = listed(TableSteps([20], 5), half)
    assert [p for _, _, positions, _ in result for p in positions] == list(range(12, 20))


def test_a_cursor_after_the_last_whole_batch_starts_the_next_epoch():
    assert listed(TableSteps([10], 4, "drop", epochs=2), FeedCursor(0, 8))[0] == (
        0,
        1,
        [0, 1, 2, 3],
        0,
    )
    assert listed(TableSteps([10], 4, "drop"), FeedCursor(0, 8)) == []


def test_without_epochs_the_steps_are_endless():
    steps = TableSteps([3], 2, epochs=None)
    result = [
        step for step, _ in zip(iterate_steps(steps, FeedCursor(10**9, 0)), range(4), strict=False)
    ]
    assert [int(step.draws[0].epoch) for step in result] == [10**9, 10**9, 10**9 + 1, 10**9 + 1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([5], 0), "a batch needs at least one sample, got 0"),
        (([5], 2, "repeat"), "last_batch 'repeat' is none of short, drop, pad"),
        (([5, 3], 8, "drop"), "an epoch of 8 samples has no whole batch of 8"),
    ],
)
def test_invalid_steps_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        TableSteps(*arguments)


def test_a_hundred_million_samples_of_three_shapes_start_at_once():
    steps = TableSteps([60_000_000, 30_000_000, 10_000_000], 256)
    number = sum(steps.batches) - 1
    draw = steps.batch(0, number)
    assert len(draw.positions) in (256, 60_000_000 % 256, 30_000_000 % 256, 10_000_000 % 256)
    assert np.diff(draw.positions).tolist() == [1] * (len(draw.positions) - 1)


@settings(deadline=None)
@given(WEIGHTS)
def test_each_source_has_its_share_to_within_one_after_any_turn(weights):
    turns = SourceSchedule(weights)
    n = np.arange(2 * sum(turns.weights) + 3)
    source, before = turns.at(n)
    for each, weight in enumerate(weights):
        had = np.cumsum(source == each)
        assert np.abs(had - (n + 1) * weight / sum(weights)).max() < 1
        assert before[source == each].tolist() == list(range(had[-1]))


def test_distant_turns_are_computed_directly():
    turns = SourceSchedule([7, 3])
    source, before = turns.at(np.array([10**15, 10**15 + 1]))
    assert before[source == 0][0] == 7 * 10**14
    assert turns.weights == (7, 3)


@pytest.mark.parametrize(
    ("weights", "whole"),
    [
        ([0.7, 0.3], (7, 3)),
        ([0.1, 0.2, 0.05], (2, 4, 1)),
        ([20, 10], (2, 1)),
        ([Fraction(1, 3), Fraction(1, 6)], (2, 1)),
        ([5], (1,)),
    ],
)
def test_weights_are_exact(weights, whole):
    assert SourceSchedule(weights).weights == whole


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ([1, 0], "weights must be positive, got 1, 0"),
        ([1, -2.5], "must be positive"),
        ([0.333333333, 0.666666667], "repeat only after 1000000000 turns, more than 100000"),
    ],
)
def test_invalid_weights_are_refused(weights, words):
    with pytest.raises(ValueError, match=words):
        SourceSchedule(weights)


def steps_of(sizes, weights, batch, per) -> MixtureSteps:
    tables = [TableSteps(own, batch, seed=at, epochs=None) for at, own in enumerate(sizes)]
    return MixtureSteps(tables, SourceSchedule(weights), batch, per)


@settings(deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=3), st.integers(1, 40), st.integers(1, 40))
def test_samples_are_interleaved_and_each_table_has_its_epochs(sizes, batch, other):
    """Whatever the batch: each table's positions come in order, epoch after epoch."""
    weights = [2, 3, 1][: len(sizes)]
    for size in (batch, other):
        steps = steps_of([[n] for n in sizes], weights, size, "sample")
        seen = [[] for _ in sizes]
        for step, _ in zip(iterate_steps(steps, FeedCursor(0, 0)), range(12), strict=False):
            assert sum(len(d.positions) for d in step.draws) == size
            for d in step.draws:
                seen[d.source] += [(d.epoch, p) for p in d.positions.tolist()]
        for result, n in zip(seen, sizes, strict=True):
            assert result == [divmod(k, n) for k in range(len(result))]


def test_batches_are_interleaved_and_each_has_one_table():
    steps = steps_of([[10, 4], [9]], [1, 2], 4, "batch")
    result = [
        step for step, _ in zip(iterate_steps(steps, FeedCursor(0, 0)), range(12), strict=False)
    ]
    assert [d.source for step in result for d in step.draws].count(0) == 4
    own = [step.draws[0] for step in result if step.draws[0].source == 0]
    alone = TableSteps([10, 4], 4, seed=0)
    expected = [step.draws[0] for step in iterate_steps(alone, FeedCursor(0, 0))]
    assert [(d.bucket, d.positions.tolist()) for d in own] == [
        (d.bucket, d.positions.tolist()) for d in expected
    ]
    second = [step.draws[0] for step in result if step.draws[0].source == 1]
    assert [(d.epoch, len(d.positions)) for d in second] == [
        (0, 4), (0, 4), (0, 1), (1, 4), (1, 4), (1, 1), (2, 4), (2, 4)
    ]  # fmt: skip


@pytest.mark.parametrize("per", ["sample", "batch"])
def test_a_mixture_can_be_entered_anywhere(per):
    steps = steps_of([[11], [5], [7]], [5, 2, 1], 4, per)
    whole = [
        step for step, _ in zip(iterate_steps(steps, FeedCursor(0, 0)), range(30), strict=False)
    ]
    late = iterate_steps(steps_of([[11], [5], [7]], [5, 2, 1], 4, per), whole[19].next_cursor)
    for step, expected in zip(late, whole[20:], strict=False):
        assert step.next_cursor == expected.next_cursor
        for d, e in zip(step.draws, expected.draws, strict=True):
            assert (d.source, d.epoch, d.positions.tolist()) == (
                e.source, e.epoch, e.positions.tolist()
            )  # fmt: skip
