"""`reelmill label`: zero-shot labels, safety and an aesthetic score from stored vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from curation.label.label_file import read_labels
from curation.label.zero_shot import label as label_clips
from curation.output_location import check_writable
from pipelines.cli import terminal


def label(
    out: Annotated[str, typer.Argument(help="The output folder or s3:// address.")],
    labels: Annotated[Path, typer.Argument(help="A YAML file of prompts and thresholds.")],
    model: Annotated[
        str | None, typer.Option(help="The model whose vectors to read; the file's unless given.")
    ] = None,
) -> None:
    """Label clips from their stored open_clip vectors: classes, safety, aesthetics; no video."""
    dataset = terminal.opened(out)
    check_writable(dataset.catalog.storage)
    table, held = label_clips(dataset, read_labels(labels, model))
    for name, count in sorted(held.items(), key=lambda each: (-each[1], each[0])):
        terminal.console.print(f"{count:8d}  {escape(name)}")
    terminal.console.print(f"labels: {escape(table)}")
