"""The curves of a training run as one SVG file: loss, and PSNR of both heads."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.report.formatting import number
from pipelines.report.histogram import rounded_axis, tick_values
from pipelines.report.templates import template

_WIDTH, _HEIGHT = 360.0, 160.0
"""Size of a panel's plotting area, in units of the picture."""


@dataclass(frozen=True)
class Curve:
    """One curve, with its label at the right end."""

    name: str
    colour: str
    path: str
    """An SVG path."""
    end_y: float
    last_value: str


@dataclass(frozen=True)
class Panel:
    """One set of axes."""

    title: str
    curves: list[Curve]
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
    drawn = [panel for panel in panels if panel is not None]
    picture.write_text(template("curves.svg").render(panels=drawn), encoding="utf-8")


def _panel(
    title: str, rows: Sequence[dict[str, float]], columns: dict[str, tuple[str, str]]
) -> Panel | None:
    """Curves of some columns, given with their names and colours; None without a finite value."""
    values = [row[key] for row in rows for key in columns if math.isfinite(row[key])]
    if not values:
        return None
    low, high, y_step = rounded_axis(min(values), max(values))
    _, last_step, x_step = rounded_axis(0, rows[-1]["step"])

    def x_position(step: float) -> float:
        return step / last_step * _WIDTH

    def y_position(value: float) -> float:
        return (high - value) / (high - low) * _HEIGHT

    curves = []
    for key, (name, colour) in columns.items():
        finite = [row for row in rows if math.isfinite(row[key])]
        points = [(x_position(row["step"]), y_position(row[key])) for row in finite]
        path = "M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        curves.append(Curve(name, colour, path, points[-1][1], number(rows[-1][key])))
    return Panel(
        title,
        curves,
        [(x_position(step), number(step)) for step in tick_values(0, last_step, x_step)],
        [(y_position(value), number(value)) for value in tick_values(low, high, y_step)],
    )
