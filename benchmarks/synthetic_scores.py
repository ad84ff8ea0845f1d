"""Scores that spread as on real videos, for `synthetic.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curation import scores

_UNMEASURED = 0.005
"""Share of values that are null."""
Draw = Callable[[np.random.Generator, int], npt.NDArray[np.float64]]


def _beta(a: float, b: float, scale: float = 1.0) -> Draw:
    return lambda rng, n: scale * rng.beta(a, b, n)


def _normal(mean: float, deviation: float) -> Draw:
    return lambda rng, n: rng.normal(mean, deviation, n)


_SPREADS: dict[str, Draw] = {
    "black_share": _beta(0.4, 8),
    "white_share": _beta(0.3, 12),
    "brightness": _beta(5, 7),
    "contrast": _beta(4, 14),
    "still_share": _beta(0.3, 1.2),
    "longest_still_s": _beta(0.5, 6, 10),
    "motion": _beta(0.7, 4),
    "sharpness": _beta(4, 4),
    "bars": _beta(0.15, 6),
    "flicker": _beta(0.6, 60),
    "combing": _beta(0.1, 300),
    "blockiness": lambda rng, n: 1 + rng.gamma(2, 0.2, n),
    "loudness": _normal(-24, 8),
    "pan": _normal(0, 0.02),
    "tilt": _normal(0, 0.01),
    "zoom": _normal(0, 0.01),
    "roll": _normal(0, 0.5),
}
"""How a value spreads; those not named here spread over 0–1, mostly low."""


def score_columns(score: Any, count: int, rng: np.random.Generator) -> dict[str, pa.Array]:
    """The columns of so many rows of one score."""
    columns = {}
    for column in scores.columns(score):
        missing = rng.random(count) < _UNMEASURED
        if words := list(column.metadata.get("words") or ()):
            ranks = rng.geometric(0.5, count) - 1
            taken = pa.array(np.minimum(ranks, len(words) - 1))
            values = pa.array(words, pa.string()).take(taken)
            columns[column.name] = pa.array(values.to_numpy(zero_copy_only=False), mask=missing)
        else:
            drawn = _SPREADS.get(column.name, _beta(0.5, 5))(rng, count).round(5)
            columns[column.name] = pa.array(drawn, pa.float64(), mask=missing)
    return columns
