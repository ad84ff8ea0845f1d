"""Global steps: which positions each batch takes, whoever reads them.

One shape: step after step takes the next `batch_size` positions of the epoch's order, so a run may
go on with another batch size. Several shapes: a batch holds one shape, each shape's batches come in
its own order, and a keyed permutation of the epoch's batches says whose turn it is. Either way a
step follows from where it starts alone; nothing before it is worked out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt

from tokenizer.feed.permutation import Ints, Permutation, key_of

Last = Literal["short", "drop", "pad"]
"""What becomes of an epoch's last, incomplete batch of a shape: it stays short, is dropped, or is
filled up with the first samples of the order."""
Unit = Literal["sample", "batch"]
"""What a cursor counts."""

_STRETCH = 4096


@dataclass(frozen=True, order=True)
class Cursor:
    """A place between two global steps."""

    epoch: int
    """Epochs that are over."""
    consumed: int
    """Samples or batches of this epoch that all consumers together have taken."""


@dataclass(frozen=True)
class Draw:
    """Samples of one epoch of one bucket."""

    source: int
    """The table, by place in the mixture; 0 alone."""
    bucket: int
    """By place in the table's index."""
    epoch: int
    """Which of the table's epochs."""
    positions: Ints
    """In the bucket's order."""
    padding: npt.NDArray[np.bool_]
    """Which of them only fill the batch up."""


@dataclass(frozen=True)
class Step:
    """One global batch."""

    draws: tuple[Draw, ...]
    """All of one shape."""
    after: Cursor
    """Where the next step starts."""


class Steps(Protocol):
    """A sequence of global steps that can be entered anywhere."""

    @property
    def unit(self) -> Unit:
        """What its cursors count."""

    def step(self, at: Cursor) -> Step | None:
        """The step that starts there; None at the end."""


def draw(
    positions: Ints, *, source: int = 0, bucket: int = 0, epoch: int = 0, padding: int = 0
) -> Draw:
    """A draw whose last `padding` positions fill the batch up."""
    fills = np.arange(len(positions)) >= len(positions) - padding
    return Draw(source, bucket, epoch, positions, fills)


class TableSteps:
    """The steps of one table, for `epochs` epochs or for ever."""

    def __init__(
        self,
        samples: Sequence[int],
        batch_size: int,
        last: Last = "short",
        seed: int = 0,
        epochs: int | None = 1,
    ) -> None:
        """`samples` says how many each bucket holds. `ValueError` if an epoch has no batch."""
        if batch_size < 1:
            raise ValueError(f"a batch needs at least one sample, got {batch_size}")
        if last not in get_args(Last):
            raise ValueError(f"last {last!r} is none of {', '.join(get_args(Last))}")
        self.samples = tuple(samples)
        """Samples of each bucket."""
        self._batch = batch_size
        self._last: Last = last
        self._seed = seed
        self._epochs = epochs
        self.batches = tuple(n // batch_size if last == "drop" else -(-n // batch_size)
                             for n in samples)  # fmt: skip
        """Batches of each bucket in an epoch."""
        if not sum(self.batches):
            raise ValueError(
                f"an epoch of {sum(samples)} samples has no whole batch of {batch_size}: "
                "choose a smaller batch, or last='short' or 'pad'"
            )
        self._turns: _Turns | None = None

    @property
    def unit(self) -> Unit:
        """Samples where there is one shape, batches where there are several."""
        return "sample" if len(self.samples) == 1 else "batch"

    def step(self, at: Cursor) -> Step | None:
        """See `Steps`."""
        if self._over(at):
            at = Cursor(at.epoch + 1, 0)
        if self._epochs is not None and at.epoch >= self._epochs:
            return None
        if self.unit == "batch":
            drawn = self.batch(at.epoch, at.consumed)
            after = Cursor(at.epoch, at.consumed + 1)
        else:
            drawn = self._draw(0, at.epoch, at.consumed)
            after = Cursor(at.epoch, at.consumed + int((~drawn.padding).sum()))
        return Step((drawn,), Cursor(at.epoch + 1, 0) if self._over(after) else after)

    def batch(self, epoch: int, number: int) -> Draw:
        """Batch `number` of an epoch, if all of them are of the batch size."""
        if self.unit == "sample":
            return self._draw(0, epoch, number * self._batch)
        if self._turns is None or self._turns.epoch != epoch:
            self._turns = _Turns(self.batches, self._seed, epoch)
        bucket, before = self._turns.at(number)
        return self._draw(bucket, epoch, before * self._batch)

    def _over(self, at: Cursor) -> bool:
        if self.unit == "batch":
            return at.consumed >= sum(self.batches)
        fewest = self._batch if self._last == "drop" else 1
        return at.consumed + fewest > self.samples[0]

    def _draw(self, bucket: int, epoch: int, start: int) -> Draw:
        samples = self.samples[bucket]
        stop = min(start + self._batch, samples)
        positions = np.arange(start, stop)
        missing = start + self._batch - stop if self._last == "pad" else 0
        if missing:
            positions = np.append(positions, np.arange(missing) % samples)
        return draw(positions, bucket=bucket, epoch=epoch, padding=missing)


class _Turns:
    """Whose turn each batch of an epoch is: a keyed permutation, with counts every 4096 batches."""

    def __init__(self, batches: Sequence[int], seed: int, epoch: int) -> None:
        self.epoch = epoch
        self._ends = np.cumsum(batches)
        self._total = int(self._ends[-1])
        self._permutation = Permutation(self._total, key_of("batches", seed, epoch))
        stretches = range(0, self._total, _STRETCH)
        counts = [np.bincount(self._buckets(s), minlength=len(batches)) for s in stretches]
        self._before = np.cumsum([np.zeros(len(batches), np.int64), *counts], axis=0)
        self._stretch = -1
        self._turns: Ints = np.empty(0, np.int64)

    def _buckets(self, start: int) -> Ints:
        numbers = np.arange(start, min(start + _STRETCH, self._total))
        return np.searchsorted(self._ends, self._permutation(numbers), side="right")

    def at(self, number: int) -> tuple[int, int]:
        """The bucket of a batch, and how many batches that bucket had before."""
        stretch, place = divmod(number, _STRETCH)
        if stretch != self._stretch:
            self._turns, self._stretch = self._buckets(stretch * _STRETCH), stretch
        bucket = int(self._turns[place])
        earlier = int((self._turns[:place] == bucket).sum())
        return bucket, int(self._before[stretch, bucket]) + earlier
