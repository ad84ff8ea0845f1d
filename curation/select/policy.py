"""Which clips are worth keeping: bounds on what was measured. Applying a policy needs no video.

A bound on a value that could not be measured (null) is not broken.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curation.dedup.pairs import NEAR_DUPLICATE_FLOOR, SEMANTIC_FLOOR
from curation.errors import ReelmillError
from curation.reasons import CLIP_REASONS, DUPLICATE_REASONS
from curation.scores import SCORES, columns
from curation.select.sessions import Scope

_MIN_PREFIX = 4
"""Digits of a clip's id that a list has to name."""


class PolicyError(ReelmillError, ValueError):
    """A policy that contradicts itself or names what there is not."""


@dataclass(frozen=True)
class Limit:
    """One value that a policy may bound, and the reasons for breaking the bounds."""

    column: str
    about: str
    """What the value is."""
    low: str
    """The reason below the least value; empty if there is no such bound."""
    high: str
    """The reason above the largest."""


@dataclass(frozen=True)
class Tag:
    """One column that holds one of a few categories."""

    column: str
    about: str
    """What the categories describe."""
    categories: Mapping[str, str]
    """Each category and what it means."""
    reason: str
    """Why a clip of an unwanted category is left out."""


def _limits_and_tags() -> tuple[dict[str, Limit], dict[str, Tag], dict[str, str]]:
    """What a policy may bound, clip facts before scores; and the sentence for each reason."""
    sentences = {n: words for n, words in CLIP_REASONS.items() if n not in DUPLICATE_REASONS}
    limits = [
        Limit("duration_s", "Length of the clip in seconds.", "too_short", "too_long"),
        Limit("short_side", "Pixels of the picture's short side.", "too_small", "too_large"),
        Limit("fps", "Frames a second.", "low_rate", "high_rate"),
    ]
    tags: dict[str, Tag] = {}
    tag_sentences = {}
    for score in SCORES.values():
        for column in columns(score):
            about = column.metadata.get("about", "")
            bounds = [column.metadata.get(side) for side in ("low", "high")]
            if any(bounds):
                names = [reason[0] if reason else "" for reason in bounds]
                limits.append(Limit(column.name, about, *names))
                sentences |= dict(reason for reason in bounds if reason)
            if categories := column.metadata.get("words"):
                reason, sentence = column.metadata["reason"]
                tags[column.name] = Tag(column.name, about, categories, reason)
                tag_sentences[reason] = sentence
    return {limit.column: limit for limit in limits}, tags, sentences | tag_sentences


LIMITS, TAGS, FILTER_REASONS = _limits_and_tags()
"""What a policy may bound, in the order in which reasons are given; every column of categories; and
the closed list of reasons for `filtered` with what each means."""


@dataclass(frozen=True)
class Range:
    """Bounds on one value; either may be left open."""

    min: float | None = None
    max: float | None = None


@dataclass(frozen=True)
class CategoryRule:
    """Which categories of one tag are allowed; a clip without a category breaks neither."""

    allow: tuple[str, ...] | None = None
    """Only these; null for all."""
    deny: tuple[str, ...] = ()
    """None of these."""

    def rejects(self, category: str | None) -> bool:
        """Whether a clip of this category is left out."""
        if category is None:
            return False
        return category in self.deny or (self.allow is not None and category not in self.allow)

    def rejected(self, categories: pa.Array) -> npt.NDArray[np.bool_]:
        """The same of many clips: text [n] with nulls."""
        words = pc.unique(categories)
        is_rejected = [word for word in words.to_pylist() if self.rejects(word)]
        mask = pc.is_in(categories, pa.array(is_rejected, pa.string()))
        return np.asarray(mask.to_numpy(zero_copy_only=False), bool)


_TABLE = re.compile(r"[^/.\\][^/\\]*")


