"""Select: which clips are kept, decided from stored scores and neighbours in seconds."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from curation import records
from curation.catalog import Writer
from curation.dataset import Dataset
from curation.dedup.greedy import Representative, greedy_duplicates
from curation.dedup.rules import DuplicateRule, NotEmbeddedError, load_graph
from curation.dedup.tasks import RunTasks
from curation.records import Neighbour, Verdict
from curation.select.filter import (
    FilterResult,
    Values,
    apply_policy,
    filter_values,
    label_violations,
)
from curation.select.policy import Policy

__all__ = [
    "APP",
    "NotEmbeddedError",
    "Selection",
    "best_first",
    "duplicate_rules",
    "funnel",
    "select",
]

APP = "select"
_QUALITY = ("short_side", "sharpness", "duration_s")
"""What makes one of two duplicates the better one: more of the first, then of the next, then of the
bit rate; then the smaller id."""


@dataclass(frozen=True)
class Selection:
    """A finished selection and the one before it."""

    selection_id: str
    funnel: Counter[str]
    """Clips by verdict or, where filtered, by reason."""
    previous_funnel: Counter[str] | None
    """The same of the newest selection until now."""
    is_new: bool
    """Whether it is another one than the newest until now."""


def duplicate_rules(policy: Policy) -> list[DuplicateRule]:
    """The ways for clips to be duplicates that a policy looks for."""
    rules = []
    if policy.near_duplicates is not None:
        rules.append(DuplicateRule.near_duplicate(policy.near_duplicates))
    if policy.semantic.embedding is not None:
        rules.append(DuplicateRule.semantic(policy.semantic.embedding, policy.semantic.similarity))
    return rules


def select(dataset: Dataset, policy: Policy, run: RunTasks | None = None) -> Selection:
    """Applies a policy to every clip and stores the verdicts; the same again writes nothing.

    Duplicates are searched for in this process, or as tasks that `run` works off. Raises
    `NotEmbeddedError`, `StaleWriterError` where another run commits meanwhile, and
    `ConditionError` for a condition of the policy that cannot be read.
    """
    dataset = dataset.snapshot()
    clips = dataset.scored_clips()
    values = filter_values(clips)
    previous = dataset.latest_selection()
    previous_funnel = funnel(dataset.selection(previous)) if previous else None
    selection_id = _selection_id(dataset, policy, clips, values)
    rows = dataset.selection(selection_id)
    if clips.num_rows and not rows.num_rows:
        rows = _commit(dataset, clips, values, policy, selection_id, run)
    return Selection(selection_id, funnel(rows), previous_funnel, selection_id != previous)


def _commit(  # noqa: PLR0917
    dataset: Dataset,
    clips: pa.Table,
    values: Values,
    policy: Policy,
    selection_id: str,
    run: RunTasks | None,
) -> pa.Table:
    tables = {rule.pairs_table: Neighbour for rule in duplicate_rules(policy)}
    with dataset.catalog.writer(APP, {**tables, "selection": Verdict}) as writer:
        result = apply_policy(dataset, policy, clips, values)
        duplicates = _duplicates(dataset, writer, clips, values, policy, result, run)
        verdicts = _verdicts(clips, result.reasons, duplicates, selection_id)
        rows = records.to_table(Verdict, verdicts)
        writer.append("selection", rows)
    return rows


def funnel(verdicts: pa.Table) -> Counter[str]:
    """Clips by verdict or, where filtered, by reason."""
    pairs = zip(verdicts["verdict"].to_pylist(), verdicts["reason"].to_pylist(), strict=True)
    return Counter(reason if verdict == "filtered" else verdict for verdict, reason in pairs)


def _selection_id(dataset: Dataset, policy: Policy, clips: pa.Table, values: Values) -> str:
    """Names a selection by all that decides it, so that a score that came later makes a new one."""
    ids = clips["clip_id"].to_pylist()
    state = hashlib.sha256(f"{policy.digest}{''.join(ids)}".encode())
    for name in sorted({*policy.limited_columns, *_QUALITY}):
        state.update(values[name].tobytes())
    for name in sorted(policy.tag_columns):
        state.update(repr(clips[name].to_pylist()).encode())
    violations = label_violations(dataset, policy, ids)
    if any(violations):
        state.update(repr([violation and violation.value for violation in violations]).encode())
    return state.hexdigest()[:16]


def _verdicts(
    clips: pa.Table,
    reasons: Sequence[str | None],
    duplicates: Mapping[int, Representative],
    selection_id: str,
) -> list[Verdict]:
    """One verdict a clip, in the order of the clips."""
    verdicts = []
    ids = clips["clip_id"].to_pylist()
    columns = zip(ids, clips["source_id"].to_pylist(), reasons, strict=True)
    for row, (clip, source, reason) in enumerate(columns):
        key = (selection_id, clip, source)
        if reason is not None:
            verdicts.append(Verdict(*key, "filtered", reason))
        elif row in duplicates:
            kept = duplicates[row]
            verdicts.append(Verdict(*key, "duplicate", kept.reason, ids[kept.row], kept.similarity))
        else:
            verdicts.append(Verdict(*key, "kept"))
    return verdicts


def _duplicates(  # noqa: PLR0917
    dataset: Dataset,
    writer: Writer,
    clips: pa.Table,
    values: Values,
    policy: Policy,
    result: FilterResult,
    run: RunTasks | None,
) -> dict[int, Representative]:
    """The duplicates among the clips that pass the filter, by row; an included clip is none."""
    passing = best_first(dataset, clips, values, result)
    rules = duplicate_rules(policy)
    if not rules or not passing:
        return {}
    ids = clips["clip_id"].take(sorted(passing)).to_pylist()
    graphs = [load_graph(rule, dataset.catalog, writer, clips, ids, run) for rule in rules]
    duplicates = greedy_duplicates(passing, graphs)
    return {row: kept for row, kept in duplicates.items() if not result.included[row]}


def best_first(
    dataset: Dataset, clips: pa.Table, values: Values, result: FilterResult
) -> list[int]:
    """Rows of the clips that pass the filter, the better one of any two first."""
    passing = np.array([i for i, reason in enumerate(result.reasons) if reason is None], np.int64)
    sources = dataset.sources().select(["source_id", "size_bytes", "duration_s"]).drop_null()
    seconds = np.maximum(sources["duration_s"].to_numpy(), 1e-9)
    bit_rates = sources["size_bytes"].to_numpy() / seconds * 8
    by_source = dict(zip(sources["source_id"].to_pylist(), bit_rates, strict=True))
    bit_rate = np.array([by_source.get(s, np.nan) for s in clips["source_id"].to_pylist()])
    ranks = [-result.included[passing].astype(float)]
    ranks += [-np.nan_to_num(values[name][passing]) for name in _QUALITY]
    ranks.append(-np.nan_to_num(bit_rate[passing]))
    return [int(row) for row in passing[np.lexsort(ranks[::-1])]]
