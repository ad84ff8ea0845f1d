"""Labels of clips as columns to filter by: the list of those that hold, and the score of each.

`labels` lists what holds, as `hour/night`; a column of each label's own name, `"hour/night"` in
double quotes, has its score. Both are null for clips that were not labelled. Where several tables
have a label, the one that was filled last counts.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from curation.dataset import Dataset

LABELS_COLUMN = "labels"
"""The column of labels that hold."""
AESTHETIC = "aesthetic"
"""The label of the aesthetic score, the only one without a group."""


def label_tables(dataset: Dataset) -> list[str]:
    """Tables of labels, the one that was filled last first."""
    catalog = dataset.catalog
    filled_ms = {
        name: int(table.history(1)[0]["timestamp"])
        for name in catalog.names("labels")
        if (table := catalog.open(name)) is not None
    }
    return sorted(filled_ms, key=lambda name: (-filled_ms[name], name))


def is_label_column(column: str) -> bool:
    """Whether a column of this name is, or might become, one of labels."""
    return "/" in column or column in (LABELS_COLUMN, AESTHETIC)


def join_labels(table: pa.Table, labels: Mapping[str, pa.Table]) -> pa.Table:
    """The table with columns of these rows of `ClipLabel`, by table, the newest first."""
    columns = ["clip_id", "label", "score", "holds"]
    parts = [rows.select(columns) for rows in labels.values() if len(rows)]
    if not parts:
        return table
    rows = pa.concat_tables(parts)
    if len(parts) > 1:
        newest = rows.group_by(["clip_id", "label"], use_threads=False)
        rows = newest.aggregate([("score", "first"), ("holds", "first")]).rename_columns(columns)
    table = table.append_column(LABELS_COLUMN, _holding(table["clip_id"], rows))
    for name in sorted(pc.unique(rows["label"]).to_pylist()):
        named = rows.filter(pc.field("label") == name)
        scores = named["score"].take(pc.index_in(table["clip_id"], named["clip_id"]))
        table = table.append_column(name, scores)
    return table


def _holding(clip_ids: pa.ChunkedArray, rows: pa.Table) -> pa.ChunkedArray:
    """For each clip the labels that hold, sorted; null where it has no rows."""
    holding = rows.filter(pc.field("holds")).sort_by("label")
    by_clip = holding.group_by("clip_id", use_threads=False).aggregate([("label", "list")])
    lists = by_clip["label_list"].take(pc.index_in(clip_ids, by_clip["clip_id"]))
    is_labelled = pc.is_in(clip_ids, pc.unique(rows["clip_id"]))
    empty, null = pa.scalar([], lists.type), pa.scalar(None, lists.type)
    return pc.if_else(is_labelled, pc.coalesce(lists, empty), null)