@dataclass(frozen=True)
class Semantic:
    """When clips show the same kind of scene, by an embedding that knows meaning."""

    embedding: str | None = None
    """A table `embeddings/<name>`; null compares no meaning."""
    similarity: float = 0.95
    """Cosine from which a clip is a duplicate of a better, kept one."""

    def __post_init__(self) -> None:
        if self.embedding is not None and not _TABLE.fullmatch(self.embedding):
            raise PolicyError(f"policy: semantic.embedding {self.embedding!r} names no table")


@dataclass(frozen=True)
class LabelRules:
    """Which labels of `reelmill label` are allowed; a clip that has none of them breaks neither."""

    table: str | None = None
    """The table `labels/<name>`, or the beginning of its name; null where one alone has them."""
    allow: tuple[str, ...] | None = None
    """Only clips for which one of these holds, such as `hour/day` or `aesthetic`."""
    deny: tuple[str, ...] = ()
    """No clips for which one of these holds."""


@dataclass(frozen=True)
class SourceRules:
    """Other bounds and categories for some sources; what is not named here is as for all."""

    where: str
    """An SQL condition over the columns of `sources`, such as `uri LIKE '%dashcam%'`."""
    limits: dict[str, Range] = field(default_factory=dict)
    """Bounds by the value's name."""
    tags: dict[str, CategoryRule] = field(default_factory=dict)
    """Wanted categories by the tag's name."""


@dataclass(frozen=True)
class Policy:
    """Which clips are kept. Raises `PolicyError` for what makes no sense."""

    limits: dict[str, Range] = field(default_factory=dict)
    """Bounds by the value's name."""
    near_duplicates: float | None = 0.75
    """Clips that agree at least this well with a better, kept one are dropped; null keeps them."""
    semantic: Semantic = field(default_factory=Semantic)
    """Clips of the same kind of scene."""
    tags: dict[str, CategoryRule] = field(default_factory=dict)
    """Wanted categories by the tag's name."""
    sources: tuple[SourceRules, ...] = ()
    """Other bounds and categories for some sources."""
    include: tuple[str, ...] = ()
    """Ids, or their first digits, of clips that are kept regardless of all rules."""
    exclude: tuple[str, ...] = ()
    """The same of clips that are left out."""
    labels: LabelRules = field(default_factory=LabelRules)
    """Wanted labels."""
    sessions: Scope = "clip"
    """How far a clip that breaks a rule reaches in its session: the clip alone, what other cameras
    show at its time (`span`), all of its `camera`, or the whole `session`."""
    kept_by_hand: tuple[str, ...] = ()
    """Ids of clips that `curation.select.reviews` keeps; they come before all lists and rules."""
    dropped_by_hand: tuple[str, ...] = ()
    """The same of clips that it drops."""

    def __post_init__(self) -> None:
        all_rules: tuple[Policy | SourceRules, ...] = (self, *self.sources)
        for rules in all_rules:
            _check_limits(rules.limits)
            _check_tags(rules.tags)
        _check_categories("labels", self.labels)
        for prefix in (*self.include, *self.exclude):
            if len(prefix) < _MIN_PREFIX:
                raise PolicyError(
                    f"policy: {prefix!r} names too many clips: write {_MIN_PREFIX} digits or more"
                )
        if self.near_duplicates is not None:
            _check_threshold("near_duplicates", self.near_duplicates, NEAR_DUPLICATE_FLOOR)
        _check_threshold("semantic.similarity", self.semantic.similarity, SEMANTIC_FLOOR)

    @property
    def digest(self) -> str:
        """Names the policy by its content; stable, as the ids of selections depend on it."""
        fields = asdict(self)
        fields["copies"] = fields.pop("near_duplicates")  # as selections were named from the first
        if self.sessions == "clip":
            del fields["sessions"]
        for name in ("labels", "kept_by_hand", "dropped_by_hand"):  # that were added later
            if getattr(self, name) in ((), LabelRules()):
                del fields[name]
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()

    @property
    def limited_columns(self) -> set[str]:
        """Every value that some clip's verdict depends on."""
        return {*self.limits}.union(*(rules.limits for rules in self.sources))

    @property
    def tag_columns(self) -> set[str]:
        """Every tag that some clip's verdict depends on."""
        return {*self.tags}.union(*(rules.tags for rules in self.sources))

    def with_rules(self, rules: SourceRules) -> Policy:
        """The policy with other bounds and categories where those name a value or a tag."""
        limits, tags = {**self.limits, **rules.limits}, {**self.tags, **rules.tags}
        return replace(self, limits=limits, tags=tags)

    def reasons(
        self,
        values: Mapping[str, npt.NDArray[np.float64]],
        categories: Mapping[str, pa.Array] | None = None,
    ) -> pa.Array:
        """For each clip the first bound or tag it breaks, or null; NaN and null break none.

        `values` has one array [n] for each value that the policy bounds, and at least one;
        `categories` one for every tag that it names. Rules for some sources and lists of clips are
        ignored here.
        """
        count = len(next(iter(values.values())))
        number = np.zeros(count, np.int16)
        names: list[str | None] = [None]

        def add(reason: str, is_broken: npt.NDArray[np.bool_]) -> None:
            names.append(reason)
            number[(number == 0) & is_broken] = len(names) - 1

        for name, limit in LIMITS.items():
            bounds = self.limits.get(name, Range())
            if bounds.min is not None:
                add(limit.low, values[name] < bounds.min)
            if bounds.max is not None:
                add(limit.high, values[name] > bounds.max)
        for name, rule in self.tags.items():
            add(TAGS[name].reason, rule.rejected((categories or {})[name]))
        return pa.array(names, pa.string()).take(pa.array(number))


