"""`reelmill export`: a selection as a data set for training elsewhere."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table

from curation.output_location import check_writable
from curation.storage import Storage
from pipelines.cli import terminal
from pipelines.cli.options import Out
from pipelines.cli.terminal import escape
from pipelines.run.step_runner import Progress

if TYPE_CHECKING:
    from tokenizer.export.clip_rows import ExportRows
    from tokenizer.export.export import ExportResult


def export(
    out: Out,
    dest: Annotated[str, typer.Argument(help="The empty folder or s3:// address to write to.")],
    *,
    format_: Annotated[
        Literal["webdataset", "hf"],
        typer.Option(
            "--format", help="Tar shards, or Parquet with a data set card for Hugging Face."
        ),
    ] = "webdataset",
    selection: Annotated[
        str | None,
        typer.Option(
            help="A selection's id or first digits, a subset's name, or all; else the newest."
        ),
    ] = None,
    clips: Annotated[
        str | None, typer.Option(help="The table of renders, or none; the newest if left out.")
    ] = None,
    captions: Annotated[
        str | None,
        typer.Option(help="The table of captions, or none; the newest of the renders if left out."),
    ] = None,
    tokens: Annotated[
        str | None,
        typer.Option(help="The table of tokens, or none; the newest of the renders if left out."),
    ] = None,
    shard_mb: Annotated[int, typer.Option(min=1, help="The largest size of a shard in MB.")] = 512,
) -> None:
    """Copy a selection's clips, captions and tokens into shards; run it again to resume.

    Each clip comes with its licence, source, span and scores. The format is described in
    docs/export.md.
    """
    from tokenizer.export.clip_rows import ExportRows, ExportTables
    from tokenizer.export.export import export as export_shards

    terminal.open_output(out)
    check_writable(Storage.at(dest))
    with terminal.console.status("reading tables"):
        rows = ExportRows(out, selection, ExportTables(clips, captions, tokens))
    with terminal.progress("export", "clips") as on_progress:
        result = export_shards(
            rows, dest, format_, shard_mb * 1_000_000,
            lambda done, total: on_progress(done, total, Progress(Counter(exported=done))),
        )  # fmt: skip
    _print_result(rows, result, dest)


def _print_result(rows: ExportRows, result: ExportResult, dest: str) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("licence")
    table.add_column("clips", justify="right")
    for licence, count in result.licences.items():
        table.add_row(escape(licence), f"{count:,}")
    terminal.console.print(table)
    if missing := +rows.left_out:
        terminal.console.print(f"[yellow]left out[/]: {terminal.format_counts(missing)}")
    num_existing = result.shards - result.written
    existing = f"; {num_existing:,} of them existed already" if num_existing else ""
    size = f"{result.size_bytes / 1e6:,.1f} MB"
    terminal.console.print(
        f"{result.clips:,} clips, shards: {result.shards:,}, {size}{existing}: {escape(dest)}"
    )
