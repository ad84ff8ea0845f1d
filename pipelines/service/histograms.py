"""Histograms of the values that a policy may bound, by verdict."""

from __future__ import annotations

from pydantic import BaseModel

from curation.select.policy import LIMITS, Range
from pipelines.report.histogram import bin_values
from pipelines.report.snapshot import OutputSnapshot

BINS = 40


class BoundsView(BaseModel):
    """Bounds on one value; either may be open."""

    min: float | None = None
    max: float | None = None


class VerdictCounts(BaseModel):
    """The clips of one verdict."""

    verdict: str
    """`kept`, `duplicate`, `filtered`, or `waiting` without a verdict."""
    counts: list[int]
    """Clips of each bin."""


class HistogramView(BaseModel):
    """One value over all clips."""

    name: str
    about: str
    low: float
    high: float
    """The ends of the axis."""
    step: float
    """From one tick to the next."""
    layers: list[VerdictCounts]
    measured: int
    missing: int
    median: float
    bounds: BoundsView
    """Of the newest selection's policy."""
    takes_min: bool
    takes_max: bool
    """Whether a policy may bound this side."""


def histograms(output: OutputSnapshot) -> list[HistogramView]:
    """One for each value that was measured on some clip, in the order of the rules."""
    limits = output.policy.limits if output.policy else {}
    result = []
    for name, limit in LIMITS.items():
        limited = limits.get(name, Range())
        bounds = BoundsView(min=limited.min, max=limited.max)
        on_axis = [bound for bound in (bounds.min, bounds.max) if bound is not None]
        binned = bin_values(output.by_verdict(name), BINS, on_axis)
        if binned is None:
            continue
        layers = [
            VerdictCounts(verdict=verdict, counts=counts.tolist())
            for verdict, counts in binned.counts.items()
            if counts.any()
        ]
        result.append(
            HistogramView(
                name=name, about=limit.about, low=binned.low, high=binned.high,
                step=binned.tick_step, layers=layers, measured=binned.measured,
                missing=binned.missing, median=binned.median, bounds=bounds,
                takes_min=bool(limit.low), takes_max=bool(limit.high),
            )
        )  # fmt: skip
    return result
