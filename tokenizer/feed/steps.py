"""Global steps: the positions of each batch, independent of how many consumers read them.

One shape: each step takes the next `batch_size` positions of the epoch's order, so a run may resume
with another batch size. Several shapes: a batch has one shape, each shape's batches come in its own
order, and a keyed permutation of the epoch's batches interleaves them.

A mixture interleaves tables by R. Tijdeman's rule ("The chairman assignment problem", Discrete
Mathematics 32, 1980): of the tables whose next turn has come up, the one with the first deadline.
After n turns each table has had its weight's share of them to within 1, for every n. Weights are
whole numbers, so the turns repeat: one period is stored and any turn is found in O(1). Each table
goes through its own epochs, endlessly.

Either way a step follows from its cursor alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt

from tokenizer.feed.errors import FeedError
from tokenizer.feed.order import Permutation, derive_key
from tokenizer.feed.sequence_window import Ints

if TYPE_CHECKING:
    from tokenizer.feed.token_table import TokenTable

LastBatch = Literal["short", "drop", "pad"]
"""An epoch's last, incomplete batch of a shape stays short, is dropped, or is padded with the first
samples of the order."""
CursorUnit = Literal["sample", "batch"]
"""What a cursor counts."""

_BLOCK = 4096
_MAX_PERIOD = 100_000
"""Turns."""


@dataclass(frozen=True, order=True)
class FeedCursor:
    """A point between two global steps."""

    epoch: int
    """Completed epochs."""
    consumed: int
    """Samples or batches of this epoch that all consumers together have taken."""


@dataclass(frozen=True)
class Draw:
    """Samples of one epoch of one bucket."""

    source: int
    """Index of the table in the mixture; 0 without one."""
    bucket: int
    """Index of the bucket in the table's index."""
    epoch: int
    """Of the table."""
    positions: Ints
    """In the bucket's order."""
    padding: npt.NDArray[np.bool_]
    """Which of them only pad the batch."""


@dataclass(frozen=True)
class GlobalStep:
    """One global batch."""

    draws: tuple[Draw, ...]
    """All of one shape."""
    next_cursor: FeedCursor


class Steps(Protocol):
    """A sequence of global steps with random access."""

    @property
    def unit(self) -> CursorUnit:
        """What its cursors count."""

    def step(self, cursor: FeedCursor) -> GlobalStep | None:
        """The step that starts there; None at the end."""


def iterate_steps(
    steps: Steps, cursor: FeedCursor, worker: int = 0, workers: int = 1
) -> Iterator[GlobalStep]:
    """The steps from a cursor on; of several workers, every `workers`-th step from `worker` on."""
    number = 0
    while (step := steps.step(cursor)) is not None:
        if number % workers == worker:
            yield step
        cursor, number = step.next_cursor, number + 1


def draw(
    positions: Ints, *, source: int = 0, bucket: int = 0, epoch: int = 0, padding: int = 0
) -> Draw:
    """A draw whose last `padding` positions pad the batch."""
    is_padding = np.arange(len(positions)) >= len(positions) - padding
    return Draw(source, bucket, epoch, positions, is_padding)


