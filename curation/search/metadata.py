"""Facts of clips for filters and hits: a row a clip, with span, scores, source and caption."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation import records
from curation.dataset import with_sizes
from curation.label import columns
from curation.records import Clip
from curation.search.manifest import ClipSegment, File
from curation.search.store import Folder

OWN = ("row", "duration_s", "short_side", "caption")
"""Columns beside those of clips, scores and sources."""
JUDGED = ("verdict", "reason", "duplicate_of")
"""Columns that a selection adds."""
_SOURCE = ("uri", "width", "height", "fps")


@dataclass(frozen=True)
class Sides:
    """Rows that are known of clips beside those of `clips`, and maybe rows of other clips."""

    scores: Sequence[pa.Table]
    captions: Mapping[str, pa.Table]
    """By table; the first that has a caption of a clip counts."""
    labels: Mapping[str, pa.Table]
    """Rows of `ClipLabel` by table; the first that has a label of a clip counts."""


def joined(clips: pa.Table, first_row: int, sources: pa.Table, sides: Sides) -> pa.Table:
    """Facts of clips, in their order."""
    table = clips.select(records.schema(Clip).names)
    for rows in sides.scores:
        at = pc.index_in(table["clip_id"], rows["clip_id"])
        for name in rows.column_names:
            if name not in ("clip_id", "source_id"):
                table = table.append_column(name, _measured(rows[name]).take(at))
    at = pc.index_in(table["source_id"], sources["source_id"])
    for name in _SOURCE:
        table = table.append_column(name, sources[name].take(at))
    table = with_sizes(table)
    table = table.append_column("caption", caption(table["clip_id"], sides.captions))
    table = columns.joined(table, sides.labels)
    table = _with_extra(table, sources["extra"].take(at))
    rows_ = np.arange(first_row, first_row + len(table))
    return table.append_column("row", pa.array(rows_, pa.int64())).combine_chunks()


def caption(ids: Any, captions: Mapping[str, pa.Table]) -> Any:
    """One caption for each clip: of the first table that has one."""
    found = pa.nulls(len(ids), pa.string())
    for rows in captions.values():
        text = rows["text"].take(pc.index_in(ids, rows["clip_id"]))
        found = pc.coalesce(found, text)
    return found


def texts(table: pa.Table, captions: Mapping[str, pa.Table], sources: pa.Table) -> dict[int, str]:
    """By row all words that are known of a clip: captions, and what the input list said."""
    found: dict[int, list[str]] = {}
    numbers = table["row"].to_numpy()
    for _, rows in sorted(captions.items()):
        at = pc.index_in(rows["clip_id"], table["clip_id"])
        for place, text in zip(at.to_pylist(), rows["text"].to_pylist(), strict=True):
            if place is not None:
                found.setdefault(int(numbers[place]), []).append(text)
    said = _said(sources)
    if said:
        for row, source in zip(numbers.tolist(), table["source_id"].to_pylist(), strict=True):
            if source in said:
                found.setdefault(row, []).append(said[source])
    return {row: "\n".join(parts) for row, parts in found.items()}


def _said(sources: pa.Table) -> dict[str, str]:
    if sources["extra"].null_count == len(sources):
        return {}
    pairs = zip(sources["source_id"].to_pylist(), sources["extra"].to_pylist(), strict=True)
    return {name: " ".join(value for _, value in extra) for name, extra in pairs if extra}


def _measured(column: Any) -> Any:
    """Null where a score is not a number, so that no comparison holds."""
    if not pa.types.is_floating(column.type):
        return column
    return pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)


def _with_extra(table: pa.Table, extra: Any) -> pa.Table:
    """A column for each further column of the input list; `extra_…` where the name is taken."""
    if extra.null_count == len(extra):
        return table
    listed = [dict(each or ()) for each in extra.to_pylist()]
    for key in sorted({key for each in listed for key in each}):
        taken = key in table.column_names or key in (*OWN, *JUDGED) or columns.is_label(key)
        column = pa.array([each.get(key) for each in listed], pa.string())
        table = table.append_column(f"extra_{key}" if taken else key, column)
    return table


def write(folder: Folder, table: pa.Table) -> File:
    """Writes a table as one record batch that can be mapped."""

    def make(path: str) -> None:
        with pa.OSFile(path, "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            for batch in table.combine_chunks().to_batches():
                writer.write_batch(batch)

    return folder.write(".arrow", make)


def segment(folder: Folder, table: pa.Table) -> ClipSegment:
    """Writes the facts of some clips."""
    return ClipSegment(table["row"][0].as_py(), len(table), write(folder, table))


def mapped(path: str) -> pa.Table:
    """A written table, mapped."""
    return pa.ipc.open_file(pa.memory_map(path)).read_all()
