"""Histograms: values in equal bins, and the geometry from which the template makes inline SVG."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from curation.select.policy import Range
from pipelines.report.formatting import number, thousands
from pipelines.report.snapshot import Float64s

WIDTH, HEIGHT = 320.0, 104.0
"""Size of the plotting area, in units of the picture."""
_NUM_BINS = 32
_LABEL_EDGE = 24.0


@dataclass(frozen=True)
class BinnedValues:
    """Counts of one value in equal bins, over an axis that ends on round numbers."""

    edges: Float64s
    """Of the bins [bins + 1]."""
    tick_step: float
    counts: dict[str, npt.NDArray[np.int64]]
    """By series [bins]; values that are not finite do not count."""
    measured: int
    missing: int
    minimum: float
    maximum: float
    median: float

    @property
    def low(self) -> float:
        """Where the axis begins."""
        return float(self.edges[0])

    @property
    def high(self) -> float:
        """Where the axis ends."""
        return float(self.edges[-1])


def bin_values(
    series: Mapping[str, Float64s], num_bins: int, include: Iterable[float] = ()
) -> BinnedValues | None:
    """Bins all series over one axis that also holds `include`; None if nothing was measured."""
    values = np.concatenate(list(series.values()))
    finite = values[np.isfinite(values)]
    if not len(finite):
        return None
    axis_values = np.concatenate([finite, np.fromiter(include, np.float64)])
    low, high, tick_step = rounded_axis(axis_values.min(), axis_values.max())
    edges = np.linspace(low, high, num_bins + 1)
    return BinnedValues(
        edges=edges,
        tick_step=tick_step,
        counts={
            name: np.histogram(v[np.isfinite(v)], num_bins, (low, high))[0]
            for name, v in series.items()
        },
        measured=len(finite),
        missing=len(values) - len(finite),
        minimum=float(finite.min()),
        maximum=float(finite.max()),
        median=float(np.median(finite)),
    )


@dataclass(frozen=True)
class Bar:
    """One series of one bin."""

    kind: str
    x: float
    y: float
    width: float
    height: float
    title: str


@dataclass(frozen=True)
class Bound:
    """A line at a bound, and the side that it excludes."""

    x: float
    label: str
    anchor: str
    """Where the label's text starts from: `start`, `middle` or `end`."""
    shade_x: float
    shade_width: float


@dataclass(frozen=True)
class Tick:
    """A number on the axis."""

    x: float
    label: str
    anchor: str


@dataclass(frozen=True)
class HistogramPlot:
    """The geometry of one histogram."""

    name: str
    about: str
    bars: list[Bar]
    bounds: list[Bound]
    ticks: list[Tick]
    measured: int
    missing: int
    median: str
    alt: str
    """The picture in words."""
    is_relevant: bool
    """Whether a bound excludes a value."""
    width: float = WIDTH
    height: float = HEIGHT


def plot_histogram(
    name: str,
    about: str,
    series: Mapping[str, Float64s],
    limits: Range | None = None,
    include: Iterable[float] = (),
) -> HistogramPlot | None:
    """Stacks the series, each named as its colour; None if nothing was measured.

    The axis holds the values, the limits and, so that pictures can share one, all of `include`.
    """
    limits = limits or Range()
    bounds = [bound for bound in (limits.min, limits.max) if bound is not None]
    binned = bin_values(series, _NUM_BINS, [*bounds, *include])
    if binned is None:
        return None
    low, high = binned.low, binned.high
    ticks = []
    for value in tick_values(low, high, binned.tick_step):
        x = _x_position(value, low, high)
        ticks.append(Tick(x, number(round(value, 9)), _anchor(x, 1)))
    median = number(binned.median)
    alt = (
        f"Histogram of {name}: {thousands(binned.measured)} values from {number(binned.minimum)} to"
        f" {number(binned.maximum)}, median {median}."
    )
    if limits.min is not None:
        alt += f" Excluded below {number(limits.min)}."
    if limits.max is not None:
        alt += f" Excluded above {number(limits.max)}."
    return HistogramPlot(
        name=name,
        about=about,
        bars=_bars(binned),
        bounds=_bounds(limits, low, high),
        ticks=ticks,
        measured=binned.measured,
        missing=binned.missing,
        median=median,
        alt=alt,
        is_relevant=(limits.min is not None and binned.minimum < limits.min)
        or (limits.max is not None and binned.maximum > limits.max),
    )


def rounded_axis(low: float, high: float) -> tuple[float, float, float]:
    """The axis that holds a range: its ends on round numbers, and the step between ticks."""
    low, high = float(low), float(high)
    if high - low < 1e-9 * max(1.0, abs(high)):
        pad = 0.5 * max(abs(high), 0.1)
        low, high = (low if low == 0 else low - pad), high + pad
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough)
    return math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step, step


def tick_values(low: float, high: float, step: float) -> list[float]:
    """The values from one end of an axis to the other."""
    return [low + index * step for index in range(round((high - low) / step) + 1)]


def _bars(binned: BinnedValues) -> list[Bar]:
    scale = HEIGHT / max(1, int(np.sum(list(binned.counts.values()), axis=0).max()))
    slot = WIDTH / _NUM_BINS
    width = round(slot - 1.2, 2)
    bars = []
    for index in range(_NUM_BINS):
        top = HEIGHT
        interval = f"{number(binned.edges[index])} to {number(binned.edges[index + 1])}"
        for kind, counts in binned.counts.items():
            if count := int(counts[index]):
                height = max(1.5, count * scale)
                top -= height
                title = f"{interval}: {thousands(count)} {kind}"
                x = round(index * slot + 0.6, 2)
                bars.append(Bar(kind, x, round(top, 2), width, round(height, 2), title))
    return bars


def _bounds(limits: Range, low: float, high: float) -> list[Bound]:
    bounds = []
    for value, sign in ((limits.min, "≥"), (limits.max, "≤")):
        if value is not None:
            x = _x_position(value, low, high)
            shade_x, shade_width = (0.0, x) if sign == "≥" else (x, round(WIDTH - x, 2))
            label = f"{sign} {number(value)}"
            bounds.append(Bound(x, label, _anchor(x, _LABEL_EDGE), shade_x, shade_width))
    return bounds


def _x_position(value: float, low: float, high: float) -> float:
    return round(WIDTH * (value - low) / (high - low), 2)


def _anchor(x: float, edge: float) -> str:
    return "start" if x < edge else ("end" if x > WIDTH - edge else "middle")
