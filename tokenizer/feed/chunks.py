"""From positions to batches, some megabytes at a time.

A chunk is a run of the steps of one consumer. It is planned (positions are looked up, and the row
groups that hold the samples are asked for) well before it is gathered (each row group's samples are
copied to their places in the chunk, and what concerns every sample is worked out for all of them at
once). Batches are slices of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tokenizer.feed.distributed import Consumer, share
from tokenizer.feed.order import Order, Places, Shuffle
from tokenizer.feed.permutation import Ints, key_of
from tokenizer.feed.row_group import Group
from tokenizer.feed.row_group_cache import Groups
from tokenizer.feed.sample_index import Index
from tokenizer.feed.sequence_window import Shape
from tokenizer.feed.steps import Cursor, Draw, Step

_MOST_STEPS = 256
"""Of a chunk, so that small batches of small samples do not make a long one."""


@dataclass(frozen=True)
class Part:
    """What one consumer takes of one step."""

    draws: tuple[Draw, ...]
    """All of one shape; there may be none."""
    shape: Shape
    """Of the samples."""
    after: Cursor
    """Where the feed stands when all consumers have taken theirs."""


@dataclass(frozen=True)
class Read:
    """Samples that lie in one row group."""

    source: int
    """The table."""
    group: Future[Group]
    """The row group."""
    sample: Ints
    """Their numbers among its samples of their shape."""
    slot: Ints
    """Their places among the samples of that shape in the chunk."""


@dataclass(frozen=True)
class Wanted:
    """All samples of one shape in a chunk, in the order of its steps: arrays of one length."""

    reads: Sequence[Read]
    """Where they lie."""
    source: Ints
    """Table of each."""
    epoch: Ints
    """Epoch of the table that each belongs to."""
    position: Ints
    """Position of each in its bucket's order."""
    padding: npt.NDArray[np.bool_]
    """Whether it only fills a batch up."""


@dataclass(frozen=True)
class Planned:
    """A chunk whose row groups are on their way."""

    parts: Sequence[Part]
    """Its steps."""
    shapes: dict[Shape, Wanted]
    """Its samples."""


class Planner:
    """Looks positions up in the orders of some tables."""

    def __init__(self, tables: Sequence[Index], shuffle: Shuffle, seed: int) -> None:
        self._tables = tables
        self._seed = seed
        self._mixing = [
            [shuffle.of(bucket, table.samples) for bucket in table.buckets] for table in tables
        ]
        self._orders: dict[tuple[int, int], tuple[int, Order]] = {}

    def part(self, step: Step, consumer: Consumer) -> Part:
        """The consumer's part of a step."""
        lanes = [self._mixing[d.source][d.bucket][0] for d in step.draws]
        first = step.draws[0]
        shape = self._tables[first.source].buckets[first.bucket].shape
        return Part(share(step.draws, lanes, consumer), shape, step.after)

    def order(self, source: int, bucket: int, epoch: int) -> Order:
        """The order of one epoch of one bucket; the latest of each is kept."""
        made = self._orders.get((source, bucket))
        if made is None or made[0] != epoch:
            lanes, block = self._mixing[source][bucket]
            key = key_of(self._seed, source, bucket, epoch)
            found = self._tables[source].buckets[bucket]
            made = epoch, Order(found, lanes, block, key)
            self._orders[source, bucket] = made
        return made[1]

    def plan(self, parts: Sequence[Part], groups: Sequence[Groups], pool: Executor) -> Planned:
        """Looks up where all samples of some parts lie and has their row groups read."""
        draws: dict[Shape, list[Draw]] = {}
        for part in parts:
            draws.setdefault(part.shape, []).extend(part.draws)
        wanted = {shape: self._wanted(some, groups, pool) for shape, some in draws.items()}
        return Planned(parts, wanted)

    def _wanted(self, draws: Sequence[Draw], groups: Sequence[Groups], pool: Executor) -> Wanted:
        lengths = [len(d.positions) for d in draws]
        kind = [(d.source, d.bucket, d.epoch) for d in draws]
        source, _, epoch = np.repeat(np.array(kind, int).reshape(-1, 3), lengths, axis=0).T
        position = np.concatenate([np.empty(0, int), *(d.positions for d in draws)])
        padding = np.concatenate([np.empty(0, bool), *(d.padding for d in draws)])
        reads: list[Read] = []
        for each in dict.fromkeys(kind):
            slots = np.flatnonzero(np.repeat([k == each for k in kind], lengths))
            places = self.order(*each).locate(position[slots])
            reads += reads_of(places, slots, each[0], groups[each[0]], pool)
        return Wanted(reads, source, epoch, position, padding)


def reads_of(
    places: Places, slots: Ints, source: int, groups: Groups, pool: Executor
) -> list[Read]:
    """Has the row groups read that samples lie in; `slots` is where each sample goes."""
    order = np.lexsort((places.sample, places.group, places.file))
    file, group = places.file[order], places.group[order]
    starts = np.flatnonzero((np.diff(file) != 0) | (np.diff(group) != 0)) + 1
    reads = []
    for at in np.split(order, starts) if len(order) else []:
        found = groups.get(int(places.file[at[0]]), int(places.group[at[0]]), pool)
        reads.append(Read(source, found, places.sample[at], slots[at]))
    return reads


def chunked(
    parts: Iterator[Part], size: Callable[[Part], int], chunk_bytes: int
) -> Iterator[list[Part]]:
    """The parts in runs of `chunk_bytes`, as `size` counts them, or of `_MOST_STEPS`."""
    run: list[Part] = []
    held = 0
    for part in parts:
        run.append(part)
        held += size(part)
        if held >= chunk_bytes or len(run) == _MOST_STEPS:
            yield run
            run, held = [], 0
    if run:
        yield run
