"""The curves of a training run as one SVG file: loss, and what both heads keep."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

from pipelines.report.formatting import number
from pipelines.report.histogram import axis

_WIDTH, _HEIGHT = 360.0, 160.0
"""Size of a panel's plotting area, in units of the picture."""


@dataclass(frozen=True)
class Line:
    """One curve."""

    name: str
    colour: str
    path: str
    """An SVG path."""
    end_y: float
    """Where the curve ends, for its name."""
    last: str
    """Its last value."""


@dataclass(frozen=True)
class Panel:
    """One set of axes."""

    title: str
    lines: list[Line]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    width: float = _WIDTH
    height: float = _HEIGHT


def draw_curves(log: Path, picture: Path) -> None:
    """Draws the CSV that training writes."""
    with log.open(newline="") as file:
        rows = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    panels = [
        _panel("Loss", rows, {"loss": ("training", "#8a6d3b")}),
        _panel(
            "PSNR of validation crops, dB",
            rows,
            {"psnr_latents_db": ("latents", "#1f6f8b"), "psnr_codes_db": ("codes", "#b0413e")},
        ),
    ]
    here = jinja2.Environment(
        loader=jinja2.PackageLoader("pipelines", "report"), autoescape=True, trim_blocks=True
    )
    drawn = [panel for panel in panels if panel is not None]
    picture.write_text(here.get_template("curves.svg").render(panels=drawn))


def _panel(
    title: str, rows: Sequence[dict[str, float]], curves: dict[str, tuple[str, str]]
) -> Panel | None:
    values = [row[key] for row in rows for key in curves if math.isfinite(row[key])]
    if not values:
        return None
    low, high, y_step = axis(min(values), max(values))
    _, last, x_step = axis(0, rows[-1]["step"])

    def place(step: float, value: float) -> tuple[float, float]:
        return step / last * _WIDTH, (high - value) / (high - low) * _HEIGHT

    lines = []
    for key, (name, colour) in curves.items():
        points = [place(row["step"], row[key]) for row in rows if math.isfinite(row[key])]
        path = "M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        lines.append(Line(name, colour, path, points[-1][1], number(rows[-1][key])))
    return Panel(
        title,
        lines,
        [(place(step, low)[0], number(step)) for step in _steps(0, last, x_step)],
        [(place(0, value)[1], number(value)) for value in _steps(low, high, y_step)],
    )


def _steps(low: float, high: float, step: float) -> list[float]:
    return [low + place * step for place in range(round((high - low) / step) + 1)]
