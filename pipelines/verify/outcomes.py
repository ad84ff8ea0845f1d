"""One outcome for each input or clip, a success or a known reason, and as many as runs recorded."""

from __future__ import annotations

import json

from curation import records
from curation.dataset import Dataset
from curation.pending_inputs import pending_inputs
from curation.reasons import INPUT_REASONS
from curation.records import ClipOutcome, Run, Source
from pipelines.run.step_runner import UNAVAILABLE
from pipelines.verify.invariant import CheckResult

_COUNTS_WITHOUT_ROW = (UNAVAILABLE, "out_of_reach", "filled", "not_filled")
"""Inputs without an outcome yet, by the name of now and of runs before it, and sources that had
theirs."""


def check_inputs(dataset: Dataset, result: CheckResult) -> None:
    """Every listed input has exactly one outcome."""
    sources = records.from_table(Source, dataset.sources())
    result.expect_unique([(s.uri, s.size_bytes, s.modified) for s in sources], "the outcome of")
    for source in sources:
        expect_outcome(source, "scanned", source.uri, result)
    expect_committed_rows(dataset, "sources", len(sources), result)
    num_pending = pending_inputs(dataset.catalog).num_rows
    result.expect(
        not num_pending,
        f"{num_pending:,} of {num_pending + len(sources):,} were never scanned:"
        " `reelmill pending` lists them and the command that scans them",
    )
    result.expect_unique([run.run_id for run in records.from_table(Run, dataset.runs())], "run")


def expect_outcome(
    row: Source | ClipOutcome,
    success: str,
    subject: str,
    result: CheckResult,
) -> None:
    """Expects a success, or a failure for a known reason."""
    failed = row.outcome == "failed" and row.reason in INPUT_REASONS
    valid = failed or (row.outcome == success and row.reason is None)
    result.expect(valid, f"{subject}: {row.outcome} for {row.reason}, which is no known reason")


def expect_committed_rows(dataset: Dataset, table: str, num_rows: int, result: CheckResult) -> None:
    """Expects at least the rows that runs recorded; a run killed before its record adds more.

    Rows that a retry removed are subtracted.
    """
    committed = 0
    for run in records.from_table(Run, dataset.runs()):
        if run.result == table:
            counts = json.loads(run.counts)
            rows = sum(n for outcome, n in counts.items() if outcome not in _COUNTS_WITHOUT_ROW)
            committed += -rows if run.step == "retry" else rows
    message = f"{table}: runs committed {committed} rows, the table has {num_rows}"
    result.expect(num_rows >= committed, message)
