"""How many samples lie in each row group: all that an order over a table has to know.

One number of one or two bytes a row group and shape, and some forty bytes a file; which rows and
windows these samples are is worked out again when the row group is read. A hundred million samples
at seven to a row group take 14 MB; a filter adds one bit a row. Positions are found with sparse
prefix sums, one of 8 bytes for 64 row groups, in O(log n).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tokenizer.feed.permutation import Ints
from tokenizer.feed.sequence_window import Shape

_STRIDE = 64
_CHUNK = 1 << 16


@dataclass(frozen=True)
class Bucket:
    """The samples of one shape."""

    shape: Shape
    """Of each of them."""
    files: npt.NDArray[np.uint32]
    """The files that hold some, by place in `Index.paths`, rising."""
    first_group: npt.NDArray[np.uint32]
    """For each of those files how many row groups the ones before it have; and their sum."""
    counts: npt.NDArray[Any]
    """Samples in each row group of those files, unsigned of as few bytes as will do."""
    samples: int
    """Sum of the counts."""

    def group(self, place: Ints) -> tuple[Ints, Ints]:
        """File and row group in that file of row groups that are given by place in `counts`."""
        at = np.searchsorted(self.first_group, place, side="right") - 1
        return self.files[at].astype(np.int64), place - self.first_group[at]


@dataclass(frozen=True)
class Kept:
    """Which rows take part: one bit a row."""

    first_byte: Ints
    """Where each file starts."""
    bits: npt.NDArray[np.uint8]
    """In the order of rows."""

    def rows(self, file: int, start: int, stop: int) -> npt.NDArray[np.bool_]:
        """Which of a file's rows from `start` to `stop` take part."""
        first = int(self.first_byte[file])
        low, high = first + start // 8, first + -(-stop // 8)
        return np.unpackbits(self.bits[low:high])[start % 8 :][: stop - start].astype(bool)


@dataclass(frozen=True)
class Index:
    """The row groups of one version of a table, in the order of file names."""

    paths: Any
    """Names of the files, an Arrow array of text."""
    sizes: Ints
    """Their bytes."""
    buckets: tuple[Bucket, ...]
    """By shape; every sample is in one."""
    kept: Kept | None
    """None if all rows take part."""
    rows: int
    """Rows of the table."""
    left_out: int
    """Rows that do not take part."""
    too_short: int
    """Rows that take part but give no window."""

    @property
    def samples(self) -> int:
        """Samples of an epoch."""
        return sum(bucket.samples for bucket in self.buckets)

    @property
    def nbytes(self) -> int:
        """Bytes of memory held."""
        return sum(array.nbytes for array in self._arrays()) + int(self.paths.nbytes)

    def digest(self) -> str:
        """16 hex digits that stand for all of it."""
        state = hashlib.blake2b(digest_size=8)
        state.update("\n".join(self.paths.to_pylist()).encode())
        for bucket in self.buckets:
            state.update(repr(bucket.shape).encode())
        for array in self._arrays():
            state.update(np.ascontiguousarray(array).data)
        return state.hexdigest()

    def _arrays(self) -> list[npt.NDArray[Any]]:
        arrays: list[npt.NDArray[Any]] = [self.sizes]
        for bucket in self.buckets:
            arrays += [bucket.files, bucket.first_group, bucket.counts]
        if self.kept is not None:
            arrays += [self.kept.first_byte, self.kept.bits]
        return arrays


class PrefixSums:
    """Finds which of n numbers a running total falls into, from one stored sum for 64 of them."""

    def __init__(self, n: int, count: Callable[[Ints], npt.NDArray[Any]]) -> None:
        self._n = n
        self._count = count
        self._anchors = np.zeros(-(-n // _STRIDE) + 1, np.int64)
        for start in range(0, n, _CHUNK):
            counts = count(np.arange(start, min(start + _CHUNK, n))).astype(np.int64)
            sums = np.add.reduceat(counts, np.arange(0, len(counts), _STRIDE))
            self._anchors[start // _STRIDE + 1 :][: len(sums)] = sums
        np.cumsum(self._anchors, out=self._anchors)

    @property
    def total(self) -> int:
        """Sum of all numbers."""
        return int(self._anchors[-1])

    def find(self, at: Ints) -> tuple[Ints, Ints]:
        """The number that each total, from 0 to below the sum, falls into, and how far into it."""
        stretch = np.searchsorted(self._anchors, at, side="right") - 1
        stretches = np.unique(stretch)
        places = stretches[:, None] * _STRIDE + np.arange(_STRIDE)
        counts = self._count(np.minimum(places, self._n - 1)).astype(np.int64)
        counts[places >= self._n] = 0
        ends = self._anchors[stretches][:, None] + np.cumsum(counts, axis=1)
        found = np.searchsorted(ends.ravel(), at, side="right")
        return places.ravel()[found], at - (ends - counts).ravel()[found]
