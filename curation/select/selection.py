"""Select: which clips are kept, decided from stored scores and neighbours in seconds."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curation import records
from curation.catalog import Writer
from curation.dataset import Dataset
from curation.dedup.greedy import Standing, greedy
from curation.dedup.rules import NotEmbeddedError, Notion, relation
from curation.records import Neighbour, Verdict
from curation.select.filter import Judged, judge, label_breaches, numbers
from curation.select.policy import Policy

__all__ = ["APP", "NotEmbeddedError", "Selection", "best_first", "funnel", "notions", "select"]

APP = "select"
_QUALITY = ("short_side", "sharpness", "duration_s")
"""What makes one of two duplicates the better one: more of the first, then of the next, then of the
bit rate; then the smaller id."""

Values = Mapping[str, npt.NDArray[np.float64]]


@dataclass(frozen=True)
class Selection:
    """A finished selection and the one before it."""

    selection_id: str
    funnel: Counter[str]
    """Clips by verdict or, where filtered, by reason."""
    before: Counter[str] | None
    """The same of the newest selection until now."""
    is_new: bool
    """Whether it is another one than the newest until now."""


def notions(policy: Policy) -> list[Notion]:
    """The ways for clips to be duplicates that a policy asks for."""
    found = [] if policy.copies is None else [Notion.copies(policy.copies)]
    if policy.semantic.embedding is not None:
        found.append(Notion.alike(policy.semantic.embedding, policy.semantic.similarity))
    return found


def select(dataset: Dataset, policy: Policy) -> Selection:
    """Applies a policy to every clip and stores the verdicts; the same again writes nothing.

    Raises `NotEmbeddedError`, and `ValueError` for a condition of the policy that cannot be read.
    """
    clips = dataset.clips()
    values = numbers(clips)
    previous = dataset.latest_selection()
    before = funnel(dataset.selection(previous)) if previous else None
    selection_id = _name(dataset, policy, clips, values)
    rows = dataset.selection(selection_id)
    if clips.num_rows and not rows.num_rows:
        rows = _decided(dataset, clips, values, policy, selection_id)
    return Selection(selection_id, funnel(rows), before, selection_id != previous)


def _decided(
    dataset: Dataset, clips: pa.Table, values: Values, policy: Policy, selection_id: str
) -> pa.Table:
    """Commits the verdicts, unless another run did so before this one had the tables."""
    pairs = {notion.pairs: Neighbour for notion in notions(policy)}
    tables = {**pairs, "selection": Verdict}
    with dataset.catalog.writer(APP, tables) as writer:
        rows = dataset.selection(selection_id)
        if not rows.num_rows:
            judged = judge(dataset, policy, clips, values)
            duplicates = _duplicates(dataset, writer, clips, values, policy, judged)
            rows = _verdicts(clips, judged.reasons, duplicates, selection_id)
            rows = records.table(Verdict, rows)
            writer.append("selection", rows)
    return rows


def funnel(verdicts: pa.Table) -> Counter[str]:
    """Clips by verdict or, where filtered, by reason."""
    pairs = zip(verdicts["verdict"].to_pylist(), verdicts["reason"].to_pylist(), strict=True)
    return Counter(reason if verdict == "filtered" else verdict for verdict, reason in pairs)


def _name(dataset: Dataset, policy: Policy, clips: pa.Table, values: Values) -> str:
    """Names a selection by all that decides it, so that a score that came later makes a new one."""
    state = hashlib.sha256(f"{policy.digest}{''.join(clips['clip_id'].to_pylist())}".encode())
    for name in sorted({*policy.bounded, *_QUALITY}):
        state.update(values[name].tobytes())
    for name in sorted(policy.worded):
        state.update(repr(clips[name].to_pylist()).encode())
    labelled = label_breaches(dataset, policy, clips["clip_id"].to_pylist())
    if any(labelled):
        state.update(repr([breach and breach.value for breach in labelled]).encode())
    return state.hexdigest()[:16]


def _verdicts(
    clips: pa.Table,
    reasons: Sequence[str | None],
    duplicates: Mapping[int, Standing],
    selection_id: str,
) -> list[Verdict]:
    """One verdict a clip, in the order of the clips."""
    verdicts = []
    ids = clips["clip_id"].to_pylist()
    columns = zip(ids, clips["source_id"].to_pylist(), reasons, strict=True)
    for row, (clip, source, reason) in enumerate(columns):
        named = (selection_id, clip, source)
        if reason is not None:
            verdicts.append(Verdict(*named, "filtered", reason))
        elif row in duplicates:
            found = duplicates[row]
            kept = (found.reason, ids[found.row], found.similarity)
            verdicts.append(Verdict(*named, "duplicate", *kept))
        else:
            verdicts.append(Verdict(*named, "kept"))
    return verdicts


def _duplicates(  # noqa: PLR0917  what the selection knows by then
    dataset: Dataset,
    writer: Writer,
    clips: pa.Table,
    values: Values,
    policy: Policy,
    judged: Judged,
) -> dict[int, Standing]:
    """The duplicates among the clips that pass the filter, by row; one kept by hand is none."""
    passing = best_first(dataset, clips, values, judged)
    asked = notions(policy)
    if not asked or not passing:
        return {}
    wanted = clips["clip_id"].take(sorted(passing)).to_pylist()
    relations = [relation(each, dataset.catalog, writer, clips, wanted) for each in asked]
    found = greedy(passing, relations)
    return {row: standing for row, standing in found.items() if not judged.included[row]}


def best_first(dataset: Dataset, clips: pa.Table, values: Values, judged: Judged) -> list[int]:
    """Rows of the clips that pass the filter, the better one of any two first."""
    passing = np.array([i for i, reason in enumerate(judged.reasons) if reason is None], np.int64)
    ranks = [-judged.included[passing].astype(float)]
    ranks += [-np.nan_to_num(values[name][passing]) for name in _QUALITY]
    ranks.append(-np.nan_to_num(_bitrates(dataset, clips)[passing]))
    return [int(row) for row in passing[np.lexsort(ranks[::-1])]]


def _bitrates(dataset: Dataset, clips: pa.Table) -> npt.NDArray[np.float64]:
    """Bits a second of each clip's source; NaN where it has no duration."""
    sources = dataset.sources().select(["source_id", "size_bytes", "duration_s"]).drop_null()
    seconds = np.maximum(sources["duration_s"].to_numpy(), 1e-9)
    of_source = dict(
        zip(sources["source_id"].to_pylist(), sources["size_bytes"].to_numpy() / seconds * 8,
            strict=True)
    )  # fmt: skip
    return np.array([of_source.get(each, np.nan) for each in clips["source_id"].to_pylist()])
