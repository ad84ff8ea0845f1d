"""Facts of clips, found by clip id: which take part, their captions, embeddings and scores.

Ids are looked up by a 64-bit hash in a sorted array: 12 bytes a clip, some 0.3 µs a look-up in
vectors. Two ids of one hash, which chance makes unlikely below a billion clips, are refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curation.caption_tables import one_each
from curation.catalog import arrow_dataset
from curation.dataset import Dataset
from curation.records import Embedding
from tokenizer.feed.permutation import Ints, mix
from tokenizer.tokenize.stage import TokenizedClip

Missing = Literal["error", "drop", "null"]
"""What becomes of clips that lack a caption, an embedding or a row of facts."""
_SEED = np.uint64(0x9E3779B97F4A7C15)


class ClipIndex:
    """Finds clips by their id."""

    def __init__(self, ids: Any, name: str) -> None:
        """`ids` is Arrow text without repetitions; `name` says of what, for messages."""
        hashes = id_hashes(ids)
        self._places = np.argsort(hashes, kind="stable").astype(np.uint32)
        self._hashes = hashes[self._places]
        twice = np.flatnonzero(self._hashes[1:] == self._hashes[:-1])
        if twice.size:
            raise ValueError(f"{name} has two rows for clip {ids[int(self._places[twice[0]])]}")

    def find(self, ids: Any) -> Ints:
        """The place of each id among those of this index; −1 where it is not one of them."""
        hashes = id_hashes(ids)
        if not len(self._hashes):
            return np.full(len(hashes), -1)
        at = np.minimum(np.searchsorted(self._hashes, hashes), len(self._hashes) - 1)
        return np.where(self._hashes[at] == hashes, self._places[at].astype(np.int64), -1)


def id_hashes(ids: Any) -> npt.NDArray[np.uint64]:
    """A 64-bit hash of each text of an Arrow array without nulls."""
    if isinstance(ids, pa.ChunkedArray):
        ids = ids.combine_chunks()
    if not len(ids):
        return np.empty(0, np.uint64)
    text = ids.cast(pa.large_string())
    offsets = np.frombuffer(text.buffers()[1], np.int64)[text.offset :][: len(text) + 1]
    lengths = np.diff(offsets)
    width = max(1, -(-int(lengths.max(initial=0)) // 8))
    letters = np.zeros((len(text), width * 8), np.uint8)
    if text.buffers()[2] is not None:
        data = np.frombuffer(text.buffers()[2], np.uint8)[offsets[0] : offsets[-1]]
        letters[np.arange(width * 8) < lengths[:, None]] = data
    hashes = mix(lengths.astype(np.uint64) + _SEED)
    for at, word in enumerate(letters.view("<u8").T):
        hashes = np.where(8 * at < lengths, mix(hashes ^ word), hashes)
    return hashes


@dataclass(frozen=True)
class Side:
    """Columns that hold a value for each clip."""

    name: str
    """Where they come from, for messages."""
    index: ClipIndex
    """Finds a clip's place in the columns."""
    columns: Mapping[str, Any]
    """Arrow arrays of text, or numpy arrays [clips] or [clips, dim]."""

    def take(self, places: Ints) -> dict[str, Any]:
        """The columns at these places; None or NaN where a place is −1."""
        absent = places < 0
        taken: dict[str, Any] = {}
        for name, column in self.columns.items():
            if isinstance(column, np.ndarray):
                taken[name] = column[places]
                if absent.any():
                    taken[name] = np.where(
                        absent.reshape(-1, *[1] * (column.ndim - 1)), np.nan, taken[name]
                    )
            else:
                taken[name] = column.take(pa.array(places, mask=absent))
        return taken


def captions_of(dataset: Dataset, table: str) -> Side:
    """The captions of one table, as `caption`; several windows of a clip are a line each."""
    rows = _some(one_each(dataset.catalog, table), dataset, table)
    return Side(table, ClipIndex(rows["clip_id"], table), {"caption": _text(rows["text"])})


def embeddings_of(dataset: Dataset, table: str) -> Side:
    """The vectors of one table, as `embedding`: float32 [clips, dim]."""
    rows = _rows(dataset, table, Embedding)
    dims = pc.unique(rows["dim"]).to_pylist()
    if len(dims) != 1:
        raise ValueError(f"{table} holds vectors of several lengths: {sorted(dims)}")
    packed = b"".join(rows["vector"].to_pylist())
    vectors = np.frombuffer(packed, "<f2").reshape(len(rows), dims[0]).astype(np.float32)
    return Side(table, ClipIndex(rows["clip_id"], table), {"embedding": vectors})


def facts_of(clips: pa.Table, columns: Sequence[str]) -> Side:
    """Some columns of the clips with their scores and source facts."""
    unknown = [name for name in columns if name not in clips.column_names]
    if unknown:
        there = ", ".join(sorted(clips.column_names))
        raise ValueError(f"clips have no column {', '.join(unknown)}; there are {there}")
    index = ClipIndex(clips["clip_id"], "the table of clips")
    return Side("the table of clips", index, {name: _values(clips[name]) for name in columns})


def _rows(dataset: Dataset, table: str, record: type) -> pa.Table:
    return _some(dataset.catalog.read(table, record), dataset, table)


def _some(rows: pa.Table, dataset: Dataset, table: str) -> pa.Table:
    if not rows.num_rows:
        there = ", ".join(dataset.catalog.names(table.split("/", maxsplit=1)[0])) or "none"
        raise ValueError(f"there is nothing in {table}; there are {there}")
    return rows


def _values(column: pa.ChunkedArray) -> Any:
    kind = column.type
    if pa.types.is_string(kind):
        return _text(column)
    if column.null_count and (pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
        column = column.cast(pa.float64())
    return column.to_numpy()


def _text(column: pa.ChunkedArray) -> pa.Array:
    return column.cast(pa.large_string()).combine_chunks()


def announced(dataset: Dataset, table: str) -> Any:
    """Ids of the clips whose windows a finished commit announced; None if all windows are.

    All are where nothing announces, and where as many are announced as the table has rows: then no
    id is read.
    """
    name = "tokenized/" + table.removeprefix("tokens/")
    done = dataset.catalog.open(name)
    if done is None:
        return None
    tokenized = pc.field("outcome") == "tokenized"
    rows = arrow_dataset(done, dataset.catalog.storage, name)
    windows = (pc.sum(b["windows"]).as_py() for b in rows.to_batches(["windows"], filter=tokenized))
    if sum(n or 0 for n in windows) == dataset.catalog.rows(table):
        return None
    return dataset.catalog.read(name, TokenizedClip, ["clip_id", "outcome"], tokenized)["clip_id"]
