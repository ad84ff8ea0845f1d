"""`reelmill sample`: small sources with known truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.places import local_path
from pipelines.cli.rows import print_result
from pipelines.cli.terminal import escape


def sample(
    folder: Annotated[Path, typer.Argument(help="The folder to write them to.", parser=local_path)],
) -> None:
    """Renders the sources."""
    from curation.sample import write_sample

    truths = write_sample(folder)
    print_result(
        {"folder": str(folder), "sources": len(truths)},
        f"{len(truths)} sample sources in {escape(str(folder))}",
    )
