"""The one order of an epoch: where the sample at each position lies.

    row groups   permuted by a keyed permutation; their samples in a row make one long sequence
    lanes        the sequence falls into `lanes` stretches of equal length, and positions take from
                 them in turn: position p is number p // lanes of lane p mod lanes
    blocks       in each lane runs of `block` samples are put in an order of their own; the lanes
                 start their first block at different points, so that reads come evenly

Every choice follows from the index, the seed and the epoch, none from how many consumers there are.
Neighbouring positions come from row groups far apart, yet each lane reads row by row: consumers
that share out the lanes share out the reading. A position costs O(block + log row groups), or, next
to one just asked for, O(log row groups); making an order costs one pass over the counts and 8 bytes
for 64 row groups.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tokenizer.feed.permutation import Ints, Permutation, by_hash, key_of
from tokenizer.feed.sample_index import Bucket, PrefixSums


@dataclass(frozen=True)
class Shuffle:
    """How far apart neighbours in the order come from. Both numbers are part of the order."""

    lanes: int = 32
    """Row groups that a batch mixes; as many lie in memory, shared out among the consumers. Best a
    multiple of the consumers and a divisor of the batch. Shapes get lanes by their samples."""
    block: int | None = None
    """Samples of a lane that are mixed; None for as many as a row group has on average."""

    def __post_init__(self) -> None:
        if self.lanes < 1 or (self.block is not None and self.block < 1):
            raise ValueError(f"lanes {self.lanes} and block {self.block} must be at least 1")

    def of(self, bucket: Bucket, samples: int) -> tuple[int, int]:
        """Lanes and block of a bucket of an index with that many samples."""
        lanes = max(1, round(self.lanes * bucket.samples / samples))
        filled = max(1, int(np.count_nonzero(bucket.counts)))
        return lanes, self.block or -(-bucket.samples // filled)


@dataclass(frozen=True)
class Places:
    """Where samples lie: three arrays of one length."""

    file: Ints
    """By place in the index."""
    group: Ints
    """Row group in the file."""
    sample: Ints
    """Number among the row group's samples of the bucket's shape."""


class Order:
    """One epoch of one bucket."""

    def __init__(self, bucket: Bucket, lanes: int, block: int, key: int) -> None:
        self._bucket = bucket
        self._lanes = lanes
        self._block = block
        self._key = key_of("samples", key)
        self._permutation = Permutation(len(bucket.counts), key_of("row groups", key))
        self._sums = PrefixSums(len(bucket.counts), self._counts)
        self._runs: dict[int, Ints] = {}

    def _counts(self, places: Ints) -> npt.NDArray[np.integer]:
        counts: npt.NDArray[np.integer] = self._bucket.counts[self._permutation(places)]
        return counts

    def locate(self, positions: Ints) -> Places:
        """Where the samples at these positions, 0 to below the bucket's samples, lie."""
        group, sample = self._sums.find(self._sequence(positions))
        return Places(*self._bucket.group(self._permutation(group)), sample)

    def _sequence(self, positions: Ints) -> Ints:
        """The place of each position in the sequence of all row groups' samples."""
        each, more = divmod(self._bucket.samples, self._lanes)
        lane, number = positions % self._lanes, positions // self._lanes
        lead = lane * self._block // self._lanes
        block = (number + lead) // self._block
        low = np.maximum(block * self._block - lead, 0)
        high = np.minimum((block + 1) * self._block - lead, each + (lane < more))
        start = lane * each + np.minimum(lane, more)
        return self._shuffled(start + low, high - low, number - low)

    def _shuffled(self, first: Ints, length: Ints, rank: Ints) -> Ints:
        """Of each run of `length` numbers from `first` on, the one at `rank` by hash.

        Runs are kept for the next call, which mostly asks for the same ones.
        """
        if not len(first):
            return first
        runs, at, of_run = np.unique(first, return_index=True, return_inverse=True)
        lengths = length[at]
        new = np.array([run not in self._runs for run in runs.tolist()])
        made = self._made(runs[new], lengths[new]) if new.any() else {}
        self._runs = {run: made[run] if run in made else self._runs[run] for run in runs.tolist()}
        starts = np.cumsum(lengths) - lengths
        found: Ints = np.concatenate(list(self._runs.values()))[starts[of_run] + rank]
        return found

    def _made(self, runs: Ints, lengths: Ints) -> dict[int, Ints]:
        """The numbers of each run by hash."""
        starts = np.cumsum(lengths) - lengths
        run = np.repeat(np.arange(len(runs)), lengths)
        numbers = by_hash(np.arange(len(run)) - starts[run] + runs[run], run, self._key)
        return dict(zip(runs.tolist(), np.split(numbers, starts[1:]), strict=True))
