"""The samples by number, for a sampler of one's own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch.utils.data

from tokenizer.feed.batches import Batch, gathered
from tokenizer.feed.buffer_pool import Spare
from tokenizer.feed.chunks import Wanted, reads_of
from tokenizer.feed.order import Places
from tokenizer.feed.permutation import Ints
from tokenizer.feed.row_group_cache import Groups
from tokenizer.feed.sample_index import PrefixSums
from tokenizer.feed.token_table import Tokens, opened


class TokenDataset(torch.utils.data.Dataset[Batch]):
    """Every sample once, numbered shape by shape in the order of the table.

    A list of numbers is read together, each row group once, as PyTorch's loaders ask for it.
    """

    def __init__(
        self, tokens: Tokens | str | os.PathLike[str], *, selection: str | None = None
    ) -> None:
        """`selection` is that of a `Choice`, where `tokens` is a place; the newest if None."""
        self.tokens = opened(tokens, selection)
        """The table."""
        buckets = self.tokens.index.buckets
        self._sums = [PrefixSums(len(b.counts), b.counts.__getitem__) for b in buckets]
        self._ends = np.cumsum([bucket.samples for bucket in buckets])
        self._open: tuple[int, Groups, ThreadPoolExecutor] | None = None

    def __len__(self) -> int:
        return self.tokens.index.samples

    def __getitem__(self, number: int) -> Batch:
        return self.__getitems__([number])[0]

    def __getitems__(self, numbers: Sequence[int]) -> list[Batch]:
        """The samples of these numbers, in their order."""
        asked = np.asarray(numbers, np.int64)
        wrong = asked[(asked < 0) | (asked >= len(self))]
        if wrong.size:
            raise IndexError(f"there is no sample {wrong[0]}; there are {len(self)}")
        samples: list[Batch] = [{} for _ in numbers]
        bucket = np.searchsorted(self._ends, asked, side="right")
        for each in np.unique(bucket).tolist():
            slots = np.flatnonzero(bucket == each)
            columns = self._columns(each, asked[slots])
            for at, slot in enumerate(slots.tolist()):
                samples[slot] = {name: column[at] for name, column in columns.items()}
        return samples

    def _columns(self, bucket: int, numbers: Ints) -> dict[str, Any]:
        """All columns of samples of one bucket."""
        found = self.tokens.index.buckets[bucket]
        group, sample = self._sums[bucket].find(numbers - int(self._ends[bucket]) + found.samples)
        places = Places(*found.group(group), sample)
        groups, pool = self._opened()
        none = np.zeros(len(numbers), np.int64)
        reads = reads_of(places, np.arange(len(numbers)), 0, groups, pool)
        wanted = Wanted(reads, none, none, numbers, none.astype(bool))
        made = gathered(found.shape, wanted, [self.tokens], Spare())
        if not made.there.all():
            raise IndexError(f"sample {numbers[~made.there][0]} cannot be read")
        batch = made.batch(0, len(numbers), [self.tokens])
        return {n: c for n, c in batch.items() if n not in ("source", "epoch", "padding")}

    def _opened(self) -> tuple[Groups, ThreadPoolExecutor]:
        """Files and threads of this process: those of a parent process are of no use to it."""
        if self._open is None or self._open[0] != os.getpid():
            pool = ThreadPoolExecutor(self.tokens.reading.threads, "feed-read")
            self._open = os.getpid(), self.tokens.open(), pool
        return self._open[1:]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": None}
