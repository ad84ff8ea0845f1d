"""Which clips are worth keeping: bounds on what was measured. Applying one needs no video.

A bound on a value that could not be measured (null) is not broken.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

import numpy as np
import numpy.typing as npt

from curation.dedup.floors import COPIES_FLOOR, SEMANTIC_FLOOR
from curation.reasons import CLIP_REASONS, DUPLICATE_REASONS
from curation.scores import SCORES, columns
from curation.select.tags import TAG_REASONS, TAGS, Words
from curation.select.tags import check as check_words


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


def _limits() -> tuple[dict[str, Limit], dict[str, str]]:
    """What a policy may bound, and the sentence for each reason; clip facts first, then scores."""
    sentences = {n: words for n, words in CLIP_REASONS.items() if n not in DUPLICATE_REASONS}
    known = [
        Limit("duration_s", "Length of the clip in seconds.", "too_short", "too_long"),
        Limit("short_side", "Pixels of the picture's short side.", "too_small", "too_large"),
        Limit("fps", "Frames a second.", "low_rate", "high_rate"),
    ]
    for score in SCORES.values():
        for column in columns(score):
            low, high = (column.metadata.get(side) for side in ("low", "high"))
            if low or high:
                names = [reason[0] if reason else "" for reason in (low, high)]
                known.append(Limit(column.name, column.metadata["about"], *names))
                sentences |= dict(reason for reason in (low, high) if reason)
    return {limit.column: limit for limit in known}, sentences | TAG_REASONS


LIMITS, FILTER_REASONS = _limits()
"""What a policy may bound, in the order in which reasons are given; and the closed list of reasons
for `filtered` with what each means."""


@dataclass(frozen=True)
class Range:
    """Bounds on one value; either may be left open."""

    min: float | None = None
    max: float | None = None


@dataclass(frozen=True)
class Semantic:
    """When clips show the same kind of scene, by an embedding that knows meaning."""

    embedding: str | None = None
    """A table `embeddings/<name>`; null compares no meaning."""
    similarity: float = 0.95
    """Cosine from which a clip is a duplicate of a better, kept one."""


@dataclass(frozen=True)
class LabelRules:
    """Which labels of `reelmill label` are wanted; a clip that has none of them breaks neither."""

    table: str | None = None
    """The table `labels/<name>`, or the beginning of its name; null where one alone has them."""
    allow: tuple[str, ...] | None = None
    """Only clips for which one of these holds, such as `hour/day` or `aesthetic`."""
    deny: tuple[str, ...] = ()
    """No clips for which one of these holds."""


@dataclass(frozen=True)
class SourceRules:
    """Other bounds and words for some sources; what is not named here stays as it is for all."""

    where: str
    """An SQL condition over the columns of `sources`, such as `uri LIKE '%dashcam%'`."""
    limits: dict[str, Range] = field(default_factory=dict)
    """Bounds by the value's name."""
    tags: dict[str, Words] = field(default_factory=dict)
    """Wanted words by the tag's name."""


@dataclass(frozen=True)
class Policy:
    """What is kept."""

    limits: dict[str, Range] = field(default_factory=dict)
    """Bounds by the value's name."""
    copies: float | None = 0.75
    """Clips that agree at least this well with a better, kept one are copies; null keeps them."""
    semantic: Semantic = field(default_factory=Semantic)
    """Clips of the same kind of scene."""
    tags: dict[str, Words] = field(default_factory=dict)
    """Wanted words by the tag's name."""
    sources: tuple[SourceRules, ...] = ()
    """Other bounds and words for some sources."""
    include: tuple[str, ...] = ()
    """Ids, or their beginnings, of clips that are kept whatever they break."""
    exclude: tuple[str, ...] = ()
    """The same of clips that are left out."""
    labels: LabelRules = field(default_factory=LabelRules)
    """Wanted labels."""

    def __post_init__(self) -> None:
        """Refuses unknown values and words, and bounds without a reason."""
        _check_limits(self.limits)
        check_words(self.tags)
        for own in self.sources:
            _check_limits(own.limits)
            check_words(own.tags)
        both = set(self.labels.allow or ()) & set(self.labels.deny)
        if both:
            raise ValueError(f"policy: labels both allows and denies {sorted(both)[0]!r}")
        for beginning in (*self.include, *self.exclude):
            if len(beginning) < _LEAST_DIGITS:
                raise ValueError(
                    f"policy: {beginning!r} names too many clips: write 4 digits or more"
                )
        if self.copies is not None:
            _check_threshold("copies", self.copies, COPIES_FLOOR)
        _check_threshold("semantic.similarity", self.semantic.similarity, SEMANTIC_FLOOR)

    @property
    def digest(self) -> str:
        """Names the policy by its content."""
        said = asdict(self)
        if self.labels == LabelRules():  # a policy without labels is named as before there were any
            del said["labels"]
        text = json.dumps(said, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def bounded(self) -> set[str]:
        """Every value that some clip's verdict depends on."""
        return {*self.limits}.union(*(own.limits for own in self.sources))

    @property
    def worded(self) -> set[str]:
        """Every tag that some clip's verdict depends on."""
        return {*self.tags}.union(*(own.tags for own in self.sources))

    def with_rules(self, own: SourceRules) -> Policy:
        """The policy with other bounds and words where those name a value or a tag."""
        limits, tags = {**self.limits, **own.limits}, {**self.tags, **own.tags}
        return replace(self, limits=limits, tags=tags)

    def reasons(
        self,
        values: Mapping[str, npt.NDArray[np.float64]],
        words: Mapping[str, npt.NDArray[np.object_]] | None = None,
    ) -> list[str | None]:
        """For each clip the first bound or tag it breaks, or None; NaN and None break none.

        `values` has one array [n] for every name in `LIMITS`, `words` one for every tag that the
        policy speaks of. Rules for some sources and lists of clips do not count here.
        """
        count = len(next(iter(values.values())))
        found = np.full(count, None, object)
        for name, limit in LIMITS.items():
            bounds = self.limits.get(name, Range())
            with np.errstate(invalid="ignore"):
                if bounds.min is not None:
                    found[(found == None) & (values[name] < bounds.min)] = limit.low  # noqa: E711
                if bounds.max is not None:
                    found[(found == None) & (values[name] > bounds.max)] = limit.high  # noqa: E711
        for name, wanted in self.tags.items():
            unwanted = [wanted.unwanted(word) for word in (words or {})[name]]
            found[(found == None) & np.array(unwanted, bool)] = TAGS[name].reason  # noqa: E711
        return list(found)


def _check_limits(limits: Mapping[str, Range]) -> None:
    for name, bounds in limits.items():
        if name not in LIMITS:
            near = difflib.get_close_matches(name, LIMITS, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"policy: no value is called {name!r}{hint}")
        for side, reason in (("min", LIMITS[name].low), ("max", LIMITS[name].high)):
            bound = getattr(bounds, side)
            if bound is not None and not reason:
                raise ValueError(f"policy: {name} takes no {side!r}")
            if bound is not None and math.isnan(bound):
                raise ValueError(f"policy: {side!r} of {name} is not a number")
        if None not in (bounds.min, bounds.max) and bounds.min > bounds.max:  # type: ignore[operator]
            raise ValueError(
                f"policy: {name} has min {bounds.min:g} above max {bounds.max:g}: "
                "nothing would be kept"
            )


def _check_threshold(name: str, threshold: float, floor: float) -> None:
    if not floor <= threshold <= 1:
        raise ValueError(f"policy: {name} is {threshold}; pairs are known from {floor} to 1")


_LEAST_DIGITS = 4
