"""Columns that are filled in any order, a few places at a time."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tokenizer.feed.permutation import Ints

_LARGE = 1 << 20
"""Bytes from which an array is worth using again."""


_MOST = 16
"""Arrays to keep."""


class Spare:
    """Large arrays that nobody uses at the moment."""

    def __init__(self) -> None:
        self._arrays: list[npt.NDArray[Any]] = []
        self._lock = threading.Lock()

    def take(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        """An array of that shape with anything in it."""
        needed = math.prod(shape) * dtype.itemsize
        with self._lock:
            fitting = (at for at, a in enumerate(self._arrays) if needed <= a.nbytes <= 2 * needed)
            at = next(fitting, None)
            array = np.empty(needed, np.uint8) if at is None else self._arrays.pop(at)
        return array[:needed].view(dtype).reshape(shape)

    def give(self, arrays: Iterable[npt.NDArray[Any]]) -> None:
        """Takes arrays back that `take` gave."""
        large = [a.reshape(-1).view(np.uint8) for a in arrays if a.nbytes >= _LARGE]
        with self._lock:
            self._arrays = [*self._arrays, *large][-_MOST:]


class Slots:
    """Columns for a number of samples."""

    def __init__(self, size: int, spare: Spare) -> None:
        self._size = size
        self._spare = spare
        self._arrays: dict[str, npt.NDArray[Any]] = {}
        self._texts: dict[str, list[tuple[Any, Ints]]] = {}

    def declare(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """Makes a column of arrays of that shape."""
        self._arrays[name] = self._spare.take((self._size, *shape), dtype)

    def declare_text(self, name: str) -> None:
        """Makes a column of text."""
        self._texts[name] = [(pa.array([], pa.large_string()), np.empty(0, np.int64))]

    def put(self, name: str, slots: Ints, values: Any) -> None:
        """Fills places with a numpy array [places, …] or an Arrow array of text."""
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
        """Every column whole: a numpy array, or an Arrow array whose unfilled places are null."""
        return {**self._arrays, **{name: self.text(name) for name in self._texts}}

    def text(self, name: str) -> Any:
        """One column of text."""
        slots = np.concatenate([slots for _, slots in self._texts[name]])
        index = np.full(self._size, -1)
        index[slots] = np.arange(len(slots))
        texts = pa.chunked_array([text for text, _ in self._texts[name]])
        return texts.take(pa.array(index, mask=index < 0)).combine_chunks()