class TableSteps:
    """The steps of one table, for `epochs` epochs or endlessly."""

    def __init__(
        self,
        samples: Sequence[int],
        batch_size: int,
        last_batch: LastBatch = "short",
        seed: int = 0,
        epochs: int | None = 1,
    ) -> None:
        """`samples` counts each bucket's. Raises `FeedError` if an epoch has no batch."""
        if batch_size < 1:
            raise FeedError(f"a batch needs at least one sample, got {batch_size}")
        if last_batch not in get_args(LastBatch):
            raise FeedError(
                f"last_batch {last_batch!r} is none of {', '.join(get_args(LastBatch))}"
            )
        self.samples = tuple(samples)
        """Samples of each bucket."""
        self._batch_size = batch_size
        self._last_batch: LastBatch = last_batch
        self._seed = seed
        self._epochs = epochs
        self.batches = tuple(
            n // batch_size if last_batch == "drop" else -(-n // batch_size) for n in samples
        )
        """Batches of each bucket in an epoch."""
        if not sum(self.batches):
            raise FeedError(
                f"an epoch of {sum(samples)} samples has no whole batch of {batch_size}: "
                "choose a smaller batch, or last_batch='short' or 'pad'"
            )
        self._schedule: BucketSchedule | None = None

    @property
    def unit(self) -> CursorUnit:
        """Samples for a single shape, batches for several."""
        return "sample" if len(self.samples) == 1 else "batch"

    def step(self, cursor: FeedCursor) -> GlobalStep | None:
        """See `Steps`."""
        if self._is_over(cursor):
            cursor = FeedCursor(cursor.epoch + 1, 0)
        if self._epochs is not None and cursor.epoch >= self._epochs:
            return None
        if self.unit == "batch":
            batch, taken = self.batch(cursor.epoch, cursor.consumed), 1
        else:
            batch = self._draw(0, cursor.epoch, cursor.consumed)
            taken = int((~batch.padding).sum())
        end = FeedCursor(cursor.epoch, cursor.consumed + taken)
        return GlobalStep((batch,), FeedCursor(end.epoch + 1, 0) if self._is_over(end) else end)

    def batch(self, epoch: int, number: int) -> Draw:
        """Batch `number` of an epoch in which all batches are of the batch size."""
        if self.unit == "sample":
            return self._draw(0, epoch, number * self._batch_size)
        if self._schedule is None or self._schedule.epoch != epoch:
            self._schedule = BucketSchedule(self.batches, self._seed, epoch)
        bucket, earlier = self._schedule.at(number)
        return self._draw(bucket, epoch, earlier * self._batch_size)

    def _is_over(self, cursor: FeedCursor) -> bool:
        if self.unit == "batch":
            return cursor.consumed >= sum(self.batches)
        smallest = self._batch_size if self._last_batch == "drop" else 1
        return cursor.consumed + smallest > self.samples[0]

    def _draw(self, bucket: int, epoch: int, start: int) -> Draw:
        samples = self.samples[bucket]
        stop = min(start + self._batch_size, samples)
        positions = np.arange(start, stop)
        padding = start + self._batch_size - stop if self._last_batch == "pad" else 0
        if padding:
            positions = np.append(positions, np.arange(padding) % samples)
        return draw(positions, bucket=bucket, epoch=epoch, padding=padding)


class BucketSchedule:
    """The bucket of each batch of an epoch: a keyed permutation, with counts every 4096 batches."""

    def __init__(self, batches: Sequence[int], seed: int, epoch: int) -> None:
        self.epoch = epoch
        self._ends = np.cumsum(batches)
        self._total = int(self._ends[-1])
        self._permutation = Permutation(self._total, derive_key("batches", seed, epoch))
        starts = range(0, self._total, _BLOCK)
        counts = [np.bincount(self._buckets(s), minlength=len(batches)) for s in starts]
        self._counts = np.cumsum([np.zeros(len(batches), np.int64), *counts], axis=0)
        self._cached_block = -1
        self._cached: Ints = np.empty(0, np.int64)

    def _buckets(self, start: int) -> Ints:
        numbers = np.arange(start, min(start + _BLOCK, self._total))
        return np.searchsorted(self._ends, self._permutation(numbers), side="right")

    def at(self, number: int) -> tuple[int, int]:
        """The bucket of a batch, and the number of that bucket's earlier batches."""
        block, offset = divmod(number, _BLOCK)
        if block != self._cached_block:
            self._cached, self._cached_block = self._buckets(block * _BLOCK), block
        bucket = int(self._cached[offset])
        earlier = int((self._cached[:offset] == bucket).sum())
        return bucket, int(self._counts[block, bucket]) + earlier


