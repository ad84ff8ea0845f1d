"""The training feed: a stream of batches that is the same whoever reads it.

    feed = TokenFeed("out", batch_size=256, epochs=None)
    for batch in feed:
        train(batch["codes"])                # int64 [256, T, H, W]
        state = feed.state(batch)            # under 1 KB; `feed.load_state(state)` goes on there

Samples come in one order that follows from the data, the seed and the epoch (`order`), cut into
global steps (`steps`) of which each consumer reads its part (`share`); threads plan, read and
gather some chunks ahead (`chunks`, `batches`). What a state counts is the steps that the trainer
took, whatever was read ahead.
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
from tokenizer.feed.batches import Batch, Chunk
from tokenizer.feed.buffer_pool import Spare
from tokenizer.feed.chunks import Part, Planned, Planner, chunked
from tokenizer.feed.distributed import Consumer, walk
from tokenizer.feed.mixture import Mixture, MixtureSteps, Turns
from tokenizer.feed.order import Shuffle
from tokenizer.feed.permutation import key_of
from tokenizer.feed.state import State, cursor_of, state_of
from tokenizer.feed.steps import Cursor, Last, Steps, TableSteps
from tokenizer.feed.token_table import Tokens, digest, opened


class TokenFeed(torch.utils.data.IterableDataset[Batch]):
    """Batches for one consumer, from where the feed stands to the end of its last epoch."""

    def __init__(
        self,
        source: Tokens | Mixture | str | os.PathLike[str],
        *,
        batch_size: int,
        seed: int = 0,
        epochs: int | None = 1,
        last: Last = "short",
        shuffle: Shuffle | None = None,
        consumer: Consumer | None = None,
        selection: str | None = None,
    ) -> None:
        """`batch_size` counts the samples that all consumers together take in a step.

        `selection` is that of a `Choice`, for a source that is a place: the clips are those that
        the newest selection keeps unless it says otherwise, such as `all`.

        `epochs` None goes on for ever, as a mixture always does. `last` says what becomes of an
        epoch's incomplete batch. `consumer` is the one that `torch.distributed` or `torchrun` says
        unless it is given.
        """
        super().__init__()
        if not isinstance(source, Mixture):
            source = opened(source, selection)
        elif selection is not None:
            raise ValueError("the tables of a mixture have selections of their own")
        self.tokens: Sequence[Tokens] = _tables(source)
        """The tables that it reads."""
        self.consumer = consumer or Consumer.here()
        """Which consumer it feeds."""
        shuffle = shuffle or Shuffle()
        self._planner = Planner([tokens.index for tokens in self.tokens], shuffle, seed)
        self._steps = _steps(source, batch_size, last, seed, epochs)
        self._cursor = Cursor(0, 0)
        self._aspects = {
            **_aspects(source),
            "seed": seed,
            "order": f"{shuffle.lanes}/{shuffle.block}",
            "batches": "any" if self._steps.unit == "sample" else f"{batch_size}/{last}",
        }

    def __iter__(self) -> Iterator[Batch]:
        info = torch.utils.data.get_worker_info()
        worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
        steps = walk(self._steps, self._cursor, worker, workers)
        return self._batches(self._planner.part(step, self.consumer) for step in steps)

    def _batches(self, parts: Iterator[Part]) -> Iterator[Batch]:
        """Plans and gathers some chunks ahead: readers do the reading, one thread each the rest."""
        reading = self.tokens[0].reading
        chunks = chunked(parts, self._size, reading.chunk_bytes)
        groups, spare = [tokens.open() for tokens in self.tokens], Spare()
        readers, planning, gathering = (
            ThreadPoolExecutor(n, f"feed-{name}")
            for name, n in (("read", reading.threads), ("plan", 1), ("gather", 1))
        )

        def plan() -> Planned | None:
            run = next(chunks, None)
            return None if run is None else self._planner.plan(run, groups, readers)

        def gather(planned: Future[Planned | None]) -> Chunk | None:
            found = planned.result()
            return None if found is None else Chunk(found, self.tokens, spare)

        def ahead() -> Future[Chunk | None]:
            return gathering.submit(gather, planning.submit(plan))

        try:
            waiting = deque(ahead() for _ in range(max(1, reading.ahead)))
            while (made := waiting.popleft().result()) is not None:
                waiting.append(ahead())
                yield from made.batches()
        finally:
            for pool in (planning, gathering, readers):
                pool.shutdown(wait=False, cancel_futures=True)

    def _size(self, part: Part) -> int:
        """About how many bytes the tokens of a part take as they are stored."""
        columns, channels = self.tokens[0].columns, self.tokens[0].channels
        each = 2 * ("codes" in columns) + 2 * channels * ("latents" in columns)
        return math.prod(part.shape) * each * sum(len(draw.positions) for draw in part.draws)

    def state(self, batch: Mapping[str, Any] | None = None) -> State:
        """Where the feed stands after the step of this batch; without one, where it starts.

        The same for every consumer and every worker.
        """
        cursor = self._cursor if batch is None else Cursor(*batch["cursor"])
        return state_of(cursor, self._aspects, _versions(self.tokens))

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Goes on from a state, whatever consumers there were; `OtherFeedError` if it cannot."""
        self._cursor = cursor_of(state, self._aspects)


def _tables(source: Tokens | Mixture) -> list[Tokens]:
    return [source] if isinstance(source, Tokens) else [tokens for tokens, _ in source.parts]


def _steps(
    source: Tokens | Mixture, batch_size: int, last: Last, seed: int, epochs: int | None
) -> Steps:
    if isinstance(source, Tokens):
        samples = [bucket.samples for bucket in source.index.buckets]
        return TableSteps(samples, batch_size, last, seed, epochs)
    tables = []
    for at, tokens in enumerate(_tables(source)):
        samples = [bucket.samples for bucket in tokens.index.buckets]
        tables.append(TableSteps(samples, batch_size, last, key_of(seed, at), None))
    turns = Turns([weight for _, weight in source.parts])
    return MixtureSteps(tables, turns, batch_size, source.per)


def _aspects(source: Tokens | Mixture) -> dict[str, str | int]:
    if isinstance(source, Tokens):
        return source.aspects()
    selections = " ".join(tokens.selection or ALL for tokens, _ in source.parts)
    found: dict[str, str | int] = {"per": source.per, "selections": selections}
    for at, (tokens, weight) in enumerate(source.parts):
        name = f"{tokens.table}@{tokens.versions[tokens.table]}"
        found[f"table {at}"] = f"{weight} {name} {digest(tokens.aspects())}"
    return found


def _versions(tables: Sequence[Tokens]) -> dict[str, int]:
    if len(tables) == 1:
        return tables[0].versions
    return {f"{at}/{t.table}": t.versions[t.table] for at, t in enumerate(tables)}