def suggest(name: str, names: Collection[str], otherwise: str = "") -> str:
    """The end of a message about an unknown name: the nearest known one, or other words."""
    near = difflib.get_close_matches(name, names, 1)
    return f"; did you mean {near[0]!r}?" if near else otherwise


def _check_limits(limits: Mapping[str, Range]) -> None:
    for name, bounds in limits.items():
        if name not in LIMITS:
            raise PolicyError(f"policy: no value is called {name!r}{suggest(name, LIMITS)}")
        for side, reason in (("min", LIMITS[name].low), ("max", LIMITS[name].high)):
            bound = getattr(bounds, side)
            if bound is not None and not reason:
                raise PolicyError(f"policy: {name} takes no {side!r}")
            if bound is not None and math.isnan(bound):
                raise PolicyError(f"policy: {side!r} of {name} is not a number")
        if bounds.min is not None and bounds.max is not None and bounds.min > bounds.max:
            raise PolicyError(
                f"policy: {name} has min {bounds.min:g} above max {bounds.max:g}: "
                "nothing would be kept"
            )


def _check_tags(tags: Mapping[str, CategoryRule]) -> None:
    for name, rule in tags.items():
        _check_name("tag", name, TAGS)
        for category in (*(rule.allow or ()), *rule.deny):
            _check_name(f"word of {name}", category, TAGS[name].categories)
        _check_categories(name, rule)


def _check_name(kind: str, name: str, names: Collection[str]) -> None:
    if name not in names:
        hint = suggest(name, names, f"; there are {', '.join(names)}")
        raise PolicyError(f"policy: no {kind} is called {name!r}{hint}")


def _check_categories(name: str, rule: CategoryRule | LabelRules) -> None:
    if both := {*(rule.allow or ())} & {*rule.deny}:
        raise PolicyError(f"policy: {name} both allows and denies {sorted(both)[0]!r}")


def _check_threshold(name: str, threshold: float, floor: float) -> None:
    if not floor <= threshold <= 1:
        raise PolicyError(f"policy: {name} is {threshold}; pairs are known from {floor} to 1")
