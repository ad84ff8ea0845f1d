"""Plans chunks: some megabytes of a consumer's steps, and the row groups that hold their samples.

A chunk is planned (positions are located, and reading of their row groups is started) well before
it is gathered (`batches`): each row group's samples are copied to their slots in the chunk, and
what concerns every sample is computed for all of them at once. Batches are slices of a chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tokenizer.feed.distributed import Consumer, local_draws
from tokenizer.feed.order import Order, SampleLocations, Shuffle, derive_key
from tokenizer.feed.row_group import RowGroup, RowGroupCache
from tokenizer.feed.sample_index import SampleIndex
from tokenizer.feed.sequence_window import Ints, Shape
from tokenizer.feed.steps import Draw, FeedCursor, GlobalStep

_MAX_STEPS = 256
"""Of a chunk: bounds chunks of small batches of small samples."""


@dataclass(frozen=True)
class LocalStep:
    """One consumer's part of a step."""

    draws: tuple[Draw, ...]
    """All of one shape; may be empty."""
    shape: Shape
    next_cursor: FeedCursor
    """Of the global step."""


@dataclass(frozen=True)
class RowGroupRead:
    """Samples of one row group."""

    source: int
    """Index of the table."""
    group: Future[RowGroup]
    samples: Ints
    """Numbers among the row group's samples of their shape."""
    slots: Ints
    """Indices among the chunk's samples of that shape."""


@dataclass(frozen=True)
class ShapePlan:
    """All samples of one shape in a chunk, in the order of its steps: arrays of one length."""

    reads: Sequence[RowGroupRead]
    source: Ints
    """Index of the table."""
    epoch: Ints
    """Of the table."""
    position: Ints
    """In the bucket's order."""
    padding: npt.NDArray[np.bool_]
    """Whether it only pads a batch."""


@dataclass(frozen=True)
class ChunkPlan:
    """A chunk whose row groups are being read."""

    steps: Sequence[LocalStep]
    shapes: dict[Shape, ShapePlan]


class Planner:
    """Locates positions in the orders of some tables."""

    def __init__(self, indexes: Sequence[SampleIndex], shuffle: Shuffle, seed: int) -> None:
        self._indexes = indexes
        self._seed = seed
        self._shuffles = [
            [shuffle.for_bucket(bucket, index.samples) for bucket in index.buckets]
            for index in indexes
        ]
        self._orders: dict[tuple[int, int], tuple[int, Order]] = {}

    def local_step(self, step: GlobalStep, consumer: Consumer) -> LocalStep:
        """The consumer's part of a step."""
        streams = [self._shuffles[d.source][d.bucket][0] for d in step.draws]
        first = step.draws[0]
        shape = self._indexes[first.source].buckets[first.bucket].shape
        return LocalStep(local_draws(step.draws, streams, consumer), shape, step.next_cursor)

    def order(self, source: int, bucket: int, epoch: int) -> Order:
        """The order of one epoch of one bucket; the latest of each bucket is cached."""
        cached = self._orders.get((source, bucket))
        if cached is None or cached[0] != epoch:
            streams, block_size = self._shuffles[source][bucket]
            key = derive_key(self._seed, source, bucket, epoch)
            order = Order(self._indexes[source].buckets[bucket], streams, block_size, key)
            cached = self._orders[source, bucket] = epoch, order
        return cached[1]

    def plan(
        self, steps: Sequence[LocalStep], caches: Sequence[RowGroupCache], pool: Executor
    ) -> ChunkPlan:
        """Locates all samples of some steps and starts reading their row groups."""
        draws: dict[Shape, list[Draw]] = {}
        for step in steps:
            draws.setdefault(step.shape, []).extend(step.draws)
        shapes = {shape: self._plan_shape(d, caches, pool) for shape, d in draws.items()}
        return ChunkPlan(steps, shapes)

    def _plan_shape(
        self, draws: Sequence[Draw], caches: Sequence[RowGroupCache], pool: Executor
    ) -> ShapePlan:
        lengths = [len(d.positions) for d in draws]
        keys = [(d.source, d.bucket, d.epoch) for d in draws]
        source, _, epoch = np.repeat(np.array(keys, int).reshape(-1, 3), lengths, axis=0).T
        position = np.concatenate([np.empty(0, int), *(d.positions for d in draws)])
        padding = np.concatenate([np.empty(0, bool), *(d.padding for d in draws)])
        reads: list[RowGroupRead] = []
        for key in dict.fromkeys(keys):
            slots = np.flatnonzero(np.repeat([k == key for k in keys], lengths))
            locations = self.order(*key).locate(position[slots])
            reads += submit_reads(locations, slots, key[0], caches[key[0]], pool)
        return ShapePlan(reads, source, epoch, position, padding)


def submit_reads(
    locations: SampleLocations, slots: Ints, source: int, cache: RowGroupCache, pool: Executor
) -> list[RowGroupRead]:
    """Starts reading the row groups of samples; `slots` is the destination of each sample."""
    order = np.lexsort((locations.sample, locations.group, locations.file))
    file, group = locations.file[order], locations.group[order]
    starts = np.flatnonzero((np.diff(file) != 0) | (np.diff(group) != 0)) + 1
    reads = []
    for run in np.split(order, starts) if len(order) else []:
        row_group = cache.get(int(locations.file[run[0]]), int(locations.group[run[0]]), pool)
        reads.append(RowGroupRead(source, row_group, locations.sample[run], slots[run]))
    return reads


def split_chunks(
    steps: Iterator[LocalStep], size: Callable[[LocalStep], int], chunk_bytes: int
) -> Iterator[list[LocalStep]]:
    """The steps in runs of `chunk_bytes`, as `size` counts them, or of at most 256."""
    chunk: list[LocalStep] = []
    total = 0
    for step in steps:
        chunk.append(step)
        total += size(step)
        if total >= chunk_bytes or len(chunk) == _MAX_STEPS:
            yield chunk
            chunk, total = [], 0
    if chunk:
        yield chunk
