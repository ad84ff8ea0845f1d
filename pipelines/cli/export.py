"""`reelmill export`: a selection for other people's trainers."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.markup import escape
from rich.table import Table

from curation.output_location import check_writable
from curation.storage import Storage
from pipelines.cli import terminal
from pipelines.run.pipeline import NothingToDoError
from pipelines.run.step_runner import Tally

if TYPE_CHECKING:
    from tokenizer.export.clip_rows import Facts
    from tokenizer.export.export import Exported


def export(
    out: Annotated[str, typer.Argument(help="The output folder or s3:// address.")],
    dest: Annotated[str, typer.Argument(help="Empty folder or s3:// address to write to.")],
    *,
    format_: Annotated[
        Literal["webdataset", "hf"],
        typer.Option("--format", help="Tar shards, or Parquet with a card for Hugging Face."),
    ] = "webdataset",
    selection: Annotated[
        str | None,
        typer.Option(help="Its id, its first digits, a subset's name, or all; the newest."),
    ] = None,
    clips: Annotated[
        str | None, typer.Option(help="Table of renders, or none; the newest.")
    ] = None,
    captions: Annotated[
        str | None, typer.Option(help="Table of captions, or none; the newest that fit.")
    ] = None,
    tokens: Annotated[
        str | None, typer.Option(help="Table of tokens, or none; the newest of the renders.")
    ] = None,
    shard_mb: Annotated[int, typer.Option(min=1, help="Largest size of a shard.")] = 512,
) -> None:
    """Copy a selection's clips, captions and tokens into shards; run it again to resume.

    Licence, origin, span and scores of every clip go with it. What is in the shards is explained in
    docs/export.md.
    """
    from tokenizer.export.clip_rows import ExportError, Facts, Parts
    from tokenizer.export.export import export as exported

    terminal.opened(out)
    check_writable(Storage.at(dest))
    try:
        with terminal.console.status("reading tables"):
            facts = Facts(out, selection, Parts(clips, captions, tokens))
        with terminal.progress("export", "clips") as watch:
            found = exported(
                facts, dest, format_, shard_mb * 1_000_000,
                lambda done, all_: watch(done, all_, Tally(Counter(exported=done))),
            )  # fmt: skip
    except ExportError as error:
        raise NothingToDoError(str(error)) from error
    _say(facts, found, dest)


def _say(facts: Facts, found: Exported, dest: str) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("licence")
    table.add_column("clips", justify="right")
    for licence, count in found.licences.items():
        table.add_row(escape(licence), f"{count:,}")
    terminal.console.print(table)
    missing = +facts.left_out
    if missing:
        terminal.console.print(f"[yellow]left out[/]: {terminal.said(missing)}")
    before = found.shards - found.written
    there = f"; {before:,} of them were there already" if before else ""
    size = f"{found.size_bytes / 1e6:,.1f} MB"
    terminal.console.print(
        f"{found.clips:,} clips, shards: {found.shards:,}, {size}{there}: {escape(dest)}"
    )
