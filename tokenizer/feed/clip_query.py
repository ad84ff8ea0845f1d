"""Which clips a feed reads, and their captions, embeddings and scores, found by clip id.

Ids are found by a 64-bit hash in a sorted array: 12 bytes a clip, some 0.3 µs a look-up in vectors.
Two ids with one hash, unlikely below a billion clips, are refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation import lineage
from curation.caption_tables import read_captions
from curation.catalog import Catalog
from curation.dataset import Dataset
from curation.id_match import id_hashes
from curation.records import Embedding, TokenizedClip
from curation.sql_filter import filter_clips
from tokenizer.feed.errors import FeedError
from tokenizer.feed.sequence_window import Ints

_CLIPS = "the table of clips"


class ClipIndex:
    """Finds clips by their id."""

    def __init__(self, ids: Any, name: str) -> None:
        """`ids` is Arrow text without duplicates; `name` is the table's, for messages."""
        hashes = id_hashes(ids)
        self._rows = np.argsort(hashes, kind="stable").astype(np.uint32)
        self._hashes = hashes[self._rows]
        duplicates = np.flatnonzero(self._hashes[1:] == self._hashes[:-1])
        if duplicates.size:
            raise FeedError(f"{name} has two rows for clip {ids[int(self._rows[duplicates[0]])]}")

    def find(self, ids: Any) -> Ints:
        """The row of each id; -1 for unknown ids."""
        hashes = id_hashes(ids)
        if not len(self._hashes):
            return np.full(len(hashes), -1)
        index = np.minimum(np.searchsorted(self._hashes, hashes), len(self._hashes) - 1)
        return np.where(self._hashes[index] == hashes, self._rows[index].astype(np.int64), -1)


@dataclass(frozen=True)
class SideTable:
    """Columns with one value for each clip."""

    name: str
    """Of the table, for messages."""
    index: ClipIndex
    """Finds a clip's row."""
    columns: Mapping[str, Any]
    """Arrow arrays of text, or numpy arrays [clips] or [clips, dim]."""

    def take(self, rows: Ints) -> dict[str, Any]:
        """The columns at these rows; null or NaN where a row is -1."""
        absent = rows < 0
        taken: dict[str, Any] = {}
        for name, column in self.columns.items():
            if not isinstance(column, np.ndarray):
                taken[name] = column.take(pa.array(rows, mask=absent))
                continue
            taken[name] = column[rows]
            if absent.any():
                mask = absent.reshape(-1, *[1] * (column.ndim - 1))
                taken[name] = np.where(mask, np.nan, taken[name])
        return taken


@dataclass(frozen=True)
class ClipQuery:
    """Which clips to read, and what to read of each beside its tokens."""

    selection: str | None = None
    """Only clips that this selection or subset keeps, by id, first digits or name; None and
    `latest` mean the newest selection, `all` every clip, as does None if there is no selection."""
    where: str | None = None
    """Only clips that match this SQL condition on clip columns and scores."""
    captions: str | None = None
    """The table of captions to read, such as `captions/facts-1a2b3c4d`."""
    embeddings: str | None = None
    """The table of embeddings to read, such as `embeddings/frame-dct`."""
    clip_columns: tuple[str, ...] = ()
    """Columns of clips, scores and sources to read."""
    missing: Literal["error", "drop", "null"] = "error"
    """Clips without one of these: an error, left out, or read with nulls."""

    def resolve(self, dataset: Dataset, table: str, selection_id: str | None) -> ResolvedClips:
        """Looks up the clips of one table of tokens; `selection_id` None takes all clips."""
        ids = [committed_clips(dataset, table)]
        if selection_id is not None:
            ids.append(dataset.kept_clip_ids(selection_id))
        side_tables = []
        if self.where is not None or self.clip_columns:
            clips = dataset.scored_clips(selection_id=selection_id)
            if self.where is not None:
                ids.append(filter_clips(clips, self.where)["clip_id"])
            if self.clip_columns:
                side_tables.append(load_clip_columns(clips, self.clip_columns))
        if self.captions is not None:
            side_tables.append(load_captions(dataset, self.captions))
        if self.embeddings is not None:
            side_tables.append(load_embeddings(dataset, self.embeddings))
        filters = [ClipIndex(pc.unique(i), "the clip query") for i in ids if i is not None]
        if self.missing == "drop":
            filters += [side.index for side in side_tables]
        return ResolvedClips(tuple(filters), tuple(side_tables))

    def check_renders(self, catalog: Catalog, table: str, clip_ids: pa.ChunkedArray | None) -> None:
        """Raises `LineageError` if tokens or captions are not of the current renders.

        Only `clip_ids`, if given, are compared.
        """
        lineage.check_fresh(catalog, table, clip_ids)
        if self.captions is not None and self.captions in catalog.names("captions"):
            lineage.check_fresh(catalog, self.captions, clip_ids)
            lineage.check_same_renders(catalog, [table, self.captions])

    def check_missing(self, missing: dict[str, int]) -> None:
        """Raises `FeedError` if clips lack something; `missing` counts rows by side table."""
        for name, rows in missing.items():
            if rows and self.missing == "error":
                raise FeedError(
                    f"{rows} rows belong to clips that {name} does not have: fill it, or choose"
                    " missing='drop' to leave them out or 'null' to read them without"
                )


