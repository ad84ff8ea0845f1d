"""The number of samples in each row group: all that an order over a table needs.

One number of one or two bytes for each row group and shape, and some forty bytes a file; rows and
windows are derived again when a row group is read. A hundred million samples at seven to a row
group take 14 MB; a filter adds one bit a row. Positions are found in O(log n) with sparse prefix
sums, one of 8 bytes for 64 row groups.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from curation.data_file import content_name
from tokenizer.feed.sequence_window import Ints, Shape

_STRIDE = 64
_CHUNK = 1 << 16


@dataclass(frozen=True)
class Bucket:
    """The samples of one shape."""

    shape: Shape
    files: npt.NDArray[np.uint32]
    """The files that hold samples, as ascending indices into `SampleIndex.paths`."""
    first_group: npt.NDArray[np.uint32]
    """Row groups of those files before each of them, and the total: [files + 1]."""
    counts: npt.NDArray[Any]
    """Samples in each row group of those files, in the smallest unsigned type."""
    samples: int
    """Sum of the counts."""

    def row_group(self, index: Ints) -> tuple[Ints, Ints]:
        """File, and row group within it, of indices into `counts`."""
        file = np.searchsorted(self.first_group, index, side="right") - 1
        return self.files[file].astype(np.int64), index - self.first_group[file]


@dataclass(frozen=True)
class RowMask:
    """The rows that pass the filters: one bit a row."""

    first_byte: Ints
    """Offset of each file."""
    bits: npt.NDArray[np.uint8]
    """In the order of rows."""

    def rows(self, file: int, start: int, stop: int) -> npt.NDArray[np.bool_]:
        """The mask of a file's rows from `start` to `stop`."""
        first = int(self.first_byte[file])
        low, high = first + start // 8, first + -(-stop // 8)
        return np.unpackbits(self.bits[low:high])[start % 8 :][: stop - start].astype(bool)


@dataclass(frozen=True)
class SampleIndex:
    """The row groups of one version of a table, in the order of file names."""

    paths: Any
    """File names, an Arrow array of text."""
    sizes: Ints
    """File sizes in bytes."""
    buckets: tuple[Bucket, ...]
    """By shape; every sample is in one."""
    row_mask: RowMask | None
    """None if all rows pass."""
    rows: int
    """Rows of the table."""
    excluded_rows: int
    """Rows that the filters exclude."""
    short_rows: int
    """Rows that pass but are too short for a window."""

    @property
    def samples(self) -> int:
        """Samples of an epoch."""
        return sum(bucket.samples for bucket in self.buckets)

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        return sum(array.nbytes for array in self._arrays()) + int(self.paths.nbytes)

    def digest(self) -> str:
        """16 hex digits of a hash of the index; the same for files of the same content."""
        state = hashlib.blake2b(digest_size=8)
        state.update("\n".join(map(content_name, self.paths.to_pylist())).encode())
        for bucket in self.buckets:
            state.update(repr(bucket.shape).encode())
        for array in self._arrays():
            state.update(np.ascontiguousarray(array).data)
        return state.hexdigest()

    def _arrays(self) -> list[npt.NDArray[Any]]:
        arrays: list[npt.NDArray[Any]] = [self.sizes]
        for bucket in self.buckets:
            arrays += [bucket.files, bucket.first_group, bucket.counts]
        if self.row_mask is not None:
            arrays += [self.row_mask.first_byte, self.row_mask.bits]
        return arrays


class PrefixSums:
    """Finds the number that a running total falls into, with one stored sum for 64 numbers."""

    def __init__(self, n: int, count: Callable[[Ints], npt.NDArray[Any]]) -> None:
        """`count` gives the numbers at some indices below `n`."""
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

    def find(self, totals: Ints) -> tuple[Ints, Ints]:
        """The index of the number that each total, 0 ≤ total < sum, falls into, and the offset."""
        block = np.searchsorted(self._anchors, totals, side="right") - 1
        blocks = np.unique(block)
        indices = blocks[:, None] * _STRIDE + np.arange(_STRIDE)
        counts = self._count(np.minimum(indices, self._n - 1)).astype(np.int64)
        counts[indices >= self._n] = 0
        ends = self._anchors[blocks][:, None] + np.cumsum(counts, axis=1)
        index = np.searchsorted(ends.ravel(), totals, side="right")
        return indices.ravel()[index], totals - (ends - counts).ravel()[index]
