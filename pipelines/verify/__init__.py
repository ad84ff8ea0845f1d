"""Checks the promises of an output from storage alone: no source video, no configuration needed."""

from __future__ import annotations

from collections.abc import Callable

from curation.dataset import Dataset
from curation.errors import InfrastructureError
from pipelines.verify import clip_tables, files, outcomes, selections
from pipelines.verify.invariant import Promise

__all__ = ["Promise", "verify"]

_CHECKS: dict[str, Callable[[Dataset, Promise], None]] = {
    "Every listed input has exactly one outcome": outcomes.inputs,
    "Every clip is accounted for: kept, filtered, duplicate or failed": selections.accounted,
    "Every file exists with its recorded size and digest": files.intact,
    "Every clip is named by its content, so a rerun finds the same": selections.identities,
    "Every finished clip has all its token windows and captions, once": clip_tables.finished,
    "Every source is there wholly or not at all": clip_tables.whole,
}


def verify(dataset: Dataset, watch: Callable[[str], None] = lambda _: None) -> list[Promise]:
    """Checks all promises; `watch` is told which one is being looked at.

    A table that cannot be read breaks the promises that rest on it; `EnvironmentFaultError` is
    raised only where the storage itself does not answer.
    """
    promises = []
    for words, check in _CHECKS.items():
        watch(words)
        promise = Promise(words)
        try:
            check(dataset, promise)
        except InfrastructureError as error:
            dataset.catalog.storage.size("")
            promise.expect(False, f"cannot be read: {error}")
        promises.append(promise)
    return promises
