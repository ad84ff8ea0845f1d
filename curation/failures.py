"""What failed: inputs that were not scanned, and kept clips that a step could not finish."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from curation import lineage
from curation.dataset import Dataset
from curation.records import Clip, Source
from curation.steps import STEPS, StepInfo, clip_steps

SCHEMA = pa.schema(
    {
        "step": pa.string(),
        "uri": pa.string(),
        "clip_id": pa.string(),
        "start_s": pa.float64(),
        "end_s": pa.float64(),
        "reason": pa.string(),
        "detail": pa.string(),
    }
)
"""`clip_id` and the span are null where a source failed."""


def failures(dataset: Dataset, selection_id: str | None) -> pa.Table:
    """Every failure, in the order of the steps: rows of `SCHEMA`.

    Of clips those that the selection keeps, in the tables that are current for it.
    """
    tables = {"sources": STEPS["scan"]}
    for step in clip_steps():
        if table := lineage.current_outcomes(dataset.catalog, step.kind, selection_id):
            tables[table] = step
    return failures_in(dataset, tables, selection_id)


def failures_in(
    dataset: Dataset, tables: Mapping[str, StepInfo], selection_id: str | None
) -> pa.Table:
    """The failures in these tables of outcomes: rows of `SCHEMA`."""
    parts = [_failed_rows(dataset, table, step, selection_id) for table, step in tables.items()]
    return pa.concat_tables([SCHEMA.empty_table(), *parts])


def _failed_rows(
    dataset: Dataset, table: str, step: StepInfo, selection_id: str | None
) -> pa.Table:
    is_failed = pc.field("outcome") == "failed"
    names = ["clip_id"] if step.is_of_clips else ["uri"]
    columns = [*names, "reason", "detail"]
    rows = dataset.catalog.read(table, step.load_record(), columns, is_failed)
    if step.is_of_clips and len(rows):
        if selection_id is not None:
            kept = dataset.kept_clip_ids(selection_id)
            rows = rows.filter(pc.is_in(rows["clip_id"], kept))
        rows = _with_spans(dataset, rows)
        rows = rows.sort_by([("uri", "ascending"), ("start_s", "ascending")])
    elif not step.is_of_clips:
        rows = rows.sort_by("uri")
    values = {
        field.name: rows[field.name]
        if field.name in rows.column_names
        else pa.nulls(len(rows), field.type)
        for field in SCHEMA
    }
    return pa.table(values | {"step": pa.repeat(step.name, len(rows))}, SCHEMA)


def _with_spans(dataset: Dataset, rows: pa.Table) -> pa.Table:
    """Rows of clips with their source's address and their span."""
    wanted = pc.field("clip_id").isin(rows["clip_id"].combine_chunks())
    columns = ["clip_id", "source_id", "start_s", "end_s"]
    clips = dataset.catalog.read("clips", Clip, columns, wanted)
    scanned = (pc.field("outcome") == "scanned") & pc.field("source_id").isin(
        pc.unique(clips["source_id"])
    )
    sources = dataset.catalog.read("sources", Source, ["source_id", "uri"], scanned)
    for name in ("start_s", "end_s", "source_id"):
        index = pc.index_in(rows["clip_id"], clips["clip_id"].combine_chunks())
        rows = rows.append_column(name, clips[name].take(index))
    sources = sources.sort_by("uri")
    index = pc.index_in(rows["source_id"], sources["source_id"].combine_chunks())
    return rows.append_column("uri", sources["uri"].take(index))
