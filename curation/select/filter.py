"""Applying a policy: every rule that each clip breaks, in the order in which reasons are given.

First comes the list of clips to leave out, then bounds in the order of `LIMITS`, then tags, then
labels. A source for which the policy has rules of its own is filtered by those where they name a
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
from curation.records import ClipLabel
from curation.select.policy import LIMITS, TAGS, LabelRules, Policy, PolicyError, Range, suggest

Bools = npt.NDArray[np.bool_]
Values = Mapping[str, npt.NDArray[np.float64]]


@dataclass(frozen=True)
class Violation:
    """One rule that a clip breaks."""

    reason: str
    column: str
    """The value or tag."""
    value: float | str | None
    """What the clip has there."""
    expected: str
    """What the policy requires, in words."""


@dataclass(frozen=True)
class FilterResult:
    """Which clips a policy filters, before duplicates are looked for."""

    reasons: list[str | None]
    """The first rule that each clip breaks."""
    included: Bools
    """Whether it is on the list of clips to keep."""


def apply_policy(dataset: Dataset, policy: Policy, clips: pa.Table, values: Values) -> FilterResult:
    """Applies the policy to clips of `Dataset.clips` and their `filter_values`.

    Raises `ConditionError` for a condition on sources that cannot be read, and `PolicyError` for
    unknown labels.
    """
    ids = clips["clip_id"].to_pylist()
    included, excluded = match_prefixes(policy.include, ids), match_prefixes(policy.exclude, ids)
    reasons = np.full(len(ids), None, object)
    for group, rules in policies_by_source(dataset, policy, clips):
        tags = {name: np.array(clips[name].to_pylist(), object)[group] for name in rules.tags}
        reasons[group] = rules.reasons({name: v[group] for name, v in values.items()}, tags)
    is_labelled = np.array([v is not None for v in label_violations(dataset, policy, ids)], bool)
    reasons[(reasons == None) & is_labelled] = UNWANTED_LABEL  # noqa: E711
    reasons[excluded] = EXCLUDED
    reasons[included] = None
    return FilterResult(reasons.tolist(), included)


def filter_values(table: pa.Table) -> dict[str, npt.NDArray[np.float64]]:
    """Every value that a policy may bound, as float64 arrays [n]; null is NaN."""

    def column(name: str) -> npt.NDArray[np.float64]:
        return np.asarray(
            pc.fill_null(table[name].cast(pa.float64()), float("nan")).to_numpy(), np.float64
        )

    return {name: column(name) for name in LIMITS}


def match_prefixes(prefixes: Sequence[str], ids: Sequence[str]) -> Bools:
    """Which clip ids begin with one of these."""
    starts = tuple(prefixes)
    return np.array([bool(starts) and name.startswith(starts) for name in ids], bool)


def policies_by_source(
    dataset: Dataset, policy: Policy, clips: pa.Table
) -> list[tuple[Bools, Policy]]:
    """Groups of clips, and the policy that applies to each; of several rules later ones win."""
    sources = clips["source_id"].to_numpy().astype(object)
    index, policies = np.zeros(len(sources), np.int64), [policy]
    for rules in policy.sources:
        from curation.sql_filter import filter_clips

        matches = filter_clips(dataset.sources(), rules.where, ["source_id"])["source_id"]
        is_match = np.isin(sources, [source for source in matches.to_pylist() if source])
        for base in np.unique(index[is_match]).tolist():
            policies.append(policies[base].with_rules(rules))
            index[is_match & (index == base)] = len(policies) - 1
    return [(index == number, rules) for number, rules in enumerate(policies)]


def violations(
    rules: Policy, values: Mapping[str, float], categories: Mapping[str, str | None]
) -> list[Violation]:
    """Every bound and tag that one clip breaks; NaN and None break none."""
    violations = []
    for name, limit in LIMITS.items():
        bounds, value = rules.limits.get(name, Range()), values.get(name, float("nan"))
        if bounds.min is not None and value < bounds.min:
            violations.append(Violation(limit.low, name, value, f"at least {bounds.min:g}"))
        if bounds.max is not None and value > bounds.max:
            violations.append(Violation(limit.high, name, value, f"at most {bounds.max:g}"))
    for name, tag in TAGS.items():
        rule, category = rules.tags.get(name), categories.get(name)
        if rule is not None and rule.rejects(category):
            is_denied = category in rule.deny
            names = ", ".join(rule.deny if is_denied else rule.allow or ())
            expected = f"{'none' if is_denied else 'one'} of {names}"
            violations.append(Violation(tag.reason, name, category, expected))
    return violations


def label_violations(
    dataset: Dataset, policy: Policy, ids: Sequence[str]
) -> list[Violation | None]:
    """For each clip the rule on labels that it breaks, or None; one without labels breaks none.

    Raises `PolicyError` for a label that no table or more than one of them has.
    """
    rules = policy.labels
    if rules == LabelRules():
        return [None] * len(ids)
    parts = [f"one of {', '.join(rules.allow)}"] if rules.allow is not None else []
    parts += [f"none of {', '.join(rules.deny)}"] if rules.deny else []
    expected = " and ".join(parts)
    labels = _labels_by_clip(dataset, rules)
    unwanted = [_unwanted(rules, labels.get(clip, {})) for clip in ids]
    return [Violation(UNWANTED_LABEL, "labels", u, expected) if u else None for u in unwanted]


def _labels_by_clip(dataset: Dataset, rules: LabelRules) -> dict[str, dict[str, bool]]:
    """By clip those labels of the rules that it was classified for, and whether each holds."""
    labels: dict[str, dict[str, bool]] = {}
    for label, table in _label_tables(dataset, rules).items():
        rows = dataset.side_table(table, ClipLabel).filter(pc.field("label") == label)
        for clip, holds in zip(rows["clip_id"].to_pylist(), rows["holds"].to_pylist(), strict=True):
            clip_labels = labels.setdefault(clip, {})
            clip_labels[label] = holds or clip_labels.get(label, False)
    return labels


def _unwanted(rules: LabelRules, labels: Mapping[str, bool]) -> str | None:
    """Which labels are against a clip, of those that it was classified for."""
    if denied := [label for label in rules.deny if labels.get(label)]:
        return ", ".join(sorted(set(denied)))
    allowed = [labels[label] for label in rules.allow or () if label in labels]
    if allowed and not any(allowed):
        return f"none of {', '.join(sorted(set(rules.allow or ())))}"
    return None


def _label_tables(dataset: Dataset, rules: LabelRules) -> dict[str, str]:
    """The table that has each label of the rules."""
    prefix = f"labels/{rules.table or ''}"
    names = [name for name in dataset.catalog.names("labels") if name.startswith(prefix)]
    labels = {name: dataset.catalog.values(name, ClipLabel, "label") for name in names}
    tables = {}
    for label in (*(rules.allow or ()), *rules.deny):
        matches = [name for name in names if label in labels[name]]
        if not matches:
            every = sorted(set().union(*labels.values()))
            hint = suggest(label, every, "; run `reelmill label` first")
            raise PolicyError(f"policy: no clip was labelled {label!r}{hint}")
        if len(matches) > 1:
            both = " and ".join(matches)
            raise PolicyError(f"policy: {label!r} is in {both}; name one as policy.labels.table")
        tables[label] = matches[0]
    return tables
