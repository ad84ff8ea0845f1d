"""Row groups in memory: read ahead by threads, cached while in use, and their samples as arrays.

A binary column is one buffer of numbers with offsets. A sample is a slice of it (codes, whole rows)
or one slice for each channel (windows of latents), so that samples of one shape are rows of a
strided view of the buffer, across all rows they are cut from: they are copied once, many at a time.
"""

from __future__ import annotations

import contextlib
import functools
import json
import threading
import types
import typing
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tokenizer.feed.errors import BadShardError, FeedError
from tokenizer.feed.indexer import ACTION_NAMES, SHAPE_COLUMNS, row_shapes
from tokenizer.feed.sample_index import SampleIndex
from tokenizer.feed.sequence_window import Ints, Samples, SequenceWindow, Shape, pack_shape
from tokenizer.feed.shard_reader import ShardReader
from tokenizer.models.interface import Compression
from tokenizer.tokenize.shards import TokenWindow

Array = npt.NDArray[Any]
P = ParamSpec("P")
R = TypeVar("R")


def _number_columns() -> dict[str, np.dtype[Any]]:
    columns: dict[str, np.dtype[Any]] = {}
    for name, hint in typing.get_type_hints(TokenWindow).items():
        nullable = isinstance(hint, types.UnionType)
        kind = hint.__args__[0] if nullable else hint
        if kind in (bool, int, float):
            columns[name] = np.dtype(float if nullable else kind)
    return columns


HEADS = ("codes", "latents")
"""Columns of tokens."""
NUMBERS = _number_columns()
"""Columns of numbers and their types; float64, with NaN for null, if they are nullable."""
_NOT_FINITE = 0x7C00
"""Bits of a half float, without its sign, from which it is infinite or NaN."""
ACTIONS = "actions"
"""The column of signals."""
TEXTS = tuple(
    name for name in typing.get_type_hints(TokenWindow) if name not in (*NUMBERS, *HEADS, ACTIONS)
)
"""Columns of text."""


def validate_columns(names: Sequence[str]) -> tuple[str, ...]:
    """The names without duplicates; `FeedError` for one that is no column of tokens."""
    known = (*HEADS, ACTIONS, *TEXTS, *NUMBERS)
    unknown = [names] if isinstance(names, str) else [n for n in names if n not in known]
    if unknown:
        raise FeedError(f"no columns of tokens: {', '.join(unknown)}; there are {', '.join(known)}")
    return tuple(dict.fromkeys(names))


def _once(
    method: Callable[Concatenate[RowGroup, P], R],
) -> Callable[Concatenate[RowGroup, P], R]:
    """Caches a method's results in the row group, by arguments."""

    @functools.wraps(method)
    def cached(self: RowGroup, /, *args: P.args, **kwargs: P.kwargs) -> R:
        key = (method.__name__, *args)
        if key not in self.cache:
            self.cache[key] = method(self, *args, **kwargs)
        result: R = self.cache[key]
        return result

    return cached


