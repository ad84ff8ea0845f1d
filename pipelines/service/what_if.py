"""What another policy would keep, without storing anything.

Bounds are applied to the stored values as `select` does it. Duplicates are looked for among the
pairs that are stored: exact for every clip that a selection has compared before, while clips that
only the looser policy lets through were never compared; they count as kept, and are counted apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curation.dataset import Dataset
from curation.dedup.greedy import Relation, greedy
from curation.dedup.rules import related
from curation.records import Neighbour
from curation.select.filter import judge, numbers
from curation.select.policy import Policy, Range
from curation.select.selection import best_first, notions
from pipelines.config.flatten import leaves


@dataclass(frozen=True)
class Reselection:
    """A policy tried out."""

    before: Counter[str]
    """Clips by verdict or, where filtered, by reason, as the newest selection has it."""
    after: Counter[str]
    """The same by the policy that is tried."""
    gained: list[str]
    """Ids of clips that it would keep and the newest selection does not."""
    lost: list[str]
    """The other way round."""
    uncompared: int
    """Clips among those kept that were never compared for duplicates."""


def changed(policy: Policy, limits: dict[str, Range], copies: float | None) -> Policy:
    """The policy with other bounds on some values; `ValueError` where that makes no sense.

    A range without bounds lifts them. `copies` of None leaves the threshold as it is.
    """
    merged = {**policy.limits, **limits}
    return replace(
        policy,
        limits={name: bounds for name, bounds in merged.items() if bounds != Range()},
        copies=policy.copies if copies is None else copies,
    )


def settings(base: Mapping[str, Any], policy: Mapping[str, Any]) -> dict[str, Any] | None:
    """What turns the policy of a profile into another, as settings of a job; both as resolved.

    None where a setting cannot say it: rules for some sources.
    """
    have, want = leaves(base), leaves(policy)
    found = {k: want.get(k) for k in sorted({*have, *want}) if have.get(k) != want.get(k)}
    if "sources" in found:
        return None
    return {f"policy.{key}": value for key, value in found.items()}


def reselect(dataset: Dataset, clips: pa.Table, policy: Policy) -> Reselection:
    """Tries a policy on `clips` (of `Dataset.clips`, with verdicts)."""
    values = numbers(clips)
    judged = judge(dataset, policy, clips, values)
    relations, compared = _stored(dataset, clips, policy)
    found = greedy(best_first(dataset, clips, values, judged), relations)
    words = [reason or "kept" for reason in judged.reasons]
    for row in found:
        if not judged.included[row]:
            words[row] = "duplicate"
    return _differences(clips, words, compared)


def _stored(
    dataset: Dataset, clips: pa.Table, policy: Policy
) -> tuple[list[Relation], npt.NDArray[np.bool_]]:
    """The relations that a policy asks for, and which clips are in all of them."""
    ids = clips["clip_id"]
    compared = np.ones(len(ids), bool)
    relations = []
    for notion in notions(policy):
        pairs = dataset.catalog.read(notion.pairs, Neighbour)
        seen = pc.unique(pairs.filter(pairs["identical"])["clip_id"])
        compared &= np.asarray(pc.is_in(ids, seen).to_numpy(), bool)
        relations.append(related(notion, pairs, clips))
    return relations, compared


def _differences(clips: pa.Table, words: list[str], compared: npt.NDArray[np.bool_]) -> Reselection:
    """Before against after; a clip without a verdict was not kept before."""
    verdicts, reasons = clips["verdict"].to_pylist(), clips["reason"].to_pylist()
    before = [
        reason if verdict == "filtered" else verdict or "newer"
        for verdict, reason in zip(verdicts, reasons, strict=True)
    ]
    ids = clips["clip_id"].to_pylist()
    rows = list(zip(ids, before, words, strict=True))
    kept = np.array([word == "kept" for word in words], bool)
    return Reselection(
        before=Counter(before),
        after=Counter(words),
        gained=[clip for clip, was, now in rows if now == "kept" != was],
        lost=[clip for clip, was, now in rows if was == "kept" != now],
        uncompared=int((kept & ~compared).sum()),
    )
