"""`reelmill export`: a selection as a data set for training elsewhere."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from curation.output_location import check_writable
from curation.storage import Storage
from pipelines.cli import terminal
from pipelines.cli.options import Out
from pipelines.cli.places import open_output
from pipelines.cli.progress import progress
from pipelines.cli.rows import Column, print_line, print_rows
from pipelines.cli.terminal import escape
from pipelines.run.step_runner import Progress

if TYPE_CHECKING:
    from tokenizer.export.clip_rows import ExportRows
    from tokenizer.export.export import ExportResult


def export(
    out: Out,
    dest: Annotated[str, typer.Argument(help="The empty folder or address to write to.")],
    *,
    format_: Annotated[
        Literal["webdataset", "hf", "lerobot", "fiftyone"],
        typer.Option(
            "--format",
            help="Tar shards, Parquet with a card for Hugging Face, a LeRobot data set, or a folder"
            " that FiftyOne opens.",
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
    """Writes the shards and prints what is in them."""
    from tokenizer.export.clip_rows import ExportRows, ExportTables
    from tokenizer.export.export import export as export_shards

    open_output(out)
    check_writable(Storage.at(dest))
    with terminal.console.status("reading tables"):
        rows = ExportRows(out, selection, ExportTables(clips, captions, tokens))
    with progress("export", "clips") as on_progress:
        result = export_shards(
            rows, dest, format_, shard_mb * 1_000_000,
            lambda done, total: on_progress(done, total, Progress(Counter(exported=done))),
        )  # fmt: skip
    _print_result(rows, result, dest)


def _print_result(rows: ExportRows, result: ExportResult, dest: str) -> None:
    licences = [{"licence": name, "clips": clips} for name, clips in result.licences.items()]
    print_rows(licences, (Column("licence"), Column("clips", right=True)))
    if missing := +rows.left_out:
        terminal.console.print(f"[yellow]left out[/]: {terminal.format_counts(missing)}")
    num_existing = result.shards - result.written
    existing = f"; {num_existing:,} of them existed already" if num_existing else ""
    size = f"{result.size_bytes / 1e6:,.1f} MB"
    print_line(
        f"{result.clips:,} clips, shards: {result.shards:,}, {size}{existing}: {escape(dest)}"
    )