@dataclass(frozen=True)
class Mixture:
    """Tables to interleave."""

    tables: Sequence[tuple[TokenTable, float | Fraction]]
    """Each table and its weight: whole numbers, fractions, or decimals such as 0.7."""
    per: CursorUnit = "sample"
    """Interleaves samples or whole batches. A batch has one shape, so that tables of several shapes
    need `batch`."""

    def __post_init__(self) -> None:
        if not self.tables:
            raise FeedError("a mixture needs at least one table")
        if self.per not in ("sample", "batch"):
            raise FeedError(f"per {self.per!r} is neither sample nor batch")
        shapes = {shape for table, _ in self.tables for shape in table.shapes}
        if self.per == "sample" and len(shapes) > 1:
            raise FeedError(
                f"samples of {len(shapes)} shapes cannot share a batch: choose per='batch', windows"
                f" of one length, or a table of one picture size; they are {sorted(shapes)}"
            )
        if len({tuple(sorted(table.batch_columns)) for table, _ in self.tables}) > 1:
            raise FeedError("the tables of a mixture need the same columns, captions and scores")


class SourceSchedule:
    """The table of each turn, endlessly."""

    def __init__(self, weights: Sequence[float | Fraction]) -> None:
        """Raises `FeedError` for weights that are not positive or have too long a period."""
        self.weights = _whole_weights(weights)
        """Whole numbers without a common factor; their sum is the period."""
        self._source = _tijdeman(self.weights)
        self._earlier = np.zeros(len(self._source), np.int64)
        for source, weight in enumerate(self.weights):
            self._earlier[self._source == source] = np.arange(weight)

    def at(self, turns: Ints) -> tuple[Ints, Ints]:
        """The source of each turn, and the number of that source's earlier turns."""
        periods, offset = np.divmod(turns, len(self._source))
        source = self._source[offset]
        return source, periods * np.array(self.weights)[source] + self._earlier[offset]


def _whole_weights(weights: Sequence[float | Fraction]) -> tuple[int, ...]:
    exact = [Fraction(str(weight)) for weight in weights]
    if any(weight <= 0 for weight in exact):
        raise FeedError(f"weights must be positive, got {', '.join(map(str, weights))}")
    denominator = math.lcm(*(weight.denominator for weight in exact))
    whole = [int(weight * denominator) for weight in exact]
    whole = [weight // math.gcd(*whole) for weight in whole]
    if sum(whole) > _MAX_PERIOD:
        raise FeedError(
            f"weights {', '.join(map(str, weights))} repeat only after {sum(whole)} turns, more"
            f" than {_MAX_PERIOD}: choose simpler ones"
        )
    return tuple(whole)


def _tijdeman(weights: tuple[int, ...]) -> Ints:
    """The sources of one period, in whole numbers: all terms are times period · (2k - 2)."""
    period, slack = sum(weights), max(1, 2 * len(weights) - 2)
    counts = [0] * len(weights)
    turns = np.empty(period, np.int64)
    for turn in range(period):
        owed = [(turn + 1) * w - period * n for w, n in zip(weights, counts, strict=True)]
        due = [
            (Fraction(period * (slack - 1) - slack * debt, weights[source]), source)
            for source, debt in enumerate(owed)
            if slack * debt >= period or len(weights) == 1
        ]
        turns[turn] = min(due)[1]
        counts[turns[turn]] += 1
    return turns


class MixtureSteps:
    """The endless steps of a mixture; its cursors stay in epoch 0."""

    def __init__(
        self,
        tables: Sequence[TableSteps],
        schedule: SourceSchedule,
        batch_size: int,
        per: CursorUnit,
    ) -> None:
        self._tables = tables
        self._samples = np.array([sum(table.samples) for table in tables])
        self._schedule = schedule
        self._batch_size = batch_size
        self.unit: CursorUnit = per

    def step(self, cursor: FeedCursor) -> GlobalStep:
        """See `Steps`."""
        start = cursor.consumed
        stop = start + (1 if self.unit == "batch" else self._batch_size)
        source, number = self._schedule.at(np.arange(start, stop))
        if self.unit == "batch":
            table = self._tables[source[0]]
            batch = table.batch(*divmod(int(number[0]), sum(table.batches)))
            return GlobalStep((replace(batch, source=int(source[0])),), FeedCursor(0, stop))
        epoch, position = np.divmod(number, self._samples[source])
        keys = sorted(set(zip(source.tolist(), epoch.tolist(), strict=True)))
        draws = [draw(position[(source == s) & (epoch == e)], source=s, epoch=e) for s, e in keys]
        return GlobalStep(tuple(draws), FeedCursor(0, stop))
