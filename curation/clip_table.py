"""Clips with their scores and the facts of their sources: one row a clip, column by column.

Of each table only the requested columns and the ids are read, and matched to the clips. The clips
of a source count once its row in `sources` is there. Memory is that of the result and of one table.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from curation import records, scores
from curation.catalog import Catalog
from curation.id_match import IdMatcher, one_chunk
from curation.records import Clip, Source
from curation.scores import SCORES

_FEW = 1000
"""Clips whose sources are looked up one by one."""
SOURCE_COLUMNS = ("uri", "width", "height", "fps")
_DERIVED = {"duration_s": {"start_s", "end_s"}, "short_side": {"width", "height"}}
"""Columns that are computed, and of what."""


def read_clip_table(
    catalog: Catalog,
    columns: Collection[str] | None = None,
    where: pc.Expression | None = None,
    *,
    as_dictionaries: bool = False,
) -> pa.Table:
    """`clip_id` and these columns or all: of clips, scores, sources; sorted by clip.

    `duration_s` and `short_side` in pixels are computed. `where`, a condition on `clip_id` and
    `source_id`, reads only some clips. `as_dictionaries` gives texts as dictionaries, which hold
    each text once.
    """
    wanted = None if columns is None else {"clip_id", "source_id", *columns}
    for name, needed in _DERIVED.items():
        if wanted is not None and name in wanted:
            wanted |= needed
    of_source = _taken(SOURCE_COLUMNS, wanted)
    table, sources, source = _visible_clips(catalog, wanted, of_source, where)
    matcher = IdMatcher(table["clip_id"])
    for score in SCORES.values():
        names = _taken([field.name for field in scores.columns(score)], wanted)
        if names:
            name = scores.table_name(score)
            rows = catalog.read(name, score.record, ["clip_id", *names], where)
            index = matcher.rows(rows["clip_id"])
            table = with_columns(table, rows, names, index, as_dictionaries=as_dictionaries)
    table = with_columns(table, sources, of_source, source, as_dictionaries=as_dictionaries)
    table = with_sizes(table)
    if columns is None:
        return table
    return table.select(_taken(table.column_names, {"clip_id", *columns}))


def visible_sources(
    catalog: Catalog, columns: Sequence[str] = (), of: pa.ChunkedArray | pa.Array | None = None
) -> pa.Table:
    """Scanned sources: `source_id` and columns; of copies of a file the first by address.

    With `of` only those with these ids; where they are few, files of the table are skipped.
    """
    where = pc.field("outcome") == "scanned"
    if of is not None and len(of) <= _FEW:
        where &= pc.field("source_id").isin(pc.unique(of))
    names = list(dict.fromkeys(["source_id", "uri", *columns]))
    rows = catalog.read("sources", Source, names, where)
    if pc.count_distinct(rows["source_id"]).as_py() == len(rows):
        return rows
    rows = rows.sort_by("uri")
    index = pc.index_in(pc.unique(rows["source_id"]), one_chunk(rows["source_id"]))
    return rows.take(index)


def scanned_ids(catalog: Catalog) -> pa.Array:
    """Ids of the scanned sources of an output, each once."""
    is_scanned = pc.field("outcome") == "scanned"
    return pc.unique(catalog.read("sources", Source, ["source_id"], is_scanned)["source_id"])


def with_columns(
    table: pa.Table,
    rows: pa.Table,
    names: Sequence[str],
    index: pa.Array,
    *,
    as_dictionaries: bool = False,
) -> pa.Table:
    """The table with these columns of other rows; `index` has the row for each of its own."""
    for name in names:
        column = one_chunk(rows[name])
        if as_dictionaries and pa.types.is_string(column.type):
            column = column.dictionary_encode()
        table = table.append_column(name, column.take(index))
    return table


def with_sizes(table: pa.Table) -> pa.Table:
    """Clips with `duration_s` and `short_side` in pixels, as far as what these need is there."""
    names = table.column_names
    if {"start_s", "end_s"} <= {*names}:
        durations = pc.subtract(table["end_s"], table["start_s"])
        table = table.append_column("duration_s", durations)
    if {"width", "height"} <= {*names}:
        sides = pc.min_element_wise(table["width"], table["height"], skip_nulls=False)
        table = table.append_column("short_side", sides)
    return table


def _visible_clips(
    catalog: Catalog,
    wanted: Collection[str] | None,
    source_columns: Sequence[str],
    where: pc.Expression | None,
) -> tuple[pa.Table, pa.Table, pa.Array]:
    """Clips of scanned sources, sorted by id; the sources; and the row of each clip's source."""
    names = _taken(records.arrow_schema(Clip).names, wanted)
    rows = catalog.read("clips", Clip, names, where)
    sources = visible_sources(catalog, source_columns, rows["source_id"])
    index = one_chunk(pc.index_in(rows["source_id"], one_chunk(sources["source_id"])))
    if index.null_count:
        is_visible = pc.is_valid(index)
        rows, index = rows.filter(is_visible), index.filter(is_visible)
    order = pc.sort_indices(rows["clip_id"])
    rows = rows.take(order)
    return pa.table(rows.columns, rows.column_names), sources, index.take(order)


def _taken(names: Sequence[str], wanted: Collection[str] | None) -> list[str]:
    """Those of the names that are wanted, in their order."""
    return [name for name in names if wanted is None or name in wanted]
