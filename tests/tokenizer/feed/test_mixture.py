from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenizer.feed.steps import FeedCursor, MixtureSteps, SourceSchedule, TableSteps, iterate_steps

WEIGHTS = st.lists(st.integers(1, 30), min_size=1, max_size=6)


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


def test_turns_far_away_need_no_others():
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
def test_weights_that_cannot_be_are_refused(weights, words):
    with pytest.raises(ValueError, match=words):
        SourceSchedule(weights)


def steps_of(sizes, weights, batch, per) -> MixtureSteps:
    tables = [TableSteps(own, batch, seed=at, epochs=None) for at, own in enumerate(sizes)]
    return MixtureSteps(tables, SourceSchedule(weights), batch, per)


@settings(deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=3), st.integers(1, 40), st.integers(1, 40))
def test_samples_take_turns_and_each_table_goes_round(sizes, batch, other):
    """Whatever the batch: each table's positions come in order, epoch after epoch."""
    weights = [2, 3, 1][: len(sizes)]
    for size in (batch, other):
        steps = steps_of([[n] for n in sizes], weights, size, "sample")
        seen = [[] for _ in sizes]
        for step, _ in zip(iterate_steps(steps, FeedCursor(0, 0)), range(12), strict=False):
            assert sum(len(d.positions) for d in step.draws) == size
            for d in step.draws:
                seen[d.source] += [(d.epoch, p) for p in d.positions.tolist()]
        for found, n in zip(seen, sizes, strict=True):
            assert found == [divmod(k, n) for k in range(len(found))]


def test_batches_take_turns_and_each_holds_one_table():
    steps = steps_of([[10, 4], [9]], [1, 2], 4, "batch")
    found = [
        step for step, _ in zip(iterate_steps(steps, FeedCursor(0, 0)), range(12), strict=False)
    ]
    assert [d.source for step in found for d in step.draws].count(0) == 4
    own = [step.draws[0] for step in found if step.draws[0].source == 0]
    alone = TableSteps([10, 4], 4, seed=0)
    expected = [step.draws[0] for step in iterate_steps(alone, FeedCursor(0, 0))]
    assert [(d.bucket, d.positions.tolist()) for d in own] == [
        (d.bucket, d.positions.tolist()) for d in expected
    ]
    second = [step.draws[0] for step in found if step.draws[0].source == 1]
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
