"""The order of an epoch: the sample at each position, computed and never stored.

    row groups   are permuted by a keyed permutation; their samples form one long sequence
    streams      the sequence is cut into `streams` equal parts that are interleaved: position p is
                 number p // streams of stream p mod streams
    blocks       within a stream, runs of `block_size` samples are shuffled; the first blocks of the
                 streams end at different points, which spreads the reads evenly

The order follows from the index, the seed and the epoch, and does not depend on the number of
consumers. Neighbouring positions come from row groups far apart, yet each stream reads row group
after row group: consumers that divide the streams divide the reading. A position costs
O(block_size + log row groups), or O(log row groups) next to one looked up just before; making an
order costs one pass over the counts and 8 bytes for 64 row groups.

`Permutation` is a Feistel network of eight rounds over the next power of two with cycle walking:
a result outside the domain is encrypted again (J. Black and P. Rogaway, "Ciphers with Arbitrary
Finite Domains", CT-RSA 2002; for shuffling, R. Mitchell et al., "Bandwidth-Optimal Random Shuffling
for GPUs", 2022). Fewer than two passes on average and no memory: about 60 ns a number in vectors.
`shuffle_runs` sorts short runs by hash, O(m log m). Both use `mix64`, the finaliser of SplitMix64
(G. Steele et al., OOPSLA 2014), and nothing that a library's version could change.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from curation.id_match import mix64
from tokenizer.feed.errors import FeedError
from tokenizer.feed.sample_index import Bucket, PrefixSums
from tokenizer.feed.sequence_window import Ints

_Words = npt.NDArray[np.uint64]

_ROUNDS = 8
_MIN_BITS = 6
"""Over smaller domains the network is biased."""
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def derive_key(*parts: object) -> int:
    """A 64-bit key from parts such as a purpose, a seed and an epoch."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest(), "little")


class Permutation:
    """A permutation of 0 … n - 1 that `key` selects; O(1) memory."""

    def __init__(self, n: int, key: int) -> None:
        self.n = n
        self._bits = max(_MIN_BITS, (n - 1).bit_length())
        counter = np.arange(1, _ROUNDS + 1, dtype=np.uint64)
        self._keys = mix64(counter * _GOLDEN + np.array(key, np.uint64))

    def __call__(self, numbers: npt.NDArray[np.integer]) -> Ints:
        """The image of each number, 0 to n - 1; int64 of the same shape."""
        words = self._encrypt(numbers.astype(np.uint64).ravel())
        outside = np.flatnonzero(words >= self.n)
        while outside.size:
            encrypted = self._encrypt(words[outside])
            words[outside] = encrypted
            outside = outside[encrypted >= self.n]
        return words.astype(np.int64).reshape(numbers.shape)

    def _encrypt(self, words: _Words) -> _Words:
        left_bits, right_bits = self._bits // 2, self._bits - self._bits // 2
        left = words >> np.uint64(right_bits)
        right = words & np.uint64((1 << right_bits) - 1)
        for key in self._keys:
            mixed = mix64(right ^ key) >> np.uint64(64 - left_bits)
            left, right = right, left ^ mixed
            left_bits, right_bits = right_bits, left_bits
        return (left << np.uint64(right_bits)) | right


def shuffle_runs(numbers: Ints, runs: Ints, key: int) -> Ints:
    """Distinct numbers, each run of them in an order that `key` selects.

    `runs` is the run of each number, and does not decrease.
    """
    hashes = mix64(numbers.astype(np.uint64) * _GOLDEN ^ np.array(key, np.uint64))
    return numbers[np.lexsort((hashes, runs))]


@dataclass(frozen=True)
class Shuffle:
    """How well samples are mixed. Both numbers are part of the order."""

    streams: int = 32
    """Row groups that a batch mixes; as many are in memory, divided among the consumers. Best a
    multiple of the consumers and a divisor of the batch. Each shape gets its share of them."""
    block_size: int | None = None
    """Samples of a stream that are shuffled together; None for the mean of a row group."""

    def __post_init__(self) -> None:
        if self.streams < 1 or (self.block_size is not None and self.block_size < 1):
            raise FeedError(
                f"streams {self.streams} and block_size {self.block_size} must be at least 1"
            )

    def for_bucket(self, bucket: Bucket, samples: int) -> tuple[int, int]:
        """Streams and block size of a bucket of an index with that many samples."""
        streams = max(1, round(self.streams * bucket.samples / samples))
        filled = max(1, int(np.count_nonzero(bucket.counts)))
        return streams, self.block_size or -(-bucket.samples // filled)


@dataclass(frozen=True)
class SampleLocations:
    """Where samples are stored: three arrays of one length."""

    file: Ints
    """Index of the file."""
    group: Ints
    """Row group in the file."""
    sample: Ints
    """Number among the row group's samples of the bucket's shape."""


class Order:
    """One epoch of one bucket."""

    def __init__(self, bucket: Bucket, streams: int, block_size: int, key: int) -> None:
        self._bucket = bucket
        self._streams = streams
        self._block_size = block_size
        self._key = derive_key("samples", key)
        self._permutation = Permutation(len(bucket.counts), derive_key("row groups", key))
        self._sums = PrefixSums(
            len(bucket.counts), lambda groups: bucket.counts[self._permutation(groups)]
        )
        self._blocks: dict[int, Ints] = {}

    def locate(self, positions: Ints) -> SampleLocations:
        """Where the samples at these positions, 0 to below the bucket's samples, are stored."""
        group, sample = self._sums.find(self._sequence_numbers(positions))
        return SampleLocations(*self._bucket.row_group(self._permutation(group)), sample)

    def _sequence_numbers(self, positions: Ints) -> Ints:
        """The number of each position in the sequence of all row groups' samples."""
        length, remainder = divmod(self._bucket.samples, self._streams)
        stream, number = positions % self._streams, positions // self._streams
        lead = stream * self._block_size // self._streams
        block = (number + lead) // self._block_size
        low = np.maximum(block * self._block_size - lead, 0)
        high = np.minimum((block + 1) * self._block_size - lead, length + (stream < remainder))
        start = stream * length + np.minimum(stream, remainder)
        return self._in_blocks(start + low, high - low, number - low)

    def _in_blocks(self, first: Ints, length: Ints, rank: Ints) -> Ints:
        """The number at `rank` of each shuffled block of `length` numbers from `first` on.

        Blocks are cached for the next call, which mostly needs the same ones.
        """
        if not len(first):
            return first
        blocks, index, block = np.unique(first, return_index=True, return_inverse=True)
        lengths = length[index]
        is_new = np.array([start not in self._blocks for start in blocks.tolist()])
        new = self._shuffle(blocks[is_new], lengths[is_new]) if is_new.any() else {}
        self._blocks = {b: new[b] if b in new else self._blocks[b] for b in blocks.tolist()}
        starts = np.cumsum(lengths) - lengths
        numbers: Ints = np.concatenate(list(self._blocks.values()))[starts[block] + rank]
        return numbers

    def _shuffle(self, blocks: Ints, lengths: Ints) -> dict[int, Ints]:
        starts = np.cumsum(lengths) - lengths
        run = np.repeat(np.arange(len(blocks)), lengths)
        numbers = np.arange(len(run)) - starts[run] + blocks[run]
        shuffled = shuffle_runs(numbers, run, self._key)
        return dict(zip(blocks.tolist(), np.split(shuffled, starts[1:]), strict=True))
