"""`reelmill report` and `reelmill open`: the report of an output."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from curation.errors import UnknownSelectionError
from curation.storage import Storage
from pipelines.cli.options import Out
from pipelines.cli.places import local_path, open_output
from pipelines.cli.rows import print_result
from pipelines.cli.terminal import escape

Compare = Annotated[
    str | None,
    typer.Option(help="Another selection to compare with: its id, or `before` for the last."),
]


NumReconstructions = Annotated[
    int,
    typer.Option(
        "--reconstructions",
        min=0,
        help="The number of clips of which a frame is decoded from their tokens.",
    ),
]


def report(
    out: Out,
    html: Annotated[
        Path | None,
        typer.Option(
            help="The file to write; OUT/report.html if it is not given.", parser=local_path
        ),
    ] = None,
    compare: Compare = None,
    reconstructions: NumReconstructions = 0,
) -> None:
    """Writes the report."""
    _print(_write(out, html, compare, reconstructions))


def open_report(
    out: Out,
    compare: Compare = None,
    reconstructions: NumReconstructions = 0,
) -> None:
    """Writes the report and opens it."""
    path = _write(out, None, compare, reconstructions)
    _print(path)
    typer.launch(path.absolute().as_uri())


def _write(out: str, html: Path | None, compare: str | None, num_reconstructions: int) -> Path:
    from pipelines.report.page import write_report

    storage = Storage.at(out)
    if html is None:
        html = Path("report.html" if storage.is_remote else f"{storage.root}/report.html")
    try:
        return write_report(
            open_output(out), html, compare=compare, num_reconstructions=num_reconstructions
        )
    except UnknownSelectionError as error:
        raise typer.BadParameter(str(error), param_hint="--compare") from error


def _print(path: Path) -> None:
    print_result({"report": str(path)}, f"report: {escape(str(path))}")
