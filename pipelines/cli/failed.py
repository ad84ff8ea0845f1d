"""`reelmill failed`: what failed, why, and what to do about it."""

from __future__ import annotations

import shlex
from collections import Counter
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.compute as pc
import typer

from curation.failures import failures
from curation.reasons import ADVICE, INPUT_REASONS
from curation.steps import STEPS
from pipelines.cli import terminal
from pipelines.cli.exit import UsageError
from pipelines.cli.options import Out
from pipelines.cli.places import open_output
from pipelines.cli.rows import Column, Row, print_rows, short_id, shorten
from pipelines.cli.terminal import count, escape

_FIRST = 5
_MAX_DETAIL = 90


def failed(
    out: Out,
    reason: Annotated[
        list[str] | None, typer.Option(help="Only this reason. May be given again.")
    ] = None,
    step: Annotated[str | None, typer.Option(help="Only this step, such as scan.")] = None,
) -> None:
    """Prints the failures of the newest selection and its current tables."""
    if unknown := set(reason or ()) - INPUT_REASONS.keys():
        raise UsageError(f"--reason {min(unknown)}: the reasons are {', '.join(INPUT_REASONS)}")
    names = [info.name for info in STEPS.values() if info.name != "select"]
    if step is not None and step not in names:
        raise UsageError(f"--step {step}: the steps are {', '.join(names)}")
    dataset = open_output(out)
    rows = failures(dataset, dataset.latest_selection())
    if reason:
        rows = rows.filter(pc.is_in(rows["reason"], pa.array(reason)))
    if step:
        rows = rows.filter(pc.equal(rows["step"], step))
    print_rows(_with_advice(rows), _COLUMNS, empty="nothing failed")


def print_failures(rows: pa.Table, out: str) -> None:
    """Prints how many failed for which reason, the first of them, and where the others are."""
    if terminal.output.json_lines:
        print_rows(_with_advice(rows), _COLUMNS)
        return
    counts = Counter(rows["reason"].to_pylist())
    total = f"{count(rows.num_rows, 'input')} failed"
    terminal.console.print(f"[yellow]{total}[/]: {terminal.format_counts(counts)}")
    shown = rows.num_rows if terminal.output.verbose else _FIRST
    for row in rows.slice(0, shown).to_pylist():
        detail = shorten(row["detail"], _MAX_DETAIL)
        terminal.console.print(escape(f"  {_place(row)}: {row['reason']}: {detail}".rstrip(": ")))
    if rows.num_rows > shown:
        terminal.console.print(f"  and {rows.num_rows - shown:,} more")
    terminal.console.print(f"why, and what to do: reelmill failed {escape(shlex.quote(out))}")


def _with_advice(rows: pa.Table) -> list[dict[str, Any]]:
    return [
        {
            "kind": "failure",
            **row,
            "meaning": INPUT_REASONS[row["reason"]],
            "advice": ADVICE[row["reason"]],
        }
        | {"place": _place(row)}
        for row in rows.to_pylist()
    ]


def _place(row: Row) -> str:
    """The source, and the span and id of a clip."""
    if row["clip_id"] is None:
        return str(row["uri"])
    return f"{row['uri']} {row['start_s']:.2f}–{row['end_s']:.2f} s ({short_id(row['clip_id'])})"


_COLUMNS = (
    Column("step"),
    Column("place", "input"),
    Column("reason", style=lambda _: "yellow"),
    Column("detail", show=lambda text: shorten(text, _MAX_DETAIL)),
    Column("advice", "what to do"),
)