@dataclass(frozen=True)
class ResolvedClips:
    """The result of a clip query."""

    filters: tuple[ClipIndex, ...]
    """A clip is read if it is in all of these."""
    side_tables: tuple[SideTable, ...]


def load_captions(dataset: Dataset, table: str) -> SideTable:
    """The captions of one table, as `caption`; several windows of a clip are a line each."""
    rows = _check_rows(read_captions(dataset.catalog, table), dataset, table)
    return SideTable(table, ClipIndex(rows["clip_id"], table), {"caption": _text(rows["text"])})


def load_embeddings(dataset: Dataset, table: str) -> SideTable:
    """The vectors of one table, as `embedding`: float32 [clips, dim]."""
    rows = _check_rows(dataset.catalog.read(table, Embedding), dataset, table)
    dims = pc.unique(rows["dim"]).to_pylist()
    if len(dims) != 1:
        raise FeedError(f"{table} has vectors of several lengths: {sorted(dims)}")
    packed = b"".join(rows["vector"].to_pylist())
    vectors = np.frombuffer(packed, "<f2").reshape(len(rows), dims[0]).astype(np.float32)
    return SideTable(table, ClipIndex(rows["clip_id"], table), {"embedding": vectors})


def load_clip_columns(clips: pa.Table, columns: Sequence[str]) -> SideTable:
    """Some columns of the clips with their scores and sources."""
    unknown = [name for name in columns if name not in clips.column_names]
    if unknown:
        names = ", ".join(sorted(clips.column_names))
        raise FeedError(f"clips have no column {', '.join(unknown)}; there are {names}")
    values: dict[str, Any] = {}
    for name in columns:
        column, kind = clips[name], clips[name].type
        if pa.types.is_string(kind):
            values[name] = _text(column)
            continue
        if column.null_count and (pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
            column = column.cast(pa.float64())
        values[name] = column.to_numpy()
    return SideTable(_CLIPS, ClipIndex(clips["clip_id"], _CLIPS), values)


def committed_clips(dataset: Dataset, table: str) -> Any:
    """Ids of the clips whose windows were committed as complete; None if all windows are.

    All are if there is no table of such clips, or if it counts as many windows as the table of
    tokens has rows, in which case no id is read.
    """
    name = lineage.marker_table(table)
    committed = dataset.catalog.open(name)
    if committed is None:
        return None
    tokenized = pc.field("outcome") == "tokenized"
    rows = dataset.catalog.read(name, TokenizedClip, ["windows"], tokenized)
    if (pc.sum(rows["windows"]).as_py() or 0) == dataset.catalog.rows(table):
        return None
    return dataset.catalog.read(name, TokenizedClip, ["clip_id"], tokenized)["clip_id"]


def _check_rows(rows: pa.Table, dataset: Dataset, table: str) -> pa.Table:
    if not rows.num_rows:
        names = ", ".join(dataset.catalog.names(table.split("/", maxsplit=1)[0])) or "none"
        raise FeedError(f"{table} is empty; there are {names}")
    return rows


def _text(column: pa.ChunkedArray) -> pa.Array:
    return column.cast(pa.large_string()).combine_chunks()
