"""From row groups to tensors: gathers a planned chunk and slices it into batches.

Tokens are gathered as stored and converted to what a model takes batch by batch, while they are in
the processor's cache. The arrays in between come from a pool, because fresh memory costs more than
filling it.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from tokenizer.feed.chunks import ChunkPlan, RowGroupRead, ShapePlan
from tokenizer.feed.errors import BadShardError
from tokenizer.feed.row_group import ACTIONS, HEADS, NUMBERS, TEXTS, Array
from tokenizer.feed.sequence_window import Ints, Shape
from tokenizer.feed.token_table import TokenTable

Batch = dict[str, Any]
"""Tensors whose first dimension is the sample, lists of text, and the feed's cursor."""

_LOG = logging.getLogger(__name__)
_POOLED_BYTES = 1 << 20
"""Size from which an array is worth reusing."""
_POOLED_ARRAYS = 16


class BufferPool:
    """Large arrays to reuse."""

    def __init__(self) -> None:
        self._arrays: list[Array] = []
        self._lock = threading.Lock()

    def acquire(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """An uninitialised array of that shape."""
        size = math.prod(shape) * dtype.itemsize
        with self._lock:
            fitting = (i for i, a in enumerate(self._arrays) if size <= a.nbytes <= 2 * size)
            index = next(fitting, None)
            array = np.empty(size, np.uint8) if index is None else self._arrays.pop(index)
        return array[:size].view(dtype).reshape(shape)

    def release(self, arrays: Iterable[Array]) -> None:
        """Takes back arrays from `acquire` that are no longer used."""
        large = [a.reshape(-1).view(np.uint8) for a in arrays if a.nbytes >= _POOLED_BYTES]
        with self._lock:
            self._arrays = [*self._arrays, *large][-_POOLED_ARRAYS:]


class ColumnBuilder:
    """Columns of a fixed number of samples that are written in any order."""

    def __init__(self, size: int, pool: BufferPool) -> None:
        self._size = size
        self._pool = pool
        self._arrays: dict[str, Array] = {}
        self._texts: dict[str, list[tuple[Any, Ints]]] = {}

    def declare(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """Adds a column [size, *shape]."""
        self._arrays[name] = self._pool.acquire((self._size, *shape), dtype)

    def declare_text(self, name: str) -> None:
        """Adds a column of text."""
        self._texts[name] = [(pa.array([], pa.large_string()), np.empty(0, np.int64))]

    def write(self, name: str, slots: Ints, values: Any) -> None:
        """Writes a numpy array [slots, …] or an Arrow array of text; widens the type if needed."""
        if not isinstance(values, np.ndarray):
            if name not in self._texts:
                self.declare_text(name)
            self._texts[name].append((values, slots))
            return
        array = self._arrays.get(name)
        if array is None:
            array = np.empty((self._size, *values.shape[1:]), values.dtype)
        elif not np.can_cast(values.dtype, array.dtype):
            array = array.astype(np.result_type(array, values))
        array[slots] = values
        self._arrays[name] = array

    def columns(self) -> dict[str, Any]:
        """Every column: a numpy array, or an Arrow array with nulls where nothing was written."""
        return {**self._arrays, **{name: self.text(name) for name in self._texts}}

    def text(self, name: str) -> Any:
        """One column of text."""
        slots = np.concatenate([slots for _, slots in self._texts[name]])
        index = np.full(self._size, -1)
        index[slots] = np.arange(len(slots))
        texts = pa.chunked_array([text for text, _ in self._texts[name]])
        return texts.take(pa.array(index, mask=index < 0)).combine_chunks()


@dataclass(frozen=True)
class GatheredSamples:
    """Samples of one shape."""

    heads: dict[str, Array]
    """Tokens as stored: uint16 [samples, *shape], float16 [samples, channels, *shape]."""
    columns: dict[str, Any]
    """The rest: tensors, or Arrow arrays of text."""
    readable: npt.NDArray[np.bool_]
    """Samples whose row group could be read."""

    def batch(self, start: int, stop: int, tables: Sequence[TokenTable]) -> Batch:
        """The readable samples from `start` to `stop`."""
        batch: Batch = {name: column[start:stop] for name, column in self.columns.items()}
        for name, stored in self.heads.items():
            batch[name] = _decode(name, stored[start:stop], batch["source"], tables)
        readable = self.readable[start:stop]
        if not readable.all():
            mask = torch.from_numpy(readable)
            for name, column in batch.items():
                is_tensor = isinstance(column, torch.Tensor)
                batch[name] = column[mask] if is_tensor else column.filter(pa.array(readable))
        if tables[0].read_options.corrupt == "skip":
            batch["skipped"] = torch.tensor(int((~readable).sum()))
        for name, column in batch.items():
            if not isinstance(column, torch.Tensor):
                batch[name] = column.to_pylist()
        if ACTIONS in batch:
            valid = ~torch.isnan(batch[ACTIONS])
            batch["actions_valid"] = valid
            batch[ACTIONS] = torch.where(valid, batch[ACTIONS], 0.0)
        return batch


def _decode(
    head: str, stored: Array, source: torch.Tensor, tables: Sequence[TokenTable]
) -> torch.Tensor:
    """Codes as int64; latents as float32, normalised unless their table says no. Always a copy."""
    if head == "codes":
        return torch.from_numpy(stored.astype(np.int64))
    latents = torch.from_numpy(stored).to(torch.float32)
    for index, table in enumerate(tables):
        mean, std = (values.reshape(-1, 1, 1, 1) for values in table.statistics)
        if table.normalised and len(tables) == 1:
            latents.sub_(mean).div_(std)
        elif table.normalised:
            mask = source == index
            latents[mask] = (latents[mask] - mean) / std
    return latents


class Chunk:
    """The samples of a planned chunk."""

    def __init__(self, plan: ChunkPlan, tables: Sequence[TokenTable], pool: BufferPool) -> None:
        """Waits for the row groups; raises `BadShardError` unless such are skipped."""
        self._steps = plan.steps
        self._tables = tables
        self._pool = pool
        self._shapes = {
            shape: gather(shape, shape_plan, tables, pool)
            for shape, shape_plan in plan.shapes.items()
        }

    def batches(self) -> Iterator[Batch]:
        """The batch of each step; none shares memory with another."""
        offsets = dict.fromkeys(self._shapes, 0)
        for step in self._steps:
            start = offsets[step.shape]
            stop = offsets[step.shape] = start + sum(len(d.positions) for d in step.draws)
            batch = self._shapes[step.shape].batch(start, stop, self._tables)
            yield {**batch, "cursor": (step.next_cursor.epoch, step.next_cursor.consumed)}
        for samples in self._shapes.values():
            self._pool.release(samples.heads.values())


def gather(
    shape: Shape, plan: ShapePlan, tables: Sequence[TokenTable], pool: BufferPool
) -> GatheredSamples:
    """All columns of samples of one shape, in their order.

    Raises `BadShardError` for a row group that cannot be read, or marks its samples as unreadable.
    """
    size = len(plan.position)
    builder, readable = ColumnBuilder(size, pool), np.zeros(size, bool)
    names = action_names(tables)
    _declare(builder, tables[0], shape, len(names))
    for read in plan.reads:
        try:
            _write_tokens(builder, tables[read.source], shape, read, names)
            readable[read.slots] = True
        except BadShardError as error:
            if tables[read.source].read_options.corrupt == "raise":
                raise
            _LOG.warning("%d samples are left out: %s", len(read.slots), error)
    for source, table in enumerate(tables):
        if table.side_tables:
            slots = np.flatnonzero(readable & (plan.source == source))
            clip_ids = builder.text("clip_id").take(pa.array(slots))
            for side in table.side_tables:
                for name, values in side.take(side.index.find(clip_ids)).items():
                    builder.write(name, slots, values)
    columns = builder.columns()
    heads = {name: columns.pop(name) for name in HEADS if name in columns}
    columns |= {name: getattr(plan, name) for name in ("source", "epoch", "position", "padding")}
    tensors = {n: torch.from_numpy(c) for n, c in columns.items() if isinstance(c, np.ndarray)}
    return GatheredSamples(heads, {**columns, **tensors}, readable)


def action_names(tables: Sequence[TokenTable]) -> tuple[str, ...]:
    """What each number of `actions` in a batch is: the names of all tables, each once."""
    return tuple(dict.fromkeys(name for table in tables for name in table.action_names))


def _declare(builder: ColumnBuilder, table: TokenTable, shape: Shape, numbers: int) -> None:
    """Adds every column, so that a batch without samples has it as well."""
    for name in table.columns:
        if name == "codes":
            builder.declare(name, shape, np.dtype("<u2"))
        elif name == "latents":
            builder.declare(name, (table.channels, *shape), np.dtype("<f2"))
        elif name == ACTIONS:
            builder.declare(name, (shape[0], numbers), np.dtype(np.float32))
        elif name in NUMBERS:
            builder.declare(name, (), NUMBERS[name])
        else:
            builder.declare_text(name)
    if table.side_tables:
        builder.declare_text("clip_id")
    if table.window.latent_frames is not None:
        for name in ("first_latent", "context_latents", "first_frame"):
            builder.declare(name, (), np.dtype(np.int64))
        builder.declare("is_causal_first", (), np.dtype(bool))


def _write_tokens(
    builder: ColumnBuilder, table: TokenTable, shape: Shape, read: RowGroupRead,
    action_names: Sequence[str],
) -> None:  # fmt: skip
    """Copies the samples of one row group to their slots."""
    group, samples, slots = read.group.result(), read.samples, read.slots
    row = group.samples_of(shape)[0][samples]
    for name in table.columns:
        if name == "codes":
            builder.write(name, slots, group.codes(shape, samples))
        elif name == "latents":
            builder.write(name, slots, group.latents(shape, samples, table.channels))
        elif name == ACTIONS:
            builder.write(name, slots, group.actions(shape, samples, action_names))
        elif name in NUMBERS:
            builder.write(name, slots, group.numbers(name)[row])
    for name in TEXTS:
        if name in table.columns or (name == "clip_id" and table.side_tables):
            builder.write(name, slots, group.text(name, row))
    if table.window.latent_frames is not None:
        for name, values in group.window_columns(shape, samples, table.rate).items():
            builder.write(name, slots, values)
