"""One row group in memory, and its samples as arrays.

A binary column is one run of numbers with offsets. A sample is a stretch of it (codes, whole rows)
or one stretch for each channel (windows of latents), so that samples of one shape are rows of a
strided view of the run, whatever rows they are cut from: Arrow's own buffer, from which they are
copied once, many at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tokenizer.feed.columns import NUMBERS
from tokenizer.feed.indexer import BadShardError
from tokenizer.feed.permutation import Ints
from tokenizer.feed.sequence_window import Samples, Shape, packed
from tokenizer.models.interface import Rate

Array = npt.NDArray[Any]


class Group:
    """A row group that was read. What is worked out of its columns is worked out once."""

    def __init__(self, where: str, rows: pa.Table, samples: Samples) -> None:
        """`where` names file and row group; `samples` are those of the rows that take part."""
        self.where = where
        self.rows = rows
        self._samples = samples
        self._made: dict[Any, Any] = {}

    def of(self, shape: Shape) -> tuple[Ints, Ints]:
        """Row and first latent of each sample of a shape."""

        def made() -> tuple[Ints, Ints]:
            chosen = self._samples.shape == packed(shape)
            return self._samples.row[chosen], self._samples.first_latent[chosen]

        found: tuple[Ints, Ints] = self._once(shape, made)
        return found

    def codes(self, shape: Shape, sample: Ints) -> Array:
        """Codes of some samples of a shape: uint16 [samples, *shape]."""
        row, first = (numbers[sample] for numbers in self.of(shape))
        frames, height, width = shape
        starts = self._starts("codes", 1)[row] + first * height * width
        found: Array = self._stretches("codes", frames * height * width)[starts]
        return found.reshape(-1, *shape)

    def latents(self, shape: Shape, sample: Ints, channels: int) -> Array:
        """Latents of some samples of a shape: float16 [samples, channels, *shape]."""
        row, first = (numbers[sample] for numbers in self.of(shape))
        frames, height, width = shape
        starts = self._starts("latents", channels)[row] + first * height * width
        channel = self.numbers("latent_frames")[row] * height * width
        if bool((channel == frames * height * width).all()):
            found: Array = self._stretches("latents", channels * frames * height * width)[starts]
        else:
            starts = starts[:, None] + np.arange(channels) * channel[:, None]
            found = self._stretches("latents", frames * height * width)[starts]
        return found.reshape(-1, channels, *shape)

    def windows(self, shape: Shape, sample: Ints, rate: Rate) -> dict[str, Array]:
        """Where windows start in their rows, and what decoding them alone would take.

        `context_latents` is how many latents before a window its decoding may depend on, as far as
        rows say: all those of its row, and what the row itself depends on.
        """
        row, first = (numbers[sample] for numbers in self.of(shape))
        causal = self.numbers("causal_first")[row]
        return {
            "first_latent": first,
            "first_frame": first * rate.time - (causal & (first > 0)) * (rate.time - 1),
            "is_causal_first": causal & (first == 0),
            "context_latents": first + self.numbers("context_latents")[row],
        }

    def numbers(self, name: str) -> Array:
        """A column of numbers [rows]; null is NaN."""
        found: Array = self._once(
            name, lambda: self.rows[name].to_numpy().astype(NUMBERS[name], copy=False)
        )
        return found

    def text(self, name: str, row: Ints) -> Any:
        """A column of text at some rows, as an Arrow array."""
        return self.rows[name].take(pa.array(row)).cast(pa.large_string()).combine_chunks()

    def _once(self, name: Any, make: Callable[[], Any]) -> Any:
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]

    def _stretches(self, name: str, length: int) -> Array:
        """Every stretch of that length of a binary column's run: [starts, length], a view."""

        def made() -> Array:
            run, _ = self._run(name)
            shape = (max(len(run) - length + 1, 0), length)
            strides = (run.itemsize, run.itemsize)
            return np.lib.stride_tricks.as_strided(run, shape, strides, writeable=False)

        found: Array = self._once((name, length), made)
        return found

    def _starts(self, name: str, channels: int) -> Ints:
        """Where each row starts in a binary column's run; `BadShardError` for one of wrong size."""

        def made() -> Ints:
            _, ends = self._run(name)
            area = self.numbers("latent_height") * self.numbers("latent_width")
            wanted = self.numbers("latent_frames") * area * channels
            wrong = np.flatnonzero(np.diff(ends) != wanted)
            if wrong.size:
                raise BadShardError(
                    f"{self.where}: row {wrong[0]} has {np.diff(ends)[wrong[0]]:g} numbers of"
                    f" {name}, where its shape asks for {wanted[wrong[0]]}"
                )
            return ends[:-1].astype(np.int64)

        found: Ints = self._once((name, "starts"), made)
        return found

    def _run(self, name: str) -> tuple[Array, Array]:
        """A binary column as one run of numbers, and where each row ends in it, after a 0."""

        def made() -> tuple[Array, Array]:
            column = self.rows[name]
            if column.null_count:
                raise BadShardError(f"{self.where}: {column.null_count} rows have no {name}")
            whole = column.cast(pa.large_binary())
            array = whole.chunk(0) if whole.num_chunks == 1 else whole.combine_chunks()
            offsets = np.frombuffer(array.buffers()[1], np.int64)[array.offset :][: len(array) + 1]
            dtype = np.dtype({"codes": "<u2", "latents": "<f2"}[name])
            data = array.buffers()[2] or b""
            run = np.frombuffer(data, dtype, len(data) // dtype.itemsize)
            return run, offsets / dtype.itemsize

        found: tuple[Array, Array] = self._once((name, "run"), made)
        return found
