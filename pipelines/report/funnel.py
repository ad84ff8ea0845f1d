"""The funnel as geometry: rows of stacked bars, and how each row narrows into the next.

Widths are shares of the page, 0–100. The rows of clips share one scale, so that tokenized clips
compare with all clips. Inputs and clips are different units: the flow between those two rows has no
meaning.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace

from curation.steps import clip_steps
from pipelines.report.formatting import share, thousands
from pipelines.report.totals import FunnelCounts

_MIN_WIDTH = 0.4


@dataclass(frozen=True)
class FunnelPart:
    """One segment of a row."""

    label: str
    kind: str
    """Name of the colour in the style sheet."""
    number: int
    text: str
    """Count and share in words."""
    x: float
    width: float


@dataclass(frozen=True)
class FunnelRow:
    """One stage of the way."""

    title: str
    total: str
    parts: list[FunnelPart]
    legend: list[FunnelPart]
    """The parts, with all filter reasons in one."""
    flow: str
    """Points of the polygon from the row above, in a box of 100 × 10; may be empty."""
    alt: str
    empty: str = ""
    """A sentence where there is nothing yet."""
    command: str = ""
    """The command to run next."""


def draw(counts: FunnelCounts, is_selected: bool, tokens: str = "") -> list[FunnelRow]:
    """The rows from inputs to tokens; `tokens` is the number of the last row."""
    pending = len(counts.pending_places)
    inputs = [
        ("scanned", "scanned", counts.scanned),
        ("failed", "failed", counts.failed.total()),
        ("never scanned", "waiting", pending),
    ]
    rows = [_row("Inputs", counts.inputs + pending, inputs, 100.0, None)]
    if pending:
        sentence = f"{thousands(pending)} listed inputs were never scanned. To scan them, run"
        command = shlex.join(["reelmill", "scan", *sorted(set(counts.pending_places))])
        rows = [replace(rows[0], empty=sentence, command=f"{command} --out …")]
    if not is_selected:
        clips = [("found", "scanned", counts.clips)]
        sentence = "No selection yet. To decide which clips are worth keeping, run"
        return [
            *rows,
            _row("Clips", counts.clips, clips, 100.0, rows[-1]),
            FunnelRow("Kept", "–", [], [], "", "", sentence, "reelmill select"),
        ]
    clips = [
        ("kept", "kept", counts.kept),
        ("duplicates", "duplicate", counts.duplicates),
        *((reason, "filtered", number) for reason, number in counts.filtered.items()),
        ("newer than the selection", "waiting", counts.newer),
    ]
    rows.append(_row("Clips", counts.clips, clips, 100.0, rows[-1]))
    scale = 100.0 / max(1, counts.clips)
    for step in clip_steps():
        done = counts.steps[step.name].done
        failed = counts.steps[step.name].failed.total()
        reads_renders = step.kind == "tokens"
        total = counts.steps["render"].done if reads_renders else counts.kept
        parts = [
            (step.success, "kept", done),
            ("failed", "failed", failed),
            ("not yet", "waiting", max(0, total - done - failed)),
        ]
        row = _row(f"To {step.name}", total, parts, total * scale, rows[-1])
        if total and not done and not failed:
            sentence = f"None {step.success} yet. Next, run"
            row = replace(row, empty=sentence, command=f"reelmill {step.name}")
        if reads_renders and tokens and row.legend:
            row = replace(row, legend=[*row.legend, replace(row.parts[0], label="", text=tokens)])
        rows.append(row)
    return rows


def _row(
    title: str,
    total: int,
    numbers: list[tuple[str, str, int]],
    width: float,
    above: FunnelRow | None,
) -> FunnelRow:
    """A row of parts, given as label, kind and number."""
    scale = width / max(1, total)
    parts, x = [], 0.0
    for label, kind, number in numbers:
        if number:
            part_width = max(_MIN_WIDTH, number * scale)
            text = f"{thousands(number)} · {share(number, total)}"
            parts.append(FunnelPart(label, kind, number, text, round(x, 3), round(part_width, 3)))
            x += part_width
    alt = f"{title}: {thousands(total)}; " + ", ".join(f"{p.label} {p.text}" for p in parts)
    flow = ""
    if above is not None and above.parts and parts:
        flow = f"0,0 {above.parts[0].width:.2f},0 {min(100.0, x):.2f},10 0,10"
    legend = [part for part in parts if part.kind != "filtered"]
    if filtered := sum(part.number for part in parts if part.kind == "filtered"):
        text = f"{thousands(filtered)} · {share(filtered, total)}"
        legend.append(FunnelPart("filtered", "filtered", filtered, text, 0, 0))
    return FunnelRow(title, thousands(total), parts, legend, flow, alt)
