"""Reading captions: one row per clip of a table, or the answers to questions.

A captioner may describe a clip in several windows, one row each; joined, their texts are one text
of a line each, in order. Captions of a clip without its commit marker in `captioned/…` are not
read; a table without such a companion is complete. Captions by a model that looked at renders
are current only while these renders are (`curation.lineage`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation import lineage
from curation.catalog import Catalog
from curation.id_match import Bools, IdMatcher, to_bools
from curation.records import Caption, CaptionedClip
from curation.run_history import latest_selection


def list_tables(catalog: Catalog) -> list[str]:
    """Tables of captions, the one that was last asked for first, those of unknown age by name.

    Those made from other renders than the current ones come after all others.
    """
    selection_id = latest_selection(catalog)
    current = lineage.tables_of_renders(catalog, "captions", selection_id)
    tables = lineage.newest_first(catalog, "captions", selection_id)
    return current + [name for name in tables if name not in current]


def read_captions(catalog: Catalog, table: str, where: pc.Expression | None = None) -> pa.Table:
    """One row per clip, sorted by id: `clip_id`, `source_id`, `text`, number of `windows`.

    `table` is a full name, such as `captions/facts-1a2b3c4d`; no rows if it does not exist.
    `where`, a condition on `clip_id` and `source_id`, reads only some clips.
    """
    rows = _committed_rows(catalog, table, where).group_by("clip_id", use_threads=False)
    grouped = rows.aggregate([("source_id", "first"), ("text", "list"), ("window", "count")])
    columns = {
        "clip_id": grouped["clip_id"],
        "source_id": grouped["source_id_first"],
        "text": pc.binary_join(grouped["text_list"], "\n"),
        "windows": grouped["window_count"],
    }
    return pa.table(columns).sort_by("clip_id")


def read_answers(
    catalog: Catalog, table: str, thresholds: Mapping[str, float] | None = None
) -> pa.Table:
    """The model's confidence in each question's yes, one row per clip: `clip_id` and float64, 0–1.

    Of several windows the highest. With `thresholds`, each question that has one is a boolean
    instead: whether the confidence reaches it.
    """
    rows = _committed_rows(catalog, table, pc.is_valid(pc.field("model")))
    by_clip: dict[str, dict[str, float]] = {}
    for clip, text in zip(rows["clip_id"].to_pylist(), rows["answers"].to_pylist(), strict=True):
        best = by_clip.setdefault(clip, {})
        for question, confidence in json.loads(text or "{}").items():
            best[question] = max(confidence, best.get(question, 0.0))
    clips = sorted(by_clip)
    columns = {"clip_id": pa.array(clips, pa.string())}
    for question in sorted({name for best in by_clip.values() for name in best}):
        columns[question] = pa.array([by_clip[clip].get(question) for clip in clips], pa.float64())
        if thresholds and question in thresholds:
            columns[question] = pc.greater_equal(columns[question], thresholds[question])
    return pa.table(columns)


def captioned_clip_ids(catalog: Catalog, table: str) -> pa.ChunkedArray | None:
    """Clips whose captions are committed; None if the table has no commit markers."""
    companion = lineage.marker_table(table)
    if catalog.open(companion) is None:
        return None
    where = pc.field("outcome") == "captioned"
    return catalog.read(companion, CaptionedClip, ["clip_id"], where)["clip_id"]


def is_committed(catalog: Catalog, table: str, clip_ids: pa.ChunkedArray) -> Bools:
    """For each clip whether its captions are committed."""
    committed = captioned_clip_ids(catalog, table)
    if committed is None:
        return np.ones(len(clip_ids), bool)
    return to_bools(pc.is_valid(IdMatcher(clip_ids).rows(committed)))


def _committed_rows(catalog: Catalog, table: str, where: pc.Expression | None = None) -> pa.Table:
    """The table's committed rows, by clip and window."""
    columns = ["clip_id", "source_id", "window", "text", "answers"]
    rows = catalog.read(table, Caption, columns, where)
    if rows.num_rows:
        rows = rows.filter(pa.array(is_committed(catalog, table, rows["clip_id"])))
    return rows.sort_by([("clip_id", "ascending"), ("window", "ascending")])
