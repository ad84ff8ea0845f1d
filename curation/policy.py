"""Which clips are worth keeping: bounds on what was measured. Applying one needs no video.

A bound on a value that could not be measured (null) is not broken.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import numpy as np
import numpy.typing as npt

from curation.reasons import CLIP_REASONS
from curation.scores import SCORES, columns


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
    sentences = {name: words for name, words in CLIP_REASONS.items() if name != "near_duplicate"}
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
    return {limit.column: limit for limit in known}, sentences


LIMITS, FILTER_REASONS = _limits()
"""What a policy may bound, in the order in which reasons are given; and the closed list of reasons
for `filtered` with what each means."""


@dataclass(frozen=True)
class Range:
    """Bounds on one value; either may be left open."""

    min: float | None = None
    max: float | None = None


@dataclass(frozen=True)
class Policy:
    """What is kept."""

    limits: dict[str, Range] = field(default_factory=dict)
    """Bounds by the value's name."""
    similarity: float | None = 0.8
    """Clips at least this similar to a better, kept one are near-duplicates; null keeps them."""

    def __post_init__(self) -> None:
        """Refuses unknown values and bounds without a reason."""
        for name, bounds in self.limits.items():
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
        if self.similarity is not None and not SIMILARITY_FLOOR <= self.similarity <= 1:
            raise ValueError(
                f"policy: similarity is {self.similarity}; pairs are known from "
                f"{SIMILARITY_FLOOR} to 1"
            )

    @property
    def digest(self) -> str:
        """Names the policy by its content."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def reasons(self, values: Mapping[str, npt.NDArray[np.float64]]) -> list[str | None]:
        """For each clip the first bound it breaks, or None; NaN breaks none.

        `values` has one array [n] for every name in `LIMITS`.
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
        return list(found)


SIMILARITY_FLOOR = 0.7
"""Pairs of clips less similar than this are not stored."""
