"""Metadata of clips for filters and hits: a row a clip, with span, scores, source and caption."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation import records, scores
from curation.clip_details import append_list_columns
from curation.clip_table import SOURCE_COLUMNS, with_sizes
from curation.embed import things
from curation.label import columns as label_columns
from curation.records import Clip
from curation.search.manifest import ClipSegment, File
from curation.search.store import IndexStore
from curation.web_files import without_query

INDEX_COLUMNS = ("row", "duration_s", "short_side", "caption", "things")
"""Columns beside those of clips, scores and sources."""
VERDICT_COLUMNS = ("verdict", "reason", "duplicate_of")
"""Columns that a selection adds."""
_TAG_COLUMNS = [
    column.name
    for score in scores.SCORES.values()
    for column in scores.columns(score)
    if "words" in column.metadata
]


@dataclass(frozen=True)
class SideTables:
    """Rows about clips beside those of `clips`, and maybe rows about other clips."""

    scores: Sequence[pa.Table]
    captions: Mapping[str, pa.Table]
    """By table; the first that has a caption of a clip counts."""
    labels: Mapping[str, pa.Table]
    """Rows of `ClipLabel` by table; the first that has a label of a clip counts."""
    things: Sequence[pa.Table]
    """Rows of `Embedding` of the embedder `Things`; the first that has a clip's counts."""


def join_metadata(
    clips: pa.Table, first_row: int, sources: pa.Table, side_tables: SideTables
) -> pa.Table:
    """Metadata of clips, in their order."""
    table = clips.select(records.arrow_schema(Clip).names)
    for rows in side_tables.scores:
        index = pc.index_in(table["clip_id"], rows["clip_id"])
        for name in rows.column_names:
            if name not in ("clip_id", "source_id"):
                values = rows[name]
                if pa.types.is_floating(values.type):  # null, so that no comparison holds
                    values = pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
                table = table.append_column(name, values.take(index))
    index = pc.index_in(table["source_id"], sources["source_id"])
    for name in SOURCE_COLUMNS:
        table = table.append_column(name, sources[name].take(index))
    table = with_sizes(table)
    caption = pa.nulls(len(table), pa.string())
    for rows in side_tables.captions.values():
        text = rows["text"].take(pc.index_in(table["clip_id"], rows["clip_id"]))
        caption = pc.coalesce(caption, text)
    table = table.append_column("caption", caption)
    table = table.append_column("things", _things_shown(table["clip_id"], side_tables.things))
    table = label_columns.join_labels(table, side_tables.labels)
    names = {*table.column_names, *INDEX_COLUMNS, *VERDICT_COLUMNS}
    table = append_list_columns(
        table,
        sources["extra"].take(index),
        lambda name: name in names or label_columns.is_label_column(name),
    )
    numbers = np.arange(first_row, first_row + len(table))
    return table.append_column("row", pa.array(numbers, pa.int64())).combine_chunks()


def clip_texts(
    table: pa.Table, captions: Mapping[str, pa.Table], sources: pa.Table
) -> dict[int, str]:
    """By row all words about a clip: captions, file name, list columns, tags and things."""
    pairs = zip(sources["source_id"].to_pylist(), sources["extra"].to_pylist(), strict=True)
    extra = {source: " ".join(v for _, v in columns) for source, columns in pairs if columns}
    names = [name for name in _TAG_COLUMNS if name in table.column_names]
    texts: dict[int, list[str]] = {}
    for clip in table.select(["row", "source_id", "uri", "things", *names]).to_pylist():
        tags = [clip[name] for name in names]
        words = [
            posixpath.basename(without_query(clip["uri"])),
            extra.get(clip["source_id"]),
            *tags,
        ]
        texts[clip["row"]] = [word for word in (*words, *(clip["things"] or ())) if word]
    row_numbers = table["row"].to_numpy().tolist()
    for _, rows in sorted(captions.items()):
        index = pc.index_in(rows["clip_id"], table["clip_id"]).to_pylist()
        for position, text in zip(index, rows["text"].to_pylist(), strict=True):
            if position is not None:
                texts[row_numbers[position]].append(text)
    return {row: "\n".join(parts) for row, parts in texts.items()}


def _things_shown(clip_ids: pa.ChunkedArray, embeddings: Sequence[pa.Table]) -> pa.Array:
    """For each clip the names of what it shows and what these stand for; null if unknown."""
    words: dict[str, list[str]] = {}
    for rows in embeddings:
        for batch in rows.select(["clip_id", "vector"]).to_batches():
            for clip_id, vector in zip(*(column.to_pylist() for column in batch), strict=True):
                words.setdefault(clip_id, things.words_shown(vector))
    shown = [words.get(clip_id) for clip_id in clip_ids.to_pylist()]
    return pa.array(shown, pa.list_(pa.string()))


def write_table(store: IndexStore, table: pa.Table) -> File:
    """Writes a table as one record batch that can be mapped."""

    def write_to(path: str) -> None:
        with pa.OSFile(path, "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            for batch in table.combine_chunks().to_batches():
                writer.write_batch(batch)

    return store.write(".arrow", write_to)


def write_segment(store: IndexStore, table: pa.Table) -> ClipSegment:
    """Writes the metadata of some clips."""
    return ClipSegment(table["row"][0].as_py(), len(table), write_table(store, table))


def read_mapped(path: str) -> pa.Table:
    """A written table, mapped."""
    return pa.ipc.open_file(pa.memory_map(path)).read_all()
