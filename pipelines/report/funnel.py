"""The funnel as geometry: rows of stacked bars, and how each row narrows into the next.

Widths are shares of the page, 0–100. Within the rows of clips they are to one scale, so that what
is tokenized can be read against what there was. Inputs and clips are different things: between
those two rows the flow widens or narrows without meaning.
"""

from __future__ import annotations

import shlex
from collections import Counter
from dataclasses import dataclass, replace

from pipelines.report.formatting import share, thousands
from pipelines.report.totals import Counts

_THINNEST = 0.4


@dataclass(frozen=True)
class Part:
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
class Row:
    """One stage of the way."""

    title: str
    total: str
    parts: list[Part]
    legend: list[Part]
    """The parts, with all filter reasons in one."""
    flow: str
    """Points of the polygon that leads from the row above, in a box of 100 × 10; may be empty."""
    alt: str
    empty: str = ""
    """What to say where there is nothing yet."""
    command: str = ""
    """What to run next."""


def draw(counts: Counts, selected: bool, tokens: str = "") -> list[Row]:
    """The rows from inputs to tokens; `tokens` says in words what the last row has made."""
    failed = sum(counts.failed.values())
    waiting = len(counts.unwatched)
    scanned = [("scanned", "scanned", counts.scanned), ("failed", "failed", failed)]
    scanned.append(("never watched", "waiting", waiting))
    rows = [_row("Inputs", counts.inputs + waiting, scanned, 100.0, None)]
    if waiting:
        words = f"{thousands(waiting)} listed inputs were never watched. To go on, run"
        command = shlex.join(["reelmill", "scan", *sorted(set(counts.unwatched))])
        rows = [replace(rows[0], empty=words, command=f"{command} --out …")]
    clips: list[tuple[str, str, int]] = [("found", "scanned", counts.clips)]
    if selected:
        clips = [("kept", "kept", counts.kept), ("duplicates", "duplicate", counts.duplicates)]
        clips += [(reason, "filtered", n) for reason, n in counts.filtered.items()]
        clips.append(("newer than the selection", "waiting", counts.newer))
    rows.append(_row("Clips", counts.clips, clips, 100.0, rows[-1]))
    if not selected:
        empty = "No selection yet. To decide which clips are worth keeping, run"
        return [*rows, Row("Kept", "–", [], [], "", "", empty, "reelmill select")]
    scale = 100.0 / max(1, counts.clips)
    wanted = [
        ("Kept", counts.kept, counts.rendered, counts.render_failed, "rendered", "render"),
        ("Rendered", counts.rendered, counts.tokenized, counts.token_failed, "tokenized",
         "tokenize"),
    ]  # fmt: skip
    for title, whole, done, wrong, word, step in wanted:
        parts = _done(whole, done, wrong, word)
        row = _row(title, whole, parts, whole * scale, rows[-1])
        if whole and not done and not wrong:
            row = replace(row, empty=f"None {word} yet. Next, run", command=f"reelmill {step}")
        rows.append(row)
    if counts.tokenized:
        done_parts = [("tokenized", "tokens", counts.tokenized)]
        width = counts.tokenized * scale
        last = _row("Tokenized", counts.tokenized, done_parts, width, rows[-1])
        rows.append(replace(last, legend=[replace(last.parts[0], label="", text=tokens)]))
    return rows


def _done(whole: int, done: int, wrong: Counter[str], word: str) -> list[tuple[str, str, int]]:
    failed = sum(wrong.values())
    waiting = max(0, whole - done - failed)
    return [(word, word, done), ("failed", "failed", failed), ("not yet", "waiting", waiting)]


def _row(
    title: str,
    total: int,
    wanted: list[tuple[str, str, int]],
    width: float,
    above: Row | None,
) -> Row:
    there = [part for part in wanted if part[2]]
    scale = width / max(1, total)
    parts, x = [], 0.0
    for label, kind, number in there:
        wide = max(_THINNEST, number * scale)
        text = f"{thousands(number)} · {share(number, total)}"
        parts.append(Part(label, kind, number, text, round(x, 3), round(wide, 3)))
        x += wide
    alt = f"{title}: {thousands(total)}; " + ", ".join(f"{p.label} {p.text}" for p in parts)
    flow = ""
    if above is not None and above.parts and parts:
        flow = f"0,0 {above.parts[0].width:.2f},0 {min(100.0, x):.2f},10 0,10"
    return Row(title, thousands(total), parts, _legend(parts, total), flow, alt)


def _legend(parts: list[Part], total: int) -> list[Part]:
    left_out = sum(part.number for part in parts if part.kind == "filtered")
    legend = [part for part in parts if part.kind != "filtered"]
    if left_out:
        text = f"{thousands(left_out)} · {share(left_out, total)}"
        legend.append(Part("filtered", "filtered", left_out, text, 0, 0))
    return legend
