"""One outcome for each input or clip, a success or a known reason, and as many as runs recorded."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.compute as pc

from curation import records
from curation.dataset import Dataset
from curation.id_match import to_bools
from curation.pending_inputs import pending_inputs
from curation.reasons import INPUT_REASONS
from curation.records import Run, Source
from pipelines.run.step_runner import UNAVAILABLE
from pipelines.verify.invariant import CheckResult

_COUNTS_WITHOUT_ROW = (UNAVAILABLE, "out_of_reach", "filled", "not_filled")
"""Inputs without an outcome yet, by the name of now and of runs before it, and sources that had
theirs."""


def check_inputs(dataset: Dataset, result: CheckResult) -> None:
    """Every listed input has exactly one outcome."""
    columns = ["uri", "size_bytes", "modified", "outcome", "reason"]
    sources = dataset.catalog.read("sources", Source, columns)
    result.expect_unique("the outcome of", *(sources[name] for name in columns[:3]))
    expect_outcomes(sources, "scanned", "", "uri", result)
    expect_committed_rows(dataset, "sources", len(sources), result)
    num_pending = pending_inputs(dataset.catalog).num_rows
    result.expect(
        not num_pending,
        f"{num_pending:,} of {num_pending + len(sources):,} were never scanned:"
        " `reelmill pending` lists them and the command that scans them",
    )
    result.expect_unique("run", dataset.runs()["run_id"])


def expect_outcomes(
    rows: pa.Table, success: str, subject: str, name: str, result: CheckResult
) -> None:
    """Expects each outcome to be a success, or a failure for a known reason.

    A message begins with `subject` and the column `name`.
    """
    known = pa.array([*INPUT_REASONS], pa.string())
    failed = pc.and_(pc.equal(rows["outcome"], "failed"), pc.is_in(rows["reason"], known))
    succeeded = pc.and_(pc.equal(rows["outcome"], success), pc.is_null(rows["reason"]))
    columns = {column: rows[column] for column in (name, "outcome", "reason")}
    result.expect_all(
        to_bools(pc.or_(failed, succeeded)),
        columns,
        lambda row: (
            f"{subject}{row[name]}: {row['outcome']} for {row['reason']}, which is no known reason"
        ),
    )


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
