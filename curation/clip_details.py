"""What people and scripts want to know of a clip beside its scores: file, caption, licence, list.

Columns that are appended: `path` (address of the rendered file), `caption` (the newest), `licence`
and each further column of the input list, as `extra_…` where its name is taken.
"""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from curation import caption_tables, lineage
from curation.catalog import Catalog
from curation.records import Render, Source

LICENCE_COLUMNS = ("licence", "license")
"""Columns of an input list that state a licence, in any case."""


def with_details(catalog: Catalog, clips: pa.Table, selection_id: str | None) -> pa.Table:
    """The clips with what is known about each."""
    clips = clips.append_column("path", _paths(catalog, clips, selection_id))
    clips = clips.append_column("caption", _captions(catalog, clips))
    scanned = pc.field("outcome") == "scanned"
    sources = catalog.read("sources", Source, ["source_id", "uri", "extra"], scanned)
    sources = sources.sort_by("uri")
    index = pc.index_in(clips["source_id"], sources["source_id"].combine_chunks())
    extra = sources["extra"].take(index)
    stated = [licence(dict(pairs or ())) for pairs in extra.to_pylist()]
    clips = clips.append_column("licence", pa.array(stated, pa.string()))
    return append_list_columns(clips, extra, lambda name: name in clips.column_names)


def licence(extra: dict[str, str]) -> str | None:
    """The licence that the input list states for a source."""
    return next((v for name, v in extra.items() if name.lower() in LICENCE_COLUMNS), None)


def append_list_columns(
    table: pa.Table, extra: pa.ChunkedArray, is_taken: Callable[[str], bool]
) -> pa.Table:
    """A column for each further column of the input list, given each row's as a map."""
    if extra.null_count == len(extra):
        return table
    dicts = [dict(pairs or ()) for pairs in extra.to_pylist()]
    for key in sorted({key for values in dicts for key in values}):
        if key.lower() in LICENCE_COLUMNS and "licence" in table.column_names:
            continue
        column = pa.array([values.get(key) for values in dicts], pa.string())
        table = table.append_column(f"extra_{key}" if is_taken(key) else key, column)
    return table


def _paths(catalog: Catalog, clips: pa.Table, selection_id: str | None) -> pa.Array:
    table = lineage.current_renders(catalog, selection_id)
    if table is None:
        return pa.nulls(len(clips), pa.string())
    rows = catalog.read(table, Render, ["clip_id", "path"], pc.field("outcome") == "rendered")
    paths = rows["path"].take(pc.index_in(clips["clip_id"], rows["clip_id"].combine_chunks()))
    return pc.binary_join_element_wise(catalog.storage.root, paths, "/")


def _captions(catalog: Catalog, clips: pa.Table) -> pa.Array:
    tables = caption_tables.list_tables(catalog)
    if not tables:
        return pa.nulls(len(clips), pa.string())
    rows = caption_tables.read_captions(catalog, tables[0])
    return rows["text"].take(pc.index_in(clips["clip_id"], rows["clip_id"].combine_chunks()))
