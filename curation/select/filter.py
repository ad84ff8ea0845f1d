"""Applying a policy: every rule that each clip breaks, in the order in which reasons are given.

First comes the list of clips to leave out, then bounds in the order of `LIMITS`, then tags, then
labels, and last what a bad clip reaches in its session. A source for which the policy has rules of
its own is filtered by those where they name a value or a tag, and by the common ones for the rest.
A clip on the list of clips to keep breaks nothing. What people decided by hand comes before both
lists.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curation.dataset import Dataset
from curation.id_match import IdMatcher, one_chunk
from curation.reasons import BAD_SESSION, EXCLUDED, UNWANTED_LABEL
from curation.records import ClipLabel
from curation.select.policy import LIMITS, TAGS, LabelRules, Policy, PolicyError, Range, suggest
from curation.select.sessions import SessionClips

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
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

    reasons: pa.Array
    """The first rule that each clip breaks; null where it passes."""
    included: Bools
    """Whether it is on the list of clips to keep."""


def needed_columns(policy: Policy) -> set[str]:
    """The columns of clips that decide what a policy filters."""
    return {"clip_id", "source_id", *policy.limited_columns, *policy.tag_columns}


def apply_policy(dataset: Dataset, policy: Policy, clips: pa.Table, values: Values) -> FilterResult:
    """Applies the policy to clips of `Dataset.clips` and their `filter_values`.

    Raises `ConditionError` for a condition on sources that cannot be read, and `PolicyError` for
    unknown labels.
    """
    ids = one_chunk(clips["clip_id"])
    included, excluded = match_prefixes(policy.include, ids), match_prefixes(policy.exclude, ids)
    kept, dropped = _are_in(ids, policy.kept_by_hand), _are_in(ids, policy.dropped_by_hand)
    included, excluded = (included & ~dropped) | kept, (excluded & ~kept) | dropped
    reasons = _reasons(policies_by_source(dataset, policy, clips), clips, values)
    unwanted = unwanted_labels(dataset, policy, ids)
    is_labelled = pc.and_(pc.is_null(reasons), pc.is_valid(unwanted))
    reasons = pc.if_else(is_labelled, UNWANTED_LABEL, reasons)
    reasons = pc.if_else(pa.array(excluded), EXCLUDED, reasons)
    if policy.sessions != "clip":
        is_bad = pc.is_valid(reasons).to_numpy(zero_copy_only=False) & ~included
        sessions = SessionClips.read(dataset.catalog, ids)
        reached = pa.array(sessions.reached(is_bad, policy.sessions))
        reasons = pc.if_else(reached, BAD_SESSION, reasons)
    return FilterResult(pc.if_else(pa.array(included), None, reasons), included)


def _reasons(groups: Sequence[tuple[Ints, Policy]], clips: pa.Table, values: Values) -> pa.Array:
    """The first rule that each clip breaks of the policy of its group, or null."""
    if len(groups) == 1:
        ((_, rules),) = groups
        return rules.reasons(values, {name: one_chunk(clips[name]) for name in rules.tags})
    parts = [
        rules.reasons(
            {name: column[rows] for name, column in values.items()},
            {name: one_chunk(clips[name]).take(pa.array(rows)) for name in rules.tags},
        )
        for rows, rules in groups
    ]
    order = np.argsort(np.concatenate([rows for rows, _ in groups]))
    return pa.concat_arrays(parts).take(pa.array(order))


def _are_in(ids: pa.Array, wanted: Sequence[str]) -> Bools:
    return np.asarray(pc.is_in(ids, pa.array(wanted, pa.string())).to_numpy(zero_copy_only=False))


def filter_values(table: pa.Table) -> dict[str, npt.NDArray[np.float64]]:
    """Every value of the table that a policy may bound, as float64 arrays [n]; null is NaN."""

    def column(name: str) -> npt.NDArray[np.float64]:
        return np.asarray(
            pc.fill_null(table[name].cast(pa.float64()), float("nan")).to_numpy(), np.float64
        )

    return {name: column(name) for name in LIMITS if name in table.column_names}


def match_prefixes(prefixes: Sequence[str], ids: pa.Array) -> Bools:
    """Which clip ids, an array of text, begin with one of these."""
    matches = np.zeros(len(ids), bool)
    by_length: dict[int, list[str]] = {}
    for prefix in prefixes:
        by_length.setdefault(len(prefix), []).append(prefix)
    for length, group in by_length.items():
        starts = pc.utf8_slice_codeunits(ids, 0, length)
        matches |= pc.is_in(starts, pa.array(group)).to_numpy(zero_copy_only=False)
    return matches


def policies_by_source(
    dataset: Dataset, policy: Policy, clips: pa.Table
) -> list[tuple[Ints, Policy]]:
    """The rows of groups of clips, and the policy of each; of several rules later ones win."""
    if not policy.sources:
        return [(np.arange(len(clips)), policy)]
    from curation.sql_filter import filter_clips

    group, policies = np.zeros(len(clips), np.int64), [policy]
    sources = dataset.sources()
    for rules in policy.sources:
        matches = filter_clips(sources, rules.where, ["source_id"])["source_id"].drop_null()
        is_match = pc.is_in(clips["source_id"], pc.unique(matches)).to_numpy()
        rows = np.flatnonzero(is_match)
        before, number = np.unique(group[rows], return_inverse=True)
        group[rows] = len(policies) + number
        policies += [policies[base].with_rules(rules) for base in before.tolist()]
    order = np.argsort(group, kind="stable")
    ends = np.cumsum(np.bincount(group, minlength=len(policies)))
    return list(zip(np.split(order, ends[:-1]), policies, strict=True))


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


def label_violation(dataset: Dataset, policy: Policy, clip_id: str) -> Violation | None:
    """The rule on labels that one clip breaks, or None; raises as `unwanted_labels`."""
    (unwanted,) = unwanted_labels(dataset, policy, pa.array([clip_id])).to_pylist()
    if unwanted is None:
        return None
    rules = policy.labels
    parts = [f"one of {', '.join(rules.allow)}"] if rules.allow is not None else []
    parts += [f"none of {', '.join(rules.deny)}"] if rules.deny else []
    return Violation(UNWANTED_LABEL, "labels", unwanted, " and ".join(parts))


def unwanted_labels(dataset: Dataset, policy: Policy, ids: pa.Array) -> pa.Array:
    """For each clip the labels that are against it, as text; null where it breaks no rule on them.

    A clip breaks none by labels that it was not classified for. Raises `PolicyError` for a label
    that no table or more than one of them has.
    """
    rules = policy.labels
    unwanted = pa.nulls(len(ids), pa.string())
    if rules == LabelRules():
        return unwanted
    matcher = IdMatcher(ids)
    holds = {
        label: _label_holds(dataset, table, label, matcher)
        for label, table in _label_tables(dataset, rules).items()
    }
    none, never = pa.repeat("", len(ids)), pa.repeat(False, len(ids))
    if rules.allow is not None:
        allowed = [holds[label] for label in rules.allow]
        is_known = reduce(pc.or_, map(pc.is_valid, allowed), never)
        is_allowed = reduce(pc.or_, (pc.fill_null(column, False) for column in allowed), never)
        text = f"none of {', '.join(sorted(set(rules.allow)))}"
        unwanted = pc.if_else(pc.and_not(is_known, is_allowed), text, unwanted)
    denied = none
    for label in sorted(set(rules.deny)):
        longer = pc.if_else(
            pc.equal(denied, ""), label, pc.binary_join_element_wise(denied, label, ", ")
        )
        denied = pc.if_else(pc.fill_null(holds[label], False), longer, denied)
    return pc.if_else(pc.equal(denied, ""), unwanted, denied)


def _label_holds(dataset: Dataset, table: str, label: str, matcher: IdMatcher) -> pa.Array:
    """Whether a label holds for each clip; null where it was not classified for it."""
    rows = dataset.side_table(table, ClipLabel).filter(pc.field("label") == label)
    rows = rows.group_by("clip_id").aggregate([("holds", "any")])
    return one_chunk(rows["holds_any"]).take(matcher.rows(rows["clip_id"]))


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
