"""The training feed: one stream of batches, for any number of consumers.

    feed = TokenFeed("out", batch_size=256, epochs=None)
    for batch in feed:
        train(batch["codes"])                # int64 [256, T, H, W]
        state = feed.state(batch)            # under 1 KB; `feed.load_state(state)` resumes there

Samples come in one order that follows from the data, the seed and the epoch (`order`), cut into
global steps (`steps`) of which each consumer reads its part (`distributed`); threads plan, read and
gather some chunks ahead (`chunks`, `batches`). A state counts the steps that the trainer took,
whatever was read ahead.
"""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch.utils.data

from curation.dataset import ALL
from tokenizer.feed.batches import Batch, BufferPool, Chunk, action_names
from tokenizer.feed.chunks import ChunkPlan, LocalStep, Planner, split_chunks
from tokenizer.feed.distributed import Consumer
from tokenizer.feed.errors import FeedError
from tokenizer.feed.order import Shuffle, derive_key
from tokenizer.feed.state import State, make_state, restore_cursor
from tokenizer.feed.steps import (
    FeedCursor,
    LastBatch,
    Mixture,
    MixtureSteps,
    SourceSchedule,
    Steps,
    TableSteps,
    iterate_steps,
)
from tokenizer.feed.token_table import TokenTable, open_table, short_digest


class TokenFeed(torch.utils.data.IterableDataset[Batch]):
    """Batches for one consumer, from the current state to the end of the last epoch."""

    def __init__(
        self,
        source: TokenTable | Mixture | str | os.PathLike[str],
        *,
        batch_size: int,
        seed: int = 0,
        epochs: int | None = 1,
        last_batch: LastBatch = "short",
        shuffle: Shuffle | None = None,
        consumer: Consumer | None = None,
        selection: str | None = None,
    ) -> None:
        """`source` is an output, a `TokenTable` or a `Mixture` of tables.

        `batch_size` is global: the samples of a step over all consumers. `selection` may be given
        for an output: the id of a selection, the name of a subset, or `all`; by default the newest
        selection. `epochs` None is endless, as a mixture always is. `last_batch` says whether an
        epoch's incomplete batch stays `short`, is dropped (`drop`) or padded (`pad`). `consumer`
        defaults to that of `torch.distributed` or `torchrun`. Raises `FeedError`.
        """
        super().__init__()
        if not isinstance(source, Mixture):
            source = open_table(source, selection)
        elif selection is not None:
            raise FeedError("the tables of a mixture have selections of their own")
        mixture = source if isinstance(source, Mixture) else None
        self.tables: Sequence[TokenTable] = (
            [source] if isinstance(source, TokenTable) else [table for table, _ in source.tables]
        )
        """The tables that it reads."""
        self.consumer = consumer or Consumer.from_environment()
        shuffle = shuffle or Shuffle()
        self._planner = Planner([table.index for table in self.tables], shuffle, seed)
        counts = [[bucket.samples for bucket in table.index.buckets] for table in self.tables]
        self._steps: Steps
        if mixture is None:
            self._steps = TableSteps(counts[0], batch_size, last_batch, seed, epochs)
            fingerprint = self.tables[0].fingerprint()
        else:
            tables = [
                TableSteps(samples, batch_size, last_batch, derive_key(seed, index), None)
                for index, samples in enumerate(counts)
            ]
            schedule = SourceSchedule([weight for _, weight in mixture.tables])
            self._steps = MixtureSteps(tables, schedule, batch_size, mixture.per)
            fingerprint = _mixture_fingerprint(mixture)
        self._cursor = FeedCursor(0, 0)
        self._fingerprint = {
            **fingerprint,
            "seed": seed,
            "order": f"{shuffle.streams}/{shuffle.block_size}",
            "batches": "any" if self._steps.unit == "sample" else f"{batch_size}/{last_batch}",
        }

    def __iter__(self) -> Iterator[Batch]:
        info = torch.utils.data.get_worker_info()
        worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
        steps = iterate_steps(self._steps, self._cursor, worker, workers)
        return self._batches(self._planner.local_step(step, self.consumer) for step in steps)

    def _batches(self, steps: Iterator[LocalStep]) -> Iterator[Batch]:
        """Makes some chunks ahead: a pool reads, and one thread each plans and gathers."""
        options = self.tables[0].read_options
        chunks = split_chunks(steps, self._size_bytes, options.chunk_bytes)
        caches, buffers = [table.open() for table in self.tables], BufferPool()
        readers, planning, gathering = (
            ThreadPoolExecutor(n, f"feed-{name}")
            for name, n in (("read", options.threads), ("plan", 1), ("gather", 1))
        )

        def plan() -> ChunkPlan | None:
            chunk = next(chunks, None)
            return None if chunk is None else self._planner.plan(chunk, caches, readers)

        def gather(future: Future[ChunkPlan | None]) -> Chunk | None:
            chunk_plan = future.result()
            return None if chunk_plan is None else Chunk(chunk_plan, self.tables, buffers)

        def submit() -> Future[Chunk | None]:
            return gathering.submit(gather, planning.submit(plan))

        try:
            pending = deque(submit() for _ in range(max(1, options.prefetch_chunks)))
            while (chunk := pending.popleft().result()) is not None:
                pending.append(submit())
                for table in self.tables:
                    table.keep_versions()
                yield from chunk.batches()
        finally:
            for pool in (planning, gathering, readers):
                pool.shutdown(wait=False, cancel_futures=True)

    def _size_bytes(self, step: LocalStep) -> int:
        """Approximate size of a step's tokens as stored."""
        columns, channels = self.tables[0].columns, self.tables[0].channels
        latent_bytes = 2 * ("codes" in columns) + 2 * channels * ("latents" in columns)
        samples = sum(len(draw.positions) for draw in step.draws)
        return math.prod(step.shape) * latent_bytes * samples

    @property
    def action_names(self) -> tuple[str, ...]:
        """What each number of `batch["actions"]` is, such as `action.gripper`."""
        return action_names(self.tables)

    def state(self, batch: Mapping[str, Any] | None = None) -> State:
        """The state after the step of this batch; without one, the state at the start.

        The same for every consumer and every worker.
        """
        cursor = self._cursor if batch is None else FeedCursor(*batch["cursor"])
        if len(self.tables) == 1:
            versions = self.tables[0].versions
        else:
            versions = {
                f"{index}/{table.name}": table.versions[table.name]
                for index, table in enumerate(self.tables)
            }
        return make_state(cursor, self._fingerprint, versions)

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Resumes from a state of any number of consumers; `StateMismatchError` if it cannot."""
        self._cursor = restore_cursor(state, self._fingerprint)


def _mixture_fingerprint(mixture: Mixture) -> dict[str, str | int]:
    selections = " ".join(table.selection or ALL for table, _ in mixture.tables)
    fingerprint: dict[str, str | int] = {"per": mixture.per, "selections": selections}
    for index, (table, weight) in enumerate(mixture.tables):
        name = f"{table.name}@{table.versions[table.name]}"
        fingerprint[f"table {index}"] = f"{weight} {name} {short_digest(table.fingerprint())}"
    return fingerprint
