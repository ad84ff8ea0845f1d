"""One order and every sample once, whatever the consumers and however often they are killed.

A feed is trained in several runs. Each has its own number of consumers, workers and, where the
order allows it, batch size, trains on some steps (and plans further ones, which the kill loses),
and leaves a state as JSON to the next. Put together, the runs have to give what one undisturbed
reader gets. Here everything but the reading itself; `test_feed` reads from real shards.
"""

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tokenizer.feed.indexes import bucket_of, index_of
from tokenizer.feed.chunks import Planner
from tokenizer.feed.distributed import Consumer
from tokenizer.feed.order import Shuffle
from tokenizer.feed.sample_index import SampleIndex
from tokenizer.feed.state import make_state, restore_cursor
from tokenizer.feed.steps import (
    Draw,
    FeedCursor,
    MixtureSteps,
    SourceSchedule,
    Steps,
    TableSteps,
    iterate_steps,
)

Sample = tuple[int, int, int, int, int]
"""Table, epoch, file, row group, number."""
Key = tuple[int, int, int, int]
"""Table, bucket, epoch, position."""
ASPECTS = {"table": "tokens/t"}


@dataclass(frozen=True)
class Run:
    """One stretch of a life."""

    world: int
    workers: int
    batch: int
    steps: int
    """Steps that are trained on before the kill."""
    ahead: int = 0
    """Steps that are planned and lost."""


@dataclass(frozen=True)
class World:
    """What is read: tables, and the steps over them for a batch size."""

    tables: list[SampleIndex]
    shuffle: Shuffle
    steps: Callable[[int], Steps]

    def planner(self) -> Planner:
        return Planner(self.tables, self.shuffle, seed=1)


RUNS = st.lists(
    st.builds(
        Run,
        world=st.integers(1, 7),
        workers=st.integers(1, 4),
        batch=st.integers(1, 24),
        steps=st.integers(0, 6),
        ahead=st.integers(0, 2),
    ),
    min_size=1,
    max_size=3,
)
COUNTS = st.lists(st.integers(0, 9), min_size=1, max_size=15).filter(any)
PLENTY = st.lists(st.integers(3, 9), min_size=5, max_size=15)
TO_THE_END = Run(world=1, workers=1, batch=16, steps=10**9)


def joined(lists: list[list[Any]]) -> list[Any]:
    return [*itertools.chain.from_iterable(lists)]


def keys(draws: tuple[Draw, ...]) -> list[Key]:
    return [(d.source, d.bucket, d.epoch, p) for d in draws for p in d.positions.tolist()]


def locate(planner: Planner, positions: list[Key]) -> dict[Key, Sample]:
    """Where samples lie, looked up together as a chunk's are."""
    result: dict[Key, Sample] = {}
    for (source, bucket, epoch), some in itertools.groupby(sorted(positions), lambda key: key[:3]):
        group_keys = [*some]
        order = planner.order(source, bucket, epoch)
        places = order.locate(np.array([position for *_, position in group_keys]))
        samples = np.stack([places.file, places.group, places.sample], axis=1).tolist()
        result |= {key: (source, epoch, *at) for key, at in zip(group_keys, samples, strict=True)}
    return result


def consumed(
    world: World, run: Run, rank: int, at: FeedCursor
) -> tuple[list[list[Key]], list[FeedCursor]]:
    """A consumer's positions and the cursor after each step, its workers taking turns."""
    planner, consumer = world.planner(), Consumer(rank, run.world)
    workers = [
        iterate_steps(world.steps(run.batch), at, w, run.workers) for w in range(run.workers)
    ]
    turns = (next(worker, None) for worker in itertools.cycle(workers))
    steps = itertools.takewhile(lambda step: step is not None, turns)
    parts = [
        planner.local_step(s, consumer) for s in itertools.islice(steps, run.steps + run.ahead)
    ]
    parts = parts[: run.steps]
    return [keys(part.draws) for part in parts], [part.next_cursor for part in parts]


def train_runs(world: World, runs: list[Run]) -> list[list[Sample]]:
    """The samples of each step that the runs together trained on, by position."""
    result: list[list[Sample]] = []
    state = json.dumps(make_state(FeedCursor(0, 0), ASPECTS, {}))
    for run in runs:
        at = restore_cursor(json.loads(state), ASPECTS)
        ranks = [consumed(world, run, rank, at) for rank in range(run.world)]
        assert all(cursors == ranks[0][1] for _, cursors in ranks)
        samples = [locate(world.planner(), joined(steps)) for steps, _ in ranks]
        for number, after in enumerate(ranks[0][1]):
            parts = [(key, rank) for rank, (steps, _) in enumerate(ranks) for key in steps[number]]
            assert len({key for key, _ in parts}) == len(parts)
            result.append([samples[rank][key] for key, rank in sorted(parts)])
            at = after
        state = json.dumps(make_state(at, ASPECTS, {}))
        assert len(state) <= 1024
    return result


def one_shape(counts: list[int], shuffle: Shuffle) -> World:
    index = index_of(bucket_of(counts))
    return World([index], shuffle, lambda batch: TableSteps([index.samples], batch, epochs=2))


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(COUNTS, RUNS, st.builds(Shuffle, st.integers(1, 9), st.integers(1, 12)))
def test_one_shape_with_batches_of_any_size(counts, runs, shuffle):
    world = one_shape(counts, shuffle)
    whole = joined(train_runs(world, [TO_THE_END]))
    assert len(set(whole)) == len(whole) == 2 * sum(counts)
    assert [sample[1] for sample in whole] == sorted([0, 1] * sum(counts))
    assert joined(train_runs(world, [*runs, TO_THE_END])) == whole


@settings(max_examples=50, deadline=None)
@given(COUNTS, COUNTS, RUNS, st.integers(1, 12))
def test_batches_of_one_shape_each(first, second, runs, batch):
    shapes = [bucket_of(first, (3, 2, 4)), bucket_of(second, (5, 2, 4))]
    sizes = [bucket.samples for bucket in shapes]
    world = World([index_of(*shapes)], Shuffle(4), lambda _: TableSteps(sizes, batch, epochs=2))
    alone = train_runs(world, [TO_THE_END])
    assert sorted(len(step) for step in alone)[-1] <= batch
    assert sum(len(step) for step in alone) == 2 * sum(sizes)
    assert train_runs(world, [*runs, TO_THE_END]) == alone


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(PLENTY, PLENTY, RUNS, st.sampled_from([(1, 1), (7, 3), (1, 5)]))
def test_a_mixture_of_samples(first, second, runs, weights):
    tables = [index_of(bucket_of(first)), index_of(bucket_of(second))]
    alone = [TableSteps([t.samples], 1, seed=at, epochs=None) for at, t in enumerate(tables)]
    world = World(
        tables,
        Shuffle(4),
        lambda batch: MixtureSteps(alone, SourceSchedule(weights), batch, "sample"),
    )
    result = joined(train_runs(world, runs))
    alike = joined(train_runs(world, [Run(1, 1, 8, len(result) // 8 + 1)]))
    assert len(set(result)) == len(result)
    assert {*result} <= {*alike}
    for table, counts in enumerate((first, second)):
        own = [sample for sample in result if sample[0] == table]
        assert len(set(own)) == len(own)
        first_epoch = [sample for sample in own if sample[1] == 0]
        assert len(first_epoch) == min(len(own), sum(counts))
        assert abs(len(own) - weights[table] / sum(weights) * len(result)) < 1
