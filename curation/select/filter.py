"""Applying a policy: every rule that each clip breaks, in the order in which reasons are given.

First comes the list of clips to leave out, then bounds in the order of `LIMITS`, then tags, then
labels. A source for which the policy has rules of its own is judged by those where they name a
value or a tag, and by the common ones for the rest. A clip on the list of clips to keep breaks
nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curation.dataset import Dataset
from curation.reasons import EXCLUDED, UNWANTED_LABEL
from curation.select.label_rules import unwanted
from curation.select.policy import LIMITS, LabelRules, Policy, Range
from curation.select.tags import TAGS
from curation.sql_filter import matching

Values = Mapping[str, npt.NDArray[np.float64]]


@dataclass(frozen=True)
class Violation:
    """One rule that a clip breaks."""

    reason: str
    column: str
    """The value or tag."""
    value: float | str | None
    """What the clip has there."""
    wanted: str
    """What the policy asks for, in words."""


@dataclass(frozen=True)
class Judged:
    """What a policy says of each clip, before duplicates are looked for."""

    reasons: list[str | None]
    """The first rule that each clip breaks."""
    included: npt.NDArray[np.bool_]
    """Whether it is on the list of clips to keep."""


def judge(dataset: Dataset, policy: Policy, clips: pa.Table, values: Values) -> Judged:
    """Applies the policy to clips of `Dataset.clips` and their `numbers`.

    `ValueError` for a condition on sources that cannot be read, and for labels that are not known.
    """
    ids = clips["clip_id"].to_pylist()
    included, excluded = listed(policy.include, ids), listed(policy.exclude, ids)
    reasons = np.full(len(ids), None, object)
    for part, rules in rules_of(dataset, policy, clips):
        words = {name: np.array(clips[name].to_pylist(), object)[part] for name in rules.tags}
        reasons[part] = rules.reasons({name: v[part] for name, v in values.items()}, words)
    labelled = label_breaches(dataset, policy, ids)
    broken = np.array([breach is not None for breach in labelled], bool)
    reasons[(reasons == None) & broken] = UNWANTED_LABEL  # noqa: E711
    reasons[excluded] = EXCLUDED
    reasons[included] = None
    return Judged(reasons.tolist(), included)


def label_breaches(dataset: Dataset, policy: Policy, ids: Sequence[str]) -> list[Violation | None]:
    """For each clip the rule on labels that it breaks, or None."""
    if policy.labels == LabelRules():
        return [None] * len(ids)
    found = unwanted(dataset, policy.labels, ids)
    wanted = _label_words(policy.labels)
    return [Violation(UNWANTED_LABEL, "labels", each, wanted) if each else None for each in found]


def _label_words(rules: LabelRules) -> str:
    parts = [f"one of {', '.join(rules.allow)}"] if rules.allow is not None else []
    parts += [f"none of {', '.join(rules.deny)}"] if rules.deny else []
    return " and ".join(parts)


def listed(beginnings: Sequence[str], ids: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Which clip ids begin with one of these."""
    starts = tuple(beginnings)
    return np.array([bool(starts) and name.startswith(starts) for name in ids], bool)


def rules_of(
    dataset: Dataset, policy: Policy, clips: pa.Table
) -> list[tuple[npt.NDArray[np.bool_], Policy]]:
    """Groups of clips, and the policy that each is judged by; of several rules later ones win."""
    sources = clips["source_id"].to_numpy()
    chosen, combined = np.zeros(len(sources), np.int64), [policy]
    for own in policy.sources:
        fits = matching(dataset.sources(), own.where, ["source_id"])["source_id"].to_pylist()
        inside = np.isin(sources.astype(object), [source for source in fits if source])
        for before in np.unique(chosen[inside]).tolist():
            combined.append(combined[before].with_rules(own))
            chosen[inside & (chosen == before)] = len(combined) - 1
    return [(chosen == number, rules) for number, rules in enumerate(combined)]


def breaches(
    rules: Policy, values: Mapping[str, float], words: Mapping[str, str | None]
) -> list[Violation]:
    """Every bound and tag that one clip breaks; NaN and None break none."""
    return _beyond(rules, values) + _unwanted(rules, words)


def _beyond(rules: Policy, values: Mapping[str, float]) -> list[Violation]:
    """Bounds that one clip's values break; NaN breaks none."""
    found = []
    for name, limit in LIMITS.items():
        bounds, value = rules.limits.get(name, Range()), values.get(name, float("nan"))
        if bounds.min is not None and value < bounds.min:
            found.append(Violation(limit.low, name, value, f"at least {bounds.min:g}"))
        if bounds.max is not None and value > bounds.max:
            found.append(Violation(limit.high, name, value, f"at most {bounds.max:g}"))
    return found


def _unwanted(rules: Policy, words: Mapping[str, str | None]) -> list[Violation]:
    """Tags of one clip that are unwanted."""
    found = []
    for name, tag in TAGS.items():
        wanted, word = rules.tags.get(name), words.get(name)
        if wanted is not None and wanted.unwanted(word):
            says = f"none of {', '.join(wanted.deny)}" if word in wanted.deny else ""
            says = says or f"one of {', '.join(wanted.allow or ())}"
            found.append(Violation(tag.reason, name, word, says))
    return found


def numbers(table: pa.Table) -> dict[str, npt.NDArray[np.float64]]:
    """Every value that a policy may bound, as float64 arrays [n]; null is NaN."""

    def column(name: str) -> npt.NDArray[np.float64]:
        return np.asarray(
            pc.fill_null(table[name].cast(pa.float64()), float("nan")).to_numpy(), np.float64
        )

    return {name: column(name) for name in LIMITS}
