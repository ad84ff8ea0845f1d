"""CPU seconds over clips, both logarithmic, as one SVG file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_WIDTH, _HEIGHT, _LEFT, _TOP = 420.0, 360.0, 50.0, 16.0
_COLOURS = ("#1f6f8b", "#b0413e", "#5b8c5a", "#8a6d3b", "#6a4c93", "#d17a22", "#444444", "#2a9d8f",
            "#c1666b", "#3d5a80", "#7f7f7f", "#9c6644")  # fmt: skip


def write_plot(
    path: Path, found: Mapping[int, Mapping[str, Any]], titles: Mapping[str, str]
) -> None:
    """Draws one line a command; `found` has its costs by clips and name."""
    sizes = sorted(found)
    seconds = [cost["cpu_s"] for costs in found.values() for cost in costs.values()]
    x_range = math.log10(sizes[0]), max(math.log10(sizes[-1]), math.log10(sizes[0]) + 1)
    y_range = math.floor(math.log10(min(seconds))), math.ceil(math.log10(max(seconds)))

    def point(size: float, value: float) -> str:
        x = (math.log10(size) - x_range[0]) / (x_range[1] - x_range[0])
        y = (math.log10(value) - y_range[0]) / (y_range[1] - y_range[0])
        return f"{_LEFT + x * _WIDTH:.1f},{_TOP + (1 - y) * _HEIGHT:.1f}"

    marks = [
        *(_tick(point(size, 10.0 ** y_range[0]), f"{size:,}", 0, 18, "middle") for size in sizes),
        *(_tick(point(sizes[0], 10.0**power), f"{10.0**power:g} s", -6, 4, "end")
          for power in range(y_range[0], y_range[1] + 1)),
    ]  # fmt: skip
    drawn = [name for name in titles if any(name in costs for costs in found.values())]
    for number, name in enumerate(drawn):
        colour = _COLOURS[number % len(_COLOURS)]
        points = [point(size, found[size][name]["cpu_s"]) for size in sizes if name in found[size]]
        marks.append(
            f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}"'
            ' stroke-width="2"/>'
        )
        y = _TOP + 14 + 18 * number
        x = _LEFT + _WIDTH + 16
        marks.append(f'<path d="M{x} {y - 4}h18" stroke="{colour}" stroke-width="3"/>')
        marks.append(f'<text x="{x + 24}" y="{y}">{titles[name].replace("`", "")}</text>')
    frame = (
        f'<rect x="{_LEFT}" y="{_TOP}" width="{_WIDTH}" height="{_HEIGHT}" fill="none"'
        ' stroke="#999"/>'
    )
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 740 410" font-family="sans-serif"'
        f' font-size="12"><title>CPU seconds over clips</title><rect width="740" height="410"'
        f' fill="#fff"/>{frame}{"".join(marks)}</svg>\n',
        encoding="utf-8",
    )


def _tick(point: str, text: str, right: float, down: float, anchor: str) -> str:
    x, y = (float(number) for number in point.split(","))
    return f'<text x="{x + right:.1f}" y="{y + down:.1f}" text-anchor="{anchor}">{text}</text>'
