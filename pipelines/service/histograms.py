"""How the values that a policy may bound are spread over clips, by verdict, as counts."""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel

from curation.select.policy import LIMITS
from pipelines.report.histogram import axis
from pipelines.report.snapshot import Floats, Output

BINS = 40
_VERDICTS = ("kept", "duplicate", "filtered")


class Bounds(BaseModel):
    """Bounds on one value; either may be open."""

    min: float | None = None
    max: float | None = None


class Layer(BaseModel):
    """The clips of one verdict."""

    verdict: str
    """`kept`, `duplicate`, `filtered`, or `waiting` without a verdict."""
    counts: list[int]
    """Clips of each bin."""


class Histogram(BaseModel):
    """One value over all clips."""

    name: str
    about: str
    low: float
    high: float
    """Where the axis begins and ends."""
    step: float
    """From one tick to the next."""
    layers: list[Layer]
    measured: int
    missing: int
    median: float
    bounds: Bounds
    """Those of the newest selection's policy."""
    takes_min: bool
    takes_max: bool
    """Whether a policy may bound this side."""


def histograms(output: Output) -> list[Histogram]:
    """One for each value that was measured on some clip, in the order of the rules."""
    found = []
    for name in LIMITS:
        values = output.values[name]
        known = values[np.isfinite(values)]
        if len(known):
            found.append(_histogram(output, name, values, known))
    return found


def _histogram(output: Output, name: str, values: Floats, known: Floats) -> Histogram:
    limits = output.policy.limits if output.policy else {}
    bounds = limits.get(name)
    given = [b for b in (bounds.min, bounds.max) if b is not None] if bounds else []
    held = np.concatenate([known, given])
    low, high, step = axis(float(held.min()), float(held.max()))
    limit = LIMITS[name]
    return Histogram(
        name=name, about=limit.about, low=low, high=high, step=step,
        layers=_layers(output, values, np.linspace(low, high, BINS + 1)),
        measured=len(known), missing=len(values) - len(known), median=float(np.median(known)),
        bounds=Bounds(min=bounds.min, max=bounds.max) if bounds else Bounds(),
        takes_min=bool(limit.low), takes_max=bool(limit.high),
    )  # fmt: skip


def _layers(output: Output, values: Floats, edges: Floats) -> list[Layer]:
    masks = {verdict: output.verdicts == verdict for verdict in _VERDICTS}
    masks["waiting"] = np.array([verdict is None for verdict in output.verdicts], bool)
    layers = []
    for verdict, mask in masks.items():
        own = values[mask]
        counts, _ = np.histogram(own[np.isfinite(own)], edges)
        if counts.any():
            layers.append(Layer(verdict=verdict, counts=counts.tolist()))
    return layers
