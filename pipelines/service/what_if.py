"""The outcome of another policy, without storing anything.

Bounds are applied to the stored values as `select` does it. Duplicates are looked up among the
stored pairs: exact for every clip that a selection has compared before. Clips that only the looser
policy admits were never compared; they count as kept, and are also counted apart.
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
from curation.dedup.greedy import DuplicateGraph, greedy_duplicates
from curation.dedup.rules import graph_of_pairs
from curation.id_match import IdMatcher, one_chunk, to_bools
from curation.records import Neighbour
from curation.select.filter import apply_policy, filter_values
from curation.select.policy import Policy, Range
from curation.select.reviews import with_reviews
from curation.select.selection import best_first, duplicate_rules
from pipelines.config.merge import flatten


@dataclass(frozen=True)
class WhatIf:
    """The outcome of a policy that was not stored."""

    before: Counter[str]
    """Clips by verdict or, where filtered, by reason, in the newest selection."""
    after: Counter[str]
    """The same under the policy."""
    gained: list[str]
    """Ids of clips that it would keep and the newest selection does not."""
    lost: list[str]
    """Ids of clips that the newest selection keeps and it would not."""
    uncompared: int
    """Kept clips that were never compared for duplicates."""


def with_bounds(policy: Policy, limits: dict[str, Range], near_duplicates: float | None) -> Policy:
    """The policy with other bounds on some values; `ValueError` for bounds that are impossible.

    A range without bounds removes them; `near_duplicates` of None keeps the threshold.
    """
    merged = {**policy.limits, **limits}
    return replace(
        policy,
        limits={name: bounds for name, bounds in merged.items() if bounds != Range()},
        near_duplicates=policy.near_duplicates if near_duplicates is None else near_duplicates,
    )


def settings(base: Mapping[str, Any], policy: Mapping[str, Any]) -> dict[str, Any] | None:
    """The settings of a job that turn the resolved policy of a profile into another.

    None where settings cannot express it: rules for some sources.
    """
    old, new = flatten(base), flatten(policy)
    changes = {k: new.get(k) for k in sorted({*old, *new}) if old.get(k) != new.get(k)}
    if "sources" in changes:
        return None
    return {f"policy.{key}": value for key, value in changes.items()}


def evaluate(dataset: Dataset, clips: pa.Table, policy: Policy) -> WhatIf:
    """Applies a policy to `clips` (of `Dataset.clips`, with verdicts)."""
    policy = with_reviews(policy, dataset.catalog)
    values = filter_values(clips)
    result = apply_policy(dataset, policy, clips, values)
    graphs, is_compared = _stored_graphs(dataset, clips, policy)
    rows = greedy_duplicates(best_first(dataset, clips, values, result), graphs)
    is_duplicate = np.zeros(len(clips), bool)
    is_duplicate[[row for row in rows if not result.included[row]]] = True
    passed = pc.if_else(pa.array(is_duplicate), "duplicate", "kept")
    after = pc.coalesce(result.reasons, passed)
    verdicts = pc.coalesce(one_chunk(clips["verdict"]), "newer")
    is_filtered = pc.equal(verdicts, "filtered")
    before = pc.if_else(is_filtered, one_chunk(clips["reason"]), verdicts)
    was_kept, is_kept = pc.equal(before, "kept"), pc.equal(after, "kept")
    ids = one_chunk(clips["clip_id"])
    return WhatIf(
        before=_counts(before),
        after=_counts(after),
        gained=ids.filter(pc.and_not(is_kept, was_kept)).to_pylist(),
        lost=ids.filter(pc.and_not(was_kept, is_kept)).to_pylist(),
        uncompared=int((is_kept.to_numpy(zero_copy_only=False) & ~is_compared).sum()),
    )


def _counts(outcomes: pa.Array) -> Counter[str]:
    counts = pc.value_counts(outcomes).to_pylist()
    return Counter({pair["values"]: pair["counts"] for pair in counts})


def _stored_graphs(
    dataset: Dataset, clips: pa.Table, policy: Policy
) -> tuple[list[DuplicateGraph], npt.NDArray[np.bool_]]:
    """The stored duplicate graphs that a policy uses, and which clips [n] are in all of them."""
    ids = IdMatcher(clips["clip_id"])
    is_compared = np.ones(len(clips), bool)
    graphs = []
    for rule in duplicate_rules(policy):
        pairs = dataset.catalog.read(rule.pairs_table, Neighbour)
        compared = pairs["clip_id"].filter(pairs["identical"])
        is_compared &= to_bools(pc.is_valid(ids.rows(compared)))
        graphs.append(graph_of_pairs(rule, pairs, clips, ids))
    return graphs, is_compared
