"""Histograms as geometry: where bars, bounds and ticks lie. The template makes inline SVG of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from curation.select.policy import Range
from pipelines.report.formatting import number, thousands
from pipelines.report.snapshot import Floats

WIDTH, HEIGHT = 320.0, 104.0
"""Size of the plotting area, in units of the picture."""
_BINS = 32
_LABEL_EDGE = 24.0


@dataclass(frozen=True)
class Layer:
    """Values of one kind; layers are stacked in their order."""

    kind: str
    """Name of the colour in the style sheet."""
    values: Floats


@dataclass(frozen=True)
class Bar:
    """One layer of one bin."""

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
class Histogram:
    """A finished picture."""

    name: str
    words: str
    bars: list[Bar]
    bounds: list[Bound]
    ticks: list[Tick]
    measured: int
    missing: int
    median: str
    alt: str
    """The picture in words."""
    width: float = WIDTH
    height: float = HEIGHT


def draw(
    name: str,
    words: str,
    layers: Sequence[Layer],
    limits: Range | None = None,
    span: Floats | None = None,
) -> Histogram | None:
    """A histogram of stacked layers, or None if nothing was measured.

    The axis holds the values, the bounds and, so that pictures can share one, all of `span`.
    """
    limits = limits or Range()
    everything = np.concatenate([layer.values for layer in layers])
    known = everything[np.isfinite(everything)]
    if not len(known):
        return None
    given = [bound for bound in (limits.min, limits.max) if bound is not None]
    held = np.concatenate([known, given, known[:0] if span is None else span])
    low, high, step = axis(held.min(), held.max())
    median = number(float(np.median(known)))
    alt = (
        f"Histogram of {name}: {thousands(len(known))} values from {number(float(known.min()))} to "
        f"{number(float(known.max()))}, median {median}."
    )
    if limits.min is not None:
        alt += f" Excluded below {number(limits.min)}."
    if limits.max is not None:
        alt += f" Excluded above {number(limits.max)}."
    return Histogram(
        name=name,
        words=words,
        bars=_bars(layers, low, high),
        bounds=_bounds(limits, low, high),
        ticks=_ticks(low, high, step),
        measured=len(known),
        missing=len(everything) - len(known),
        median=median,
        alt=alt,
    )


def axis(low: float, high: float) -> tuple[float, float, float]:
    """The axis that holds a range: its ends on round numbers, and the step between ticks."""
    low, high = float(low), float(high)
    if high - low < 1e-9 * max(1.0, abs(high)):
        pad = 0.5 * max(abs(high), 0.1)
        low, high = (low if low == 0 else low - pad), high + pad
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough)
    return math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step, step


def _bars(layers: Sequence[Layer], low: float, high: float) -> list[Bar]:
    edges = np.linspace(low, high, _BINS + 1)
    heights = [np.histogram(la.values[np.isfinite(la.values)], edges)[0] for la in layers]
    scale = HEIGHT / max(1, int(np.sum(heights, axis=0).max()))
    slot = WIDTH / _BINS
    bars = []
    for index in range(_BINS):
        floor = HEIGHT
        for layer, found in zip(layers, heights, strict=True):
            if clips := int(found[index]):
                tall = max(1.5, clips * scale)
                floor -= tall
                where = f"{number(edges[index])} to {number(edges[index + 1])}"
                title = f"{where}: {thousands(clips)} {layer.kind}"
                x, width = round(index * slot + 0.6, 2), round(slot - 1.2, 2)
                bars.append(Bar(layer.kind, x, round(floor, 2), width, round(tall, 2), title))
    return bars


def _bounds(limits: Range, low: float, high: float) -> list[Bound]:
    bounds = []
    for value, sign in ((limits.min, "≥"), (limits.max, "≤")):
        if value is not None:
            x = _place(value, low, high)
            shade = (0.0, x) if sign == "≥" else (x, WIDTH - x)
            label = f"{sign} {number(value)}"
            bounds.append(Bound(x, label, _anchor(x), round(shade[0], 2), round(shade[1], 2)))
    return bounds


def _ticks(low: float, high: float, step: float) -> list[Tick]:
    values = [low + step * index for index in range(round((high - low) / step) + 1)]
    places = [_place(value, low, high) for value in values]
    return [
        Tick(x, number(round(value, 9)), _anchor(x, 1))
        for x, value in zip(places, values, strict=True)
    ]


def _place(value: float, low: float, high: float) -> float:
    return round(WIDTH * (value - low) / (high - low), 2)


def _anchor(x: float, edge: float = _LABEL_EDGE) -> str:
    return "start" if x < edge else ("end" if x > WIDTH - edge else "middle")
