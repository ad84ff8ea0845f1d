"""Finds the rows of ids in other tables, all at once.

Ids are compared by a 64-bit hash, in sorted arrays: a third of the time of a hash table of texts.
Every match is then checked by the ids themselves, and where hashes are not unique the hash table
decides, so the result is exact. Cost: about 0.2 µs an id.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_SEED = np.uint64(0x9E3779B97F4A7C15)
_WORD = 8
"""Bytes of a text that are hashed at once."""
_SLICE = 1 << 16
"""Texts that are hashed at once."""
_DIGEST = 32
"""Length of a clip's id. Where all texts are as long, the first half tells them apart."""
Bools = npt.NDArray[np.bool_]
Hashes = npt.NDArray[np.uint64]


def mix64(words: Any) -> Any:
    """A bijective hash of 64-bit words."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def id_hashes(ids: Any) -> Hashes:
    """A 64-bit hash of each text of an Arrow array without nulls.

    Memory is that of the hashes and of one slice, however long a text is.
    """
    if isinstance(ids, pa.ChunkedArray):
        ids = ids.combine_chunks()
    text = ids.cast(pa.large_string())
    hashes = np.empty(len(text), np.uint64)
    if not len(text):
        return hashes
    offsets = np.frombuffer(text.buffers()[1], np.int64)[text.offset :][: len(text) + 1]
    data = np.frombuffer(text.buffers()[2] or b"", np.uint8)
    for start in range(0, len(text), _SLICE):
        part = offsets[start : start + _SLICE + 1]
        hashes[start : start + _SLICE] = _text_hashes(data[part[0] : part[-1]], part - part[0])
    return hashes


def _text_hashes(data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]) -> Hashes:
    """Hashes of the texts between these offsets of some bytes, word by word of each."""
    padded = np.concatenate([data, np.zeros(_WORD, np.uint8)])
    words: Any = np.ndarray((len(data) + 1,), "<u8", padded, strides=(1,))  # one at each byte
    lengths = np.diff(offsets)
    hashes: Hashes = mix64(lengths.astype(np.uint64) + _SEED)
    rows = np.arange(len(lengths))
    is_digest = bool((lengths == _DIGEST).all())
    for first in range(0, _DIGEST // 2 if is_digest else int(lengths.max()), _WORD):
        left = lengths[rows] - first
        if left.min() <= 0:
            rows, left = rows[left > 0], left[left > 0]
        unused = (8 * (_WORD - np.minimum(left, _WORD))).astype(np.uint64)
        hashes[rows] = mix64(hashes[rows] ^ (words[offsets[rows] + first] << unused >> unused))
    return hashes


class IdMatcher:
    """Finds some distinct ids in other arrays of ids, and these among them."""

    def __init__(self, ids: pa.ChunkedArray | pa.Array) -> None:
        self.ids = one_chunk(ids)

    @cached_property
    def _sorted(self) -> tuple[npt.NDArray[np.int64], Hashes]:
        hashes = id_hashes(self.ids)
        order = np.argsort(hashes)
        return order, hashes[order]

    def rows(self, others: pa.ChunkedArray | pa.Array) -> pa.Array:
        """For each id its first row in an array without nulls, int64; null where that lacks it."""
        others = one_chunk(others)
        if others.equals(self.ids):
            return pa.array(np.arange(len(others)))
        if not len(others) or not len(self.ids):
            return pa.nulls(len(self.ids), pa.int64())
        hashes = id_hashes(others)
        order = np.argsort(hashes)
        hashes = hashes[order]
        own_order, own_hashes = self._sorted
        place = np.minimum(np.searchsorted(hashes, own_hashes), len(hashes) - 1)
        rows, is_missing = np.empty((2, len(place)), np.int64)
        rows[own_order] = order[place]
        is_missing[own_order] = hashes[place] != own_hashes
        found = pa.array(rows, mask=is_missing.astype(bool))
        is_same = pc.all(pc.equal(others.take(found), self.ids)).as_py() is not False
        if is_same and not (hashes[1:] == hashes[:-1]).any():
            return found
        return pc.index_in(self.ids, others).cast(pa.int64())

    def index(self, others: pa.ChunkedArray | pa.Array) -> pa.Array:
        """For each of some texts its row among the ids, int64; null where it is none of them."""
        others = one_chunk(others)
        if not len(others) or not len(self.ids):
            return pa.nulls(len(others), pa.int64())
        order, own_hashes = self._sorted
        hashes = id_hashes(pc.fill_null(others, ""))
        place = np.minimum(np.searchsorted(own_hashes, hashes), len(own_hashes) - 1)
        found = pa.array(order[place], mask=own_hashes[place] != hashes)
        is_same = pc.fill_null(pc.equal(self.ids.take(found), others), others.is_null())
        is_exact = pc.all(pc.or_(is_same, pc.is_null(found))).as_py()
        if is_exact and not (own_hashes[1:] == own_hashes[:-1]).any():
            return pc.if_else(pc.is_valid(others), found, None)
        return pc.index_in(others, self.ids).cast(pa.int64())


def one_chunk(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """A column as one array."""
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def to_bools(mask: pa.ChunkedArray | pa.Array) -> Bools:
    """A mask as an array; null is False."""
    return np.asarray(pc.fill_null(mask, False).to_numpy(zero_copy_only=False), bool)
