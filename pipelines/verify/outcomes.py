"""One outcome for each thing, good or failed for a known reason, and as many as runs told of."""

from __future__ import annotations

import json

from curation import records
from curation.dataset import Dataset
from curation.pending_inputs import pending
from curation.reasons import INPUT_REASONS
from curation.records import CaptionedClip, Render, Run, Source
from pipelines.run.step_runner import AWAY
from pipelines.verify.invariant import Promise
from tokenizer.tokenize.stage import TokenizedClip

_NO_ROWS = (AWAY, "filled", "not_filled")
"""Counts of what has no outcome yet, and of sources that had theirs before."""


def inputs(dataset: Dataset, promise: Promise) -> None:
    """Every listed input has exactly one outcome."""
    sources = records.records(Source, dataset.sources())
    promise.once([(s.uri, s.size_bytes, s.modified) for s in sources], "the outcome of")
    for source in sources:
        reasoned(source, "scanned", source.uri, promise)
    recorded(dataset, "sources", len(sources), promise)
    waiting = pending(dataset.catalog).num_rows
    words = (
        f"{waiting:,} of {waiting + len(sources):,} were never watched: `reelmill pending` lists"
        " them and says what goes on"
    )
    promise.expect(not waiting, words)
    promise.once([row.run_id for row in records.records(Run, dataset.runs())], "run")


def reasoned(
    row: Source | Render | CaptionedClip | TokenizedClip, good: str, what: str, promise: Promise
) -> None:
    """Expects the good outcome, or a failure for a reason of the list."""
    failed = row.outcome == "failed" and row.reason in INPUT_REASONS
    fine = failed or (row.outcome == good and row.reason is None)
    promise.expect(fine, f"{what}: {row.outcome} for {row.reason}, which is no known reason")


def recorded(dataset: Dataset, table: str, rows: int, promise: Promise) -> None:
    """Expects at least the rows that runs told of; one killed before it told adds more.

    Failures that got another chance are no longer there.
    """
    told = 0
    for run in records.records(Run, dataset.runs()):
        if run.result == table:
            counts = json.loads(run.counts)
            rows_told = sum(n for what, n in counts.items() if what not in _NO_ROWS)
            told += -rows_told if run.step == "retry" else rows_told
    promise.expect(rows >= told, f"{table}: runs committed {told} rows, {rows} are there")
