"""Select: which clips are kept, decided from stored scores and neighbours in seconds."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curation import records
from curation.clip_table import visible_sources
from curation.dataset import Dataset, funnel
from curation.dedup.greedy import Representative, greedy_duplicates
from curation.dedup.rules import DuplicateRule, NotEmbeddedError, load_graph
from curation.dedup.tasks import RunTasks
from curation.id_match import IdMatcher, one_chunk
from curation.records import Neighbour, Verdict
from curation.select.filter import (
    FilterResult,
    Values,
    apply_policy,
    filter_values,
    needed_columns,
    unwanted_labels,
)
from curation.select.policy import Policy
from curation.select.reviews import with_reviews
from curation.select.sessions import SessionClips
from curation.table_writer import Writer

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
_DUPLICATE_COLUMNS = ("start_s", "end_s", "shot_start_frame")
"""What graphs of duplicates need of clips."""
_SLICE = 65536
"""Values that are digested at once."""


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
    """Applies a policy, and what was decided by hand, to every clip and stores the verdicts.

    The same again writes nothing.

    Duplicates are searched for in this process, or as tasks that `run` works off. Raises
    `NotEmbeddedError`, `StaleWriterError` where another run commits meanwhile, and
    `ConditionError` for a condition of the policy that cannot be read.
    """
    dataset = dataset.snapshot()
    policy = with_reviews(policy, dataset.catalog)
    columns = needed_columns(policy).union(_QUALITY, _DUPLICATE_COLUMNS)
    clips = dataset.scored_clips(columns=columns)
    values = filter_values(clips)
    previous = dataset.latest_selection()
    previous_funnel = dataset.outcomes(previous) if previous else None
    selection_id = _selection_id(dataset, policy, clips, values)
    counts = dataset.outcomes(selection_id)
    if clips.num_rows and not counts:
        counts = funnel(_commit(dataset, clips, values, policy, selection_id, run))
    return Selection(selection_id, counts, previous_funnel, selection_id != previous)


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
        rows = _verdicts(clips, result.reasons, duplicates, selection_id)
        writer.append("selection", rows)
    return rows


def _selection_id(dataset: Dataset, policy: Policy, clips: pa.Table, values: Values) -> str:
    """Names a selection by all that decides it, so that a score that came later makes a new one."""
    ids = one_chunk(clips["clip_id"])
    state = hashlib.sha256(policy.digest.encode())
    for texts in _slices(ids):
        joined = pc.binary_join(pa.ListArray.from_arrays([0, len(texts)], texts), "")
        state.update(joined[0].as_buffer())
    for name in sorted({*policy.limited_columns, *_QUALITY}):
        state.update(values[name].tobytes())
    for name in sorted(policy.tag_columns):
        _update_with_list(state, one_chunk(clips[name]))
    if policy.sessions != "clip":
        sessions = SessionClips.read(dataset.catalog, ids)
        for numbers in vars(sessions).values():
            state.update(numbers.tobytes())
    unwanted = unwanted_labels(dataset, policy, ids)
    if unwanted.null_count < len(unwanted):
        _update_with_list(state, unwanted)
    return state.hexdigest()[:16]


def _update_with_list(state: hashlib._Hash, column: pa.Array) -> None:
    """Adds a column as Python writes a list of its values."""
    for number, values in enumerate(_slices(column)):
        state.update(f"{', ' if number else '['}{repr(values.to_pylist())[1:-1]}".encode())
    state.update(b"]" if len(column) else b"[]")


def _slices(column: pa.Array) -> Iterator[pa.Array]:
    """A column, some of its values at a time."""
    return (column.slice(start, _SLICE) for start in range(0, len(column), _SLICE))


def _verdicts(
    clips: pa.Table, reasons: pa.Array, duplicates: Mapping[int, Representative], selection_id: str
) -> pa.Table:
    """One verdict a clip, in the order of the clips."""
    dropped = pa.array(duplicates.keys(), pa.int64())
    found = duplicates.values()
    ids = one_chunk(clips["clip_id"])
    index = pc.index_in(pa.array(np.arange(len(ids))), dropped)
    kept_ids = ids.take(pa.array([kept.row for kept in found], pa.int64()))
    why = pa.array([kept.reason for kept in found], pa.string())
    similarity = pa.array([kept.similarity for kept in found], pa.float64())
    verdict = pc.if_else(pc.is_valid(index), "duplicate", "kept")
    schema = records.arrow_schema(Verdict)
    columns = {
        "selection_id": pa.repeat(selection_id, len(ids)),
        "clip_id": ids,
        "source_id": clips["source_id"],
        "verdict": pc.if_else(pc.is_valid(reasons), "filtered", verdict),
        "reason": pc.coalesce(reasons, why.take(index)),
        "duplicate_of": kept_ids.take(index),
        "similarity": similarity.take(index),
    }
    return pa.table([columns[name] for name in schema.names], schema=schema)


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
    if not rules or not len(passing):
        return {}
    ids = IdMatcher(clips["clip_id"])
    graphs = [load_graph(rule, dataset.catalog, writer, clips, ids, passing, run) for rule in rules]
    duplicates = greedy_duplicates(passing, graphs)
    return {row: kept for row, kept in duplicates.items() if not result.included[row]}


def best_first(
    dataset: Dataset, clips: pa.Table, values: Values, result: FilterResult
) -> npt.NDArray[np.int64]:
    """Rows of the clips that pass the filter, the better one of any two first."""
    passing = np.flatnonzero(pc.is_null(result.reasons).to_numpy(zero_copy_only=False))
    sources = visible_sources(dataset.catalog, ["size_bytes", "duration_s"])
    seconds = pc.max_element_wise(sources["duration_s"], 1e-9, skip_nulls=False)
    bit_rates = pc.divide(pc.multiply(sources["size_bytes"], 8.0), seconds)
    index = pc.index_in(one_chunk(clips["source_id"]), one_chunk(sources["source_id"]))
    index = index.take(pa.array(passing))
    bit_rate = one_chunk(bit_rates).take(index).to_numpy(zero_copy_only=False)
    ranks = [-result.included[passing].astype(float)]
    ranks += [-np.nan_to_num(values[name][passing]) for name in _QUALITY]
    ranks.append(-np.nan_to_num(bit_rate))
    return np.asarray(passing[np.lexsort(ranks[::-1])], np.int64)
