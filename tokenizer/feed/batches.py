"""From row groups to tensors: gathering a planned chunk, and slicing it into batches.

Tokens are gathered as they are stored and turned into what a model takes batch by batch, while they
are in the processor's cache. The arrays in between are used again and again, because fresh memory
costs more than filling it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from tokenizer.feed.buffer_pool import Slots, Spare
from tokenizer.feed.chunks import Planned, Read, Wanted
from tokenizer.feed.columns import HEADS, NUMBERS, TEXTS
from tokenizer.feed.indexer import BadShardError
from tokenizer.feed.permutation import Ints
from tokenizer.feed.sequence_window import Shape
from tokenizer.feed.token_table import Tokens

Batch = dict[str, Any]
"""Tensors whose first dimension is the sample, lists of text, and where the feed stands."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Gathered:
    """Samples of one shape."""

    heads: dict[str, npt.NDArray[Any]]
    """Tokens as stored: uint16 [samples, *shape], float16 [samples, channels, *shape]."""
    columns: dict[str, Any]
    """The rest: tensors, or Arrow arrays of text."""
    there: npt.NDArray[np.bool_]
    """Which samples could be read."""

    def batch(self, start: int, stop: int, tokens: Sequence[Tokens]) -> Batch:
        """Those of some samples that could be read."""
        batch: Batch = {name: column[start:stop] for name, column in self.columns.items()}
        for name, raw in self.heads.items():
            batch[name] = _finished(name, raw[start:stop], batch["source"], tokens)
        there = self.there[start:stop]
        if not there.all():
            batch = {name: _chosen(column, there) for name, column in batch.items()}
        if tokens[0].reading.corrupt == "skip":
            batch["skipped"] = torch.tensor(int((~there).sum()))
        for name, column in batch.items():
            if not isinstance(column, torch.Tensor):
                batch[name] = column.to_pylist()
        return batch


def _finished(
    head: str, raw: npt.NDArray[Any], source: torch.Tensor, tokens: Sequence[Tokens]
) -> torch.Tensor:
    """Codes as int64; latents as float32, normalised where that is wanted. Always a copy."""
    if head == "codes":
        return torch.from_numpy(raw.astype(np.int64))
    found = torch.from_numpy(raw).to(torch.float32)
    for at, each in enumerate(tokens):
        mean, std = (values.reshape(-1, 1, 1, 1) for values in each.statistics)
        if each.normalised and len(tokens) == 1:
            found.sub_(mean).div_(std)
        elif each.normalised:
            mine = source == at
            found[mine] = (found[mine] - mean) / std
    return found


def _chosen(column: Any, there: npt.NDArray[np.bool_]) -> Any:
    """The entries of a tensor or an Arrow array that are there."""
    if isinstance(column, torch.Tensor):
        return column[torch.from_numpy(there)]
    return column.filter(pa.array(there))


class Chunk:
    """The samples of a planned chunk."""

    def __init__(self, planned: Planned, tokens: Sequence[Tokens], spare: Spare) -> None:
        """Waits for the row groups; raises `BadShardError` unless such are to be skipped."""
        self._parts = planned.parts
        self._tokens = tokens
        self._spare = spare
        self._shapes = {
            shape: gathered(shape, wanted, tokens, spare)
            for shape, wanted in planned.shapes.items()
        }

    def batches(self) -> Iterator[Batch]:
        """The batch of each step; none shares memory with another."""
        done = dict.fromkeys(self._shapes, 0)
        for part in self._parts:
            start = done[part.shape]
            stop = done[part.shape] = start + sum(len(d.positions) for d in part.draws)
            batch = self._shapes[part.shape].batch(start, stop, self._tokens)
            yield {**batch, "cursor": (part.after.epoch, part.after.consumed)}
        for found in self._shapes.values():
            self._spare.give(found.heads.values())


def gathered(shape: Shape, wanted: Wanted, tokens: Sequence[Tokens], spare: Spare) -> Gathered:
    """All columns of samples of one shape, in their order.

    Raises `BadShardError` for a row group that cannot be read, or leaves its samples out.
    """
    size = len(wanted.position)
    slots, there = Slots(size, spare), np.zeros(size, bool)
    _declare(slots, tokens[0], shape)
    for read in wanted.reads:
        try:
            _fill(slots, tokens[read.source], shape, read)
            there[read.slot] = True
        except BadShardError as error:
            if tokens[read.source].reading.corrupt == "raise":
                raise
            _LOG.warning("%d samples are left out: %s", len(read.slot), error)
    for source, each in enumerate(tokens):
        if each.sides:
            _fill_sides(slots, each, np.flatnonzero(there & (wanted.source == source)))
    columns = slots.columns()
    heads = {name: columns.pop(name) for name in HEADS if name in columns}
    columns |= {name: getattr(wanted, name) for name in ("source", "epoch", "position", "padding")}
    tensors = {n: torch.from_numpy(c) for n, c in columns.items() if isinstance(c, np.ndarray)}
    return Gathered(heads, {**columns, **tensors}, there)


def _declare(slots: Slots, tokens: Tokens, shape: Shape) -> None:
    """Makes every column, so that it is there also where no sample is."""
    for name in tokens.columns:
        if name == "codes":
            slots.declare(name, shape, np.dtype("<u2"))
        elif name == "latents":
            slots.declare(name, (tokens.channels, *shape), np.dtype("<f2"))
        elif name in NUMBERS:
            slots.declare(name, (), NUMBERS[name])
        else:
            slots.declare_text(name)
    if tokens.sides:
        slots.declare_text("clip_id")
    if tokens.cut.latents is not None:
        for name in ("first_latent", "context_latents", "first_frame"):
            slots.declare(name, (), np.dtype(np.int64))
        slots.declare("is_causal_first", (), np.dtype(bool))


def _fill(slots: Slots, tokens: Tokens, shape: Shape, read: Read) -> None:
    """Copies samples that lie in one row group to their places."""
    group, sample, slot = read.group.result(), read.sample, read.slot
    row = group.of(shape)[0][sample]
    for name in tokens.columns:
        if name == "codes":
            slots.put(name, slot, group.codes(shape, sample))
        elif name == "latents":
            slots.put(name, slot, group.latents(shape, sample, tokens.channels))
        elif name in NUMBERS:
            slots.put(name, slot, group.numbers(name)[row])
    for name in TEXTS:
        if name in tokens.columns or (name == "clip_id" and tokens.sides):
            slots.put(name, slot, group.text(name, row))
    if tokens.cut.latents is not None:
        for name, values in group.windows(shape, sample, tokens.rate).items():
            slots.put(name, slot, values)


def _fill_sides(slots: Slots, tokens: Tokens, mine: Ints) -> None:
    """Looks up what is known of the clips of these samples."""
    ids = slots.text("clip_id").take(pa.array(mine))
    for side in tokens.sides:
        for name, values in side.take(side.index.find(ids)).items():
            slots.put(name, mine, values)
