"""Labels of clips as columns to filter by: those that hold, and the score of each.

`labels` lists what holds, as `hour/night`; a column of each label's own name, `"hour/night"` in
double quotes, has its score. Both are null for clips that were not labelled. Where several tables
have a label, the one that was filled last counts.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from curation.dataset import Dataset

HELD = "labels"
"""The column of labels that hold."""
_AESTHETIC = "aesthetic"
"""The one label without a group."""


def tables(dataset: Dataset) -> list[str]:
    """Tables of labels, the one that was filled last first."""
    catalog = dataset.catalog
    filled = {}
    for name in catalog.names("labels"):
        table = catalog.open(name)
        if table is not None:
            filled[name] = int(table.history(1)[0]["timestamp"])
    return sorted(filled, key=lambda name: (-filled[name], name))


def is_label(column: str) -> bool:
    """Whether a column of this name is, or might become, one of labels."""
    return "/" in column or column in (HELD, _AESTHETIC)


def joined(table: pa.Table, labels: Mapping[str, pa.Table]) -> pa.Table:
    """Facts with columns of these rows of `ClipLabel`, by table, the newest first."""
    rows = [each.select(["clip_id", "label", "score", "holds"]) for each in labels.values()]
    rows = [each for each in rows if len(each)]
    if not rows:
        return table
    said = pa.concat_tables(rows)
    if len(rows) > 1:
        first = said.group_by(["clip_id", "label"], use_threads=False)
        said = first.aggregate([("score", "first"), ("holds", "first")])
        said = said.rename_columns(["clip_id", "label", "score", "holds"])
    table = table.append_column(HELD, _held(table["clip_id"], said))
    for name in sorted(pc.unique(said["label"]).to_pylist()):
        own = said.filter(pc.field("label") == name)
        scores = own["score"].take(pc.index_in(table["clip_id"], own["clip_id"]))
        table = table.append_column(name, scores)
    return table


def _held(ids: pa.ChunkedArray, said: pa.Table) -> pa.ChunkedArray:
    """For each clip the labels that hold, in order; null where nothing is said of it."""
    held = said.filter(pc.field("holds")).sort_by("label")
    lists = held.group_by("clip_id", use_threads=False).aggregate([("label", "list")])
    found = lists["label_list"].take(pc.index_in(ids, lists["clip_id"]))
    none = pa.scalar([], found.type)
    is_known = pc.is_in(ids, pc.unique(said["clip_id"]))
    return pc.if_else(is_known, pc.coalesce(found, none), pa.scalar(None, found.type))
