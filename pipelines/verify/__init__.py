"""Checks the invariants of an output from storage alone: no source video, no configuration."""

from __future__ import annotations

from collections.abc import Callable

from curation.dataset import Dataset
from curation.errors import InfrastructureError
from pipelines.verify import clip_tables, files, outcomes, selections
from pipelines.verify.invariant import CheckResult, Invariant

__all__ = ["INVARIANTS", "CheckResult", "Invariant", "verify"]

INVARIANTS = (
    Invariant("Every listed input has exactly one outcome", outcomes.check_inputs),
    Invariant(
        "Every clip is accounted for: kept, filtered, duplicate or failed", selections.check_clips
    ),
    Invariant("Every file exists with its recorded size and digest", files.check_files),
    Invariant(
        "Every clip is named by its content, so a rerun gives the same", selections.check_clip_ids
    ),
    Invariant(
        "Every finished clip has all its token windows and captions, once",
        clip_tables.check_finished_clips,
    ),
    Invariant("Every source is complete or absent", clip_tables.check_side_tables),
)


def verify(dataset: Dataset, on_start: Callable[[str], None] = lambda _: None) -> list[CheckResult]:
    """Checks all invariants; `on_start` receives the statement of each before its check.

    A table that cannot be read violates the invariants that need it; `InfrastructureError` is
    raised only where the storage itself does not answer.
    """
    results = []
    for invariant in INVARIANTS:
        on_start(invariant.statement)
        result = CheckResult(invariant.statement)
        try:
            invariant.check(dataset, result)
        except InfrastructureError as error:
            dataset.catalog.storage.size("")
            result.expect(False, f"cannot be read: {error}")
        results.append(result)
    return results
