"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Out = Annotated[str, typer.Argument(help="The output folder or address in a store.")]
ClipSelection = Annotated[
    str | None,
    typer.Option(
        "--selection",
        help="The selection whose kept clips to use, or all; the newest if left out.",
    ),
]
Rate = Annotated[str, typer.Option(help="The compression, time x height x width.")]
Device = Annotated[str, typer.Option(help="The device: cpu or cuda.")]
