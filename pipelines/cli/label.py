"""`reelmill label`: zero-shot labels, safety and an aesthetic score from stored vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from curation.label.label_file import read_labels
from curation.label.zero_shot import label_clips
from curation.output_location import check_writable
from pipelines.cli.options import Out
from pipelines.cli.places import open_output
from pipelines.cli.rows import Column, print_line, print_rows
from pipelines.cli.terminal import escape


def label(
    out: Out,
    labels: Annotated[Path, typer.Argument(help="A YAML file of prompts and thresholds.")],
    model: Annotated[
        str | None,
        typer.Option(help="The model whose vectors to read; that of the file if left out."),
    ] = None,
) -> None:
    """Fills a table of labels and prints how many clips got each."""
    dataset = open_output(out)
    check_writable(dataset.catalog.storage)
    table, counts = label_clips(dataset, read_labels(labels, model))
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    print_rows(
        [{"clips": clips, "label": name, "table": table} for name, clips in ordered],
        (Column("clips", right=True), Column("label")), header=False,
    )  # fmt: skip
    print_line(f"labels: {escape(table)}")
