"""The samples by number, for custom samplers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch.utils.data

from tokenizer.feed.batches import Batch, BufferPool, gather
from tokenizer.feed.chunks import ShapePlan, submit_reads
from tokenizer.feed.order import SampleLocations
from tokenizer.feed.row_group import RowGroupCache
from tokenizer.feed.sample_index import PrefixSums
from tokenizer.feed.sequence_window import Ints
from tokenizer.feed.token_table import TokenTable, open_table


class TokenDataset(torch.utils.data.Dataset[Batch]):
    """Every sample once, numbered shape by shape in the order of the table.

    Numbers that PyTorch's loaders request together are read together, each row group once.
    """

    def __init__(
        self, table: TokenTable | str | os.PathLike[str], *, selection: str | None = None
    ) -> None:
        """`selection` is that of a `ClipQuery`, if `table` is an output; the newest if None."""
        self.table = open_table(table, selection)
        buckets = self.table.index.buckets
        self._sums = [PrefixSums(len(b.counts), b.counts.__getitem__) for b in buckets]
        self._ends = np.cumsum([bucket.samples for bucket in buckets])
        self._opened: tuple[int, RowGroupCache, ThreadPoolExecutor] | None = None

    def __len__(self) -> int:
        return self.table.index.samples

    def __getitem__(self, number: int) -> Batch:
        return self.__getitems__([number])[0]

    def __getitems__(self, numbers: Sequence[int]) -> list[Batch]:
        """The samples of these numbers, in their order."""
        self.table.keep_versions()
        requested = np.asarray(numbers, np.int64)
        outside = requested[(requested < 0) | (requested >= len(self))]
        if outside.size:
            raise IndexError(f"there is no sample {outside[0]}; there are {len(self)}")
        samples: list[Batch] = [{} for _ in numbers]
        buckets = np.searchsorted(self._ends, requested, side="right")
        for bucket in np.unique(buckets).tolist():
            slots = np.flatnonzero(buckets == bucket)
            columns = self._read(bucket, requested[slots])
            for index, slot in enumerate(slots.tolist()):
                samples[slot] = {name: column[index] for name, column in columns.items()}
        return samples

    def _read(self, bucket_index: int, numbers: Ints) -> dict[str, Any]:
        """All columns of samples of one bucket."""
        bucket = self.table.index.buckets[bucket_index]
        first = int(self._ends[bucket_index]) - bucket.samples
        group, sample = self._sums[bucket_index].find(numbers - first)
        locations = SampleLocations(*bucket.row_group(group), sample)
        cache, pool = self._open()
        zeros = np.zeros(len(numbers), np.int64)
        reads = submit_reads(locations, np.arange(len(numbers)), 0, cache, pool)
        plan = ShapePlan(reads, zeros, zeros, numbers, zeros.astype(bool))
        samples = gather(bucket.shape, plan, [self.table], BufferPool())
        if not samples.readable.all():
            raise IndexError(f"sample {numbers[~samples.readable][0]} cannot be read")
        batch = samples.batch(0, len(numbers), [self.table])
        return {n: c for n, c in batch.items() if n not in ("source", "epoch", "padding")}

    def _open(self) -> tuple[RowGroupCache, ThreadPoolExecutor]:
        """Files and threads of this process: those of a parent process do not work here."""
        if self._opened is None or self._opened[0] != os.getpid():
            pool = ThreadPoolExecutor(self.table.read_options.threads, "feed-read")
            self._opened = os.getpid(), self.table.open(), pool
        return self._opened[1:]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}
