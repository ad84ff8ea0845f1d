"""`reelmill pending`: inputs that were listed and never watched."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer
from rich.markup import escape

from curation import pending_inputs
from pipelines.cli import terminal

_MOST_SHOWN = 20


def pending(
    out: Annotated[str, typer.Argument(help="The output folder or s3:// address.")],
    everything: Annotated[bool, typer.Option("--all", help="List all, not the first 20.")] = False,
    withdraw: Annotated[
        bool,
        typer.Option("--withdraw", help="Take them off the list: they are not wanted any more."),
    ] = False,
) -> None:
    """List the inputs that were listed and never watched, and the command that goes on."""
    catalog = terminal.opened(out).catalog
    rows = pending_inputs.pending(catalog)
    if not rows.num_rows:
        terminal.console.print("every listed input has an outcome")
    else:
        done = "were taken off the list" if withdraw else "were listed and never watched"
        terminal.console.print(f"{rows.num_rows:,} inputs {done}:")
        shown = rows.num_rows if everything else _MOST_SHOWN
        for uri in rows["uri"].slice(0, shown).to_pylist():
            terminal.console.print(f"  {escape(uri)}")
        if rows.num_rows > shown:
            terminal.console.print(f"  and {rows.num_rows - shown:,} more: --all")
        if withdraw:
            pending_inputs.withdraw(catalog, rows)
        else:
            places = sorted(set(rows["place"].to_pylist()))
            words = shlex.join(["reelmill", "scan", *places, "--out", out])
            terminal.console.print(
                f"go on:  {escape(words)}  (or curate; with the options of before)"
            )
    for place, counts in pending_inputs.passed_over(catalog).items():
        if counts:
            terminal.console.print(
                f"passed over in {escape(place)}: {escape(terminal.passed_over(counts))}"
            )