class RowGroup:
    """A row group in memory. What is derived from its columns is computed once."""

    def __init__(
        self, name: str, rows: pa.Table, samples: Samples, codebook_size: int | None = None
    ) -> None:
        """`name` is file and row group, for messages; `samples` are those of rows that pass.

        Codes from `codebook_size` on are refused, if it is given.
        """
        self.name = name
        self.rows = rows
        self._samples = samples
        self._codebook_size = codebook_size
        self.cache: dict[Any, Any] = {}

    def check(self) -> None:
        """Raises `BadShardError` for a row whose tokens do not fit its shape and the codebook."""
        for name, channels in (("codes", 1), ("latents", int(self.numbers("channels")[0]))):
            if self.rows[name].null_count < len(self.rows):
                self._row_starts(name, channels)

    @_once
    def samples_of(self, shape: Shape) -> tuple[Ints, Ints]:
        """Row and first latent of each sample of a shape."""
        samples = self._samples[self._samples.shape == pack_shape(shape)]
        return samples.row, samples.first_latent

    def codes(self, shape: Shape, samples: Ints) -> Array:
        """Codes of some samples of a shape: uint16 [samples, *shape]."""
        row, first = (values[samples] for values in self.samples_of(shape))
        frames, height, width = shape
        starts = self._row_starts("codes", 1)[row] + first * height * width
        codes: Array = self._slices("codes", frames * height * width)[starts]
        return codes.reshape(-1, *shape)

    def latents(self, shape: Shape, samples: Ints, channels: int) -> Array:
        """Latents of some samples of a shape: float16 [samples, channels, *shape]."""
        row, first = (values[samples] for values in self.samples_of(shape))
        frames, height, width = shape
        starts = self._row_starts("latents", channels)[row] + first * height * width
        channel_size = self.numbers("latent_frames")[row] * height * width
        if bool((channel_size == frames * height * width).all()):
            latents: Array = self._slices("latents", channels * frames * height * width)[starts]
        else:
            starts = starts[:, None] + np.arange(channels) * channel_size[:, None]
            latents = self._slices("latents", frames * height * width)[starts]
        return latents.reshape(-1, channels, *shape)

    def actions(self, shape: Shape, samples: Ints, names: Sequence[str]) -> Array:
        """Signals of some samples of a shape: float32 [samples, T, names], NaN for none."""
        row, first = (values[samples] for values in self.samples_of(shape))
        result = np.full((len(row), shape[0], len(names)), np.nan, np.float32)
        place = {name: index for index, name in enumerate(names)}
        for number in np.unique(row).tolist():
            values, own_names = self._row_actions(number)
            columns = [place[name] for name in own_names if name in place]
            chosen = [index for index, name in enumerate(own_names) if name in place]
            for sample in np.flatnonzero(row == number).tolist():
                part = values[first[sample] : first[sample] + shape[0]]
                result[sample, : len(part), columns] = part[:, chosen].T
        return result

    @_once
    def _row_actions(self, row: int) -> tuple[Array, list[str]]:
        """The signals of one row, [latent frames, numbers], and the names of the numbers."""
        has_column = ACTIONS in self.rows.column_names
        stored = self.rows[ACTIONS][row].as_py() if has_column else None
        frames = int(self.numbers("latent_frames")[row])
        if stored is None:
            return np.empty((frames, 0), np.float32), []
        names = parse_names(self.rows[ACTION_NAMES][row].as_py() or "[]")
        if len(stored) != 4 * frames * len(names):
            raise BadShardError(
                f"{self.name}: row {row} has {len(stored)} bytes of actions, where {frames} latent"
                f" frames of {len(names)} numbers have {4 * frames * len(names)}"
            )
        return np.frombuffer(stored, "<f4").reshape(frames, len(names)), names

    def window_columns(self, shape: Shape, samples: Ints, rate: Compression) -> dict[str, Array]:
        """Where windows start in their rows, and the context to decode them alone.

        `context_latents` is the number of latents before a window that its decoding may depend on,
        as far as rows state it: all those of its row, and the row's own context.
        """
        row, first = (values[samples] for values in self.samples_of(shape))
        causal = self.numbers("causal_first")[row]
        return {
            "first_latent": first,
            "first_frame": first * rate.time - (causal & (first > 0)) * (rate.time - 1),
            "is_causal_first": causal & (first == 0),
            "context_latents": first + self.numbers("context_latents")[row],
        }

    @_once
    def numbers(self, name: str) -> Array:
        """A column of numbers [rows]; null is NaN."""
        values: Array = self.rows[name].to_numpy().astype(NUMBERS[name], copy=False)
        return values

    def text(self, name: str, row: Ints) -> Any:
        """A column of text at some rows, as an Arrow array."""
        return self.rows[name].take(pa.array(row)).cast(pa.large_string()).combine_chunks()

    @_once
    def _slices(self, name: str, length: int) -> Array:
        """Every slice of that length of a binary column's buffer: [starts, length], a view."""
        buffer, _ = self._buffer(name)
        shape = (max(len(buffer) - length + 1, 0), length)
        strides = (buffer.itemsize, buffer.itemsize)
        return np.lib.stride_tricks.as_strided(buffer, shape, strides, writeable=False)

    @_once
    def _row_starts(self, name: str, channels: int) -> Ints:
        """Start of each row in a binary column's buffer.

        Raises `BadShardError` for a row of the wrong size, a code beyond the codebook, and a latent
        that is NaN or infinite.
        """
        numbers, offsets = self._buffer(name)
        area = self.numbers("latent_height") * self.numbers("latent_width")
        expected = self.numbers("latent_frames") * area * channels
        sizes = np.diff(offsets)
        wrong = np.flatnonzero(sizes != expected)
        if wrong.size:
            raise BadShardError(
                f"{self.name}: row {wrong[0]} has {sizes[wrong[0]]:g} numbers of {name}, but its"
                f" shape has {expected[wrong[0]]}"
            )
        self._check_values(name, numbers, offsets)
        return offsets[:-1].astype(np.int64)

    def _check_values(self, name: str, numbers: Array, offsets: Array) -> None:
        """One pass over the bits: those of a half float that is not finite exceed all others."""
        used = numbers[int(offsets[0]) : int(offsets[-1])]
        limit, bits = self._codebook_size, used
        if name == "latents":
            limit, bits = _NOT_FINITE, used.view("<u2") & 0x7FFF
        if limit is None or not used.size or int(bits.max()) < limit:
            return
        place = int((bits >= limit).argmax())
        row = int(np.searchsorted(offsets - offsets[0], place, "right")) - 1
        problem = "latents that are NaN or infinite"
        if name == "codes":
            problem = f"code {bits[place]}, beyond the codebook's {limit} entries"
        raise BadShardError(f"{self.name}: row {row} has {problem}")

    @_once
    def _buffer(self, name: str) -> tuple[Array, Array]:
        """A binary column as one array of numbers, and its row offsets [rows + 1]."""
        column = self.rows[name]
        if column.null_count:
            raise BadShardError(f"{self.name}: {column.null_count} rows have no {name}")
        binary = column.cast(pa.large_binary())
        array = binary.chunk(0) if binary.num_chunks == 1 else binary.combine_chunks()
        offsets = np.frombuffer(array.buffers()[1], np.int64)[array.offset :][: len(array) + 1]
        dtype = np.dtype({"codes": "<u2", "latents": "<f2"}[name])
        data = array.buffers()[2] or b""
        numbers = np.frombuffer(data, dtype, len(data) // dtype.itemsize)
        return numbers, offsets / dtype.itemsize


def parse_names(text: str) -> list[str]:
    """The names of a row's signals; `BadShardError` for other text."""
    with contextlib.suppress(ValueError):
        names = json.loads(text)
        if isinstance(names, list) and all(isinstance(name, str) for name in names):
            return names
    raise BadShardError(f"the names of actions are no JSON list: {text[:80]!r}")


class RowGroupCache:
    """The row groups of one table by file and number."""

    def __init__(  # noqa: PLR0917
        self, reader: ShardReader, index: SampleIndex, window: SequenceWindow,
        columns: Sequence[str], limit_bytes: int, codebook_size: int | None = None,
    ) -> None:  # fmt: skip
        self._reader = reader
        self._index = index
        self._window = window
        self._columns = tuple(dict.fromkeys([*SHAPE_COLUMNS, *columns]))
        self._limit_bytes = limit_bytes
        self._codebook_size = codebook_size
        self._groups: OrderedDict[tuple[int, int], Future[RowGroup]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, file: int, group: int, pool: Executor) -> Future[RowGroup]:
        """The row group, cached or being read by one of the pool's threads."""
        key = (file, group)
        with self._lock:
            cached = self._groups.get(key)
            if cached is not None and not _has_failed(cached):
                self._groups.move_to_end(key)
            else:
                self._groups[key] = pool.submit(self._read_and_evict, key)
            return self._groups[key]

    def _read_and_evict(self, key: tuple[int, int]) -> RowGroup:
        group = self.read(*key)
        with self._lock:
            self._bytes += group.rows.nbytes
            while self._bytes > self._limit_bytes and self._evict_oldest(key):
                pass
        return group

    def _evict_oldest(self, newest: tuple[int, int]) -> bool:
        """Evicts the least recently used row group; False if there is none to evict."""
        for key, future in self._groups.items():
            if key == newest:
                return False
            if future.done():
                del self._groups[key]
                self._bytes -= 0 if _has_failed(future) else future.result().rows.nbytes
                return True
        return False

    def read(self, file: int, group: int) -> RowGroup:
        """Reads the row group in this thread."""
        name, size = self._index.paths[file].as_py(), int(self._index.sizes[file])
        rows = self._reader.read(name, size, group, self._columns)
        samples = self._window.samples(row_shapes(rows))
        if self._index.row_mask is not None:
            metadata = self._reader.footer(name, size)
            first = sum(metadata.row_group(g).num_rows for g in range(group))
            mask = self._index.row_mask.rows(file, first, first + len(rows))
            samples = samples[mask[samples.row]]
        return RowGroup(f"{name}, row group {group}", rows, samples, self._codebook_size)


def _has_failed(future: Future[RowGroup]) -> bool:
    return future.cancelled() or (future.done() and future.exception() is not None)
