"""Which clips are worth keeping: bounds on what was measured. Applying one needs no video.

A bound on a value that could not be measured (null) is not broken.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import numpy as np
import numpy.typing as npt

from curation.reasons import CLIP_REASONS
from curation.scores import SCORES, columns


@dataclass(frozen=True)
class Range:
    """Bounds on one value; either may be left open."""

    min: float | None = None
    max: float | None = None


@dataclass(frozen=True)
class Limit:
    """One value that a policy may bound, and the reasons for breaking the bounds."""

    column: str
    low: str
    high: str
    words: str


def _limits() -> dict[str, Limit]:
    known = [
        Limit("duration_s", "too_short", "too_long", "Length of the clip in seconds."),
        Limit("short_side", "too_small", "too_large", "Pixels of the picture's short side."),
        Limit("fps", "low_rate", "high_rate", "Frames a second."),
    ]
    for score in SCORES.values():
        for column in columns(score):
            meta = column.metadata
            if meta.get("low") or meta.get("high"):
                low, high = meta["low"], meta["high"]
                known.append(Limit(column.name, low, high, meta["words"]))
    return {limit.column: limit for limit in known}


LIMITS: dict[str, Limit] = _limits()
"""What a policy may bound, in the order in which reasons are given."""

FILTER_REASONS: dict[str, str] = {
    reason: CLIP_REASONS.get(reason, limit.words)
    for limit in LIMITS.values()
    for reason in (limit.low, limit.high)
    if reason
}
"""The closed list of reasons for `filtered`, and what each means."""


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
                if getattr(bounds, side) is not None and not reason:
                    raise ValueError(f"policy: {name} takes no {side!r}")
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
