"""`reelmill pending`: inputs that were listed and never scanned."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Annotated

import typer

from curation import pending_inputs
from curation.listing import LINKED, NO_ENDING, OTHER
from pipelines.cli import terminal
from pipelines.cli.options import Out
from pipelines.cli.places import open_output
from pipelines.cli.rows import Column, print_line, print_rows
from pipelines.cli.terminal import count, escape

_MAX_ROWS = 20
_KIND_NAMES = {
    NO_ENDING: "without an ending",
    OTHER: "with other endings",
    LINKED: "linked folders (name one as an input to scan it)",
}


def pending(
    out: Out,
    show_all: Annotated[
        bool, typer.Option("--all", help="List all of them, not only the first 20.")
    ] = False,
    withdraw: Annotated[
        bool,
        typer.Option("--withdraw", help="Remove them from the list."),
    ] = False,
) -> None:
    """Prints the pending inputs, and what the listing skipped."""
    catalog = open_output(out).catalog
    rows = pending_inputs.pending_inputs(catalog)
    if withdraw:  # before anything is printed: whoever reads the list may stop
        pending_inputs.withdraw(catalog, rows)
    state = "removed from the list" if withdraw else "listed and never scanned"
    is_cut = rows.num_rows > _MAX_ROWS and not (show_all or terminal.output.json_lines)
    if rows.num_rows:
        print_line(f"{count(rows.num_rows, 'input')} {state}:")
    print_rows(
        rows.slice(0, _MAX_ROWS if is_cut else None).to_pylist(), _COLUMNS, header=False,
        empty="every listed input has an outcome",
    )  # fmt: skip
    if is_cut:
        terminal.console.print(f"  and {rows.num_rows - _MAX_ROWS:,} more: --all")
    if rows.num_rows and not withdraw:
        places = sorted(set(rows["place"].to_pylist()))
        command = shlex.join(["reelmill", "scan", *places, "--out", out])
        terminal.console.print(f"resume: {escape(command)}  (or curate; with the same options)")
    for place, counts in pending_inputs.skipped_counts(catalog).items():
        if counts:
            terminal.console.print(f"skipped in {escape(place)}: {escape(format_skipped(counts))}")


def format_skipped(counts: Mapping[str, int]) -> str:
    """Skipped files by kind, the most frequent first."""
    return terminal.format_kinds(counts, _KIND_NAMES)


_COLUMNS = (Column("uri", show=lambda uri: f"  {uri}"),)
