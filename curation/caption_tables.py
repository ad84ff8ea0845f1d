"""Reading captions: which tables there are, and one row a clip of one of them.

A captioner may describe a clip in several windows, a row each; who wants one text a clip gets the
windows' texts in order, a line each. Captions of a clip that `captioned/…` does not announce do not
count; a table without such a companion stands for itself. What a model says of renders counts only
while these are the newest (`curation.lineage`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from curation import lineage
from curation.catalog import Catalog
from curation.errors import ReelmillError
from curation.lineage import LineageError
from curation.records import Caption, CaptionedClip
from curation.run_history import latest_selection


class NoCaptionsError(ReelmillError, ValueError):
    """There is no such table of captions; the message says which there are."""


def list_tables(catalog: Catalog) -> list[str]:
    """Tables of captions, the one that was filled last first, those of unknown age by name.

    Those made from other renders than the newest come after all others.
    """
    selection_id = latest_selection(catalog)
    good = lineage.tables_of_renders(catalog, "captions", selection_id)
    there = lineage.newest_first(catalog, "captions", selection_id)
    return good + [name for name in there if name not in good]


def find_caption_table(catalog: Catalog, name: str) -> str:
    """The full name of a table, with or without its `captions/`; raises `NoCaptionsError`."""
    try:
        return lineage.resolve_table(catalog, "captions", name)
    except LineageError as error:
        raise NoCaptionsError(f"{error}: `reelmill caption` makes them") from error


def read_captions(catalog: Catalog, name: str | None = None) -> pa.Table:
    """One row a clip, sorted by id: `clip_id`, `source_id`, `text` and how many `windows`.

    Of the table that was filled last unless one is named; raises `NoCaptionsError`.
    """
    return read_clip_captions(catalog, resolve_table(catalog, name))


def read_clip_captions(catalog: Catalog, table: str) -> pa.Table:
    """The same of a table by its full name; no rows if it is not there."""
    rows = _rows(catalog, table)
    grouped = rows.group_by("clip_id", use_threads=False).aggregate(
        [("source_id", "first"), ("text", "list"), ("window", "count")]
    )
    texts = ["\n".join(each) for each in grouped["text_list"].to_pylist()]
    columns = {
        "clip_id": grouped["clip_id"],
        "source_id": grouped["source_id_first"],
        "text": pa.array(texts, pa.string()),
        "windows": grouped["window_count"],
    }
    return pa.table(columns).sort_by("clip_id")


def read_answers(
    catalog: Catalog, name: str | None = None, thresholds: Mapping[str, float] | None = None
) -> pa.Table:
    """How sure the model is of each question's yes, one row a clip: `clip_id` and float64 columns.

    Of several windows the surest yes. With `thresholds`, each question that has one is a truth
    value instead: whether the certainty reaches it. Raises `NoCaptionsError`.
    """
    rows = _rows(catalog, resolve_table(catalog, name)).filter(pc.is_valid(pc.field("model")))
    found: dict[str, dict[str, float]] = {}
    for clip, text in zip(rows["clip_id"].to_pylist(), rows["answers"].to_pylist(), strict=True):
        best = found.setdefault(clip, {})
        for question, value in json.loads(text or "{}").items():
            best[question] = max(value, best.get(question, 0.0))
    clips = sorted(found)
    made = {"clip_id": pa.array(clips, pa.string())}
    for question in sorted({q for each in found.values() for q in each}):
        made[question] = pa.array([found[clip].get(question) for clip in clips], pa.float64())
        if thresholds and question in thresholds:
            made[question] = pc.greater_equal(made[question], thresholds[question])
    return pa.table(made)


def captioned_clip_ids(catalog: Catalog, table: str) -> set[str] | None:
    """Clips whose captions count; None if every row of the table stands for itself."""
    companion = lineage.marker_table(table)
    if catalog.open(companion) is None:
        return None
    where = pc.field("outcome") == "captioned"
    return set(catalog.read(companion, CaptionedClip, ["clip_id"], where)["clip_id"].to_pylist())


def resolve_table(catalog: Catalog, name: str | None = None) -> str:
    """The full name of a table: the one that is named, or the one that counts if None is.

    Raises `NoCaptionsError`.
    """
    if name is not None:
        return find_caption_table(catalog, name)
    try:
        return lineage.resolve_table(catalog, "captions", None, latest_selection(catalog))
    except LineageError as error:
        raise NoCaptionsError(str(error)) from error


def _rows(catalog: Catalog, table: str) -> pa.Table:
    """The rows that count, by clip and window."""
    rows = catalog.read(table, Caption)
    known = captioned_clip_ids(catalog, table)
    if known is not None:
        rows = rows.filter(pc.is_in(rows["clip_id"], pa.array(sorted(known), pa.string())))
    return rows.sort_by([("clip_id", "ascending"), ("window", "ascending")])
