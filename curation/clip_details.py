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
from curation.clip_table import visible_sources
from curation.id_match import IdMatcher, one_chunk
from curation.records import Render

LICENCE_COLUMNS = ("licence", "license")
"""Columns of an input list that state a licence, in any case."""


def with_details(
    catalog: Catalog,
    clips: pa.Table,
    selection_id: str | None,
    where: pc.Expression | None = None,
) -> pa.Table:
    """The clips with what is known about each.

    `where` is the condition on `clip_id` and `source_id` by which the clips were read, if any.
    """
    clips = clips.append_column("path", _paths(catalog, clips, selection_id, where))
    clips = clips.append_column("caption", _captions(catalog, clips, where))
    sources = visible_sources(catalog, ["extra"], clips["source_id"])
    index = pc.index_in(clips["source_id"], one_chunk(sources["source_id"]))
    stated = [licence(dict(pairs or ())) for pairs in sources["extra"].to_pylist()]
    licences = pa.array(stated, pa.string()).take(one_chunk(index))
    clips = clips.append_column("licence", licences)
    extra = sources["extra"].take(index)
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


def _paths(
    catalog: Catalog, clips: pa.Table, selection_id: str | None, where: pc.Expression | None
) -> pa.Array:
    table = lineage.current_renders(catalog, selection_id)
    if table is None:
        return pa.nulls(len(clips), pa.string())
    rendered = pc.field("outcome") == "rendered"
    wanted = rendered if where is None else rendered & where
    rows = catalog.read(table, Render, ["clip_id", "path"], wanted)
    paths = one_chunk(rows["path"]).take(IdMatcher(clips["clip_id"]).rows(rows["clip_id"]))
    return pc.binary_join_element_wise(catalog.storage.root, paths, "/")


def _captions(catalog: Catalog, clips: pa.Table, where: pc.Expression | None) -> pa.Array:
    tables = caption_tables.list_tables(catalog)
    if not tables:
        return pa.nulls(len(clips), pa.string())
    rows = caption_tables.read_captions(catalog, tables[0], where)
    return one_chunk(rows["text"]).take(IdMatcher(clips["clip_id"]).rows(rows["clip_id"]))
