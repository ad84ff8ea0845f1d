"""`reelmill verify`: the invariants of an output."""

from __future__ import annotations

import typer

from pipelines.cli import terminal
from pipelines.cli.options import Out
from pipelines.cli.places import open_output
from pipelines.cli.rows import Column, Row, print_line, print_rows
from pipelines.cli.terminal import escape
from pipelines.verify import verify as verify_output

_MAX_VIOLATIONS = 20


def verify(out: Out) -> None:
    """Prints one line for each invariant, and then the violations."""
    checked = verify_output(open_output(out))
    print_rows(
        [
            {
                "invariant": result.statement, "holds": result.holds, "checked": result.checked,
                "violations": result.violations,
            }
            for result in checked
        ],
        _COLUMNS, header=False,
    )  # fmt: skip
    for result in checked:
        if not result.holds:
            print_line(f"[red]broken[/]: {escape(result.statement)}")
        shown = len(result.violations) if terminal.output.verbose else _MAX_VIOLATIONS
        for violation in result.violations[:shown]:
            print_line(f"  {escape(violation)}")
        if len(result.violations) > shown:
            terminal.console.print(f"  and {len(result.violations) - shown:,} more: --verbose")
    if not all(result.holds for result in checked):
        raise typer.Exit(1)


def _colour(row: Row) -> str:
    return "green" if row["holds"] else "red"


_COLUMNS = (
    Column("holds", show=lambda holds: "holds" if holds else "broken", style=_colour),
    Column("invariant"),
    Column("checked", show=lambda number: f"{number:,} checked"),
)
