"""`reelmill pending`: inputs that were listed and never watched."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer
from rich.markup import escape

from curation import inputs
from pipelines.cli import show

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
    catalog = show.opened(out).catalog
    rows = inputs.pending(catalog)
    if not rows.num_rows:
        show.console.print("every listed input has an outcome")
    else:
        done = "were taken off the list" if withdraw else "were listed and never watched"
        show.console.print(f"{rows.num_rows:,} inputs {done}:")
        shown = rows.num_rows if everything else _MOST_SHOWN
        for uri in rows["uri"].slice(0, shown).to_pylist():
            show.console.print(f"  {escape(uri)}")
        if rows.num_rows > shown:
            show.console.print(f"  and {rows.num_rows - shown:,} more: --all")
        if withdraw:
            inputs.withdraw(catalog, rows)
        else:
            places = sorted(set(rows["place"].to_pylist()))
            words = shlex.join(["reelmill", "scan", *places, "--out", out])
            show.console.print(f"go on:  {escape(words)}  (or curate; with the options of before)")
    for place, counts in inputs.passed_over(catalog).items():
        if counts:
            show.console.print(
                f"passed over in {escape(place)}: {escape(show.passed_over(counts))}"
            )
