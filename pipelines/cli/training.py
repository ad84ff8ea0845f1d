"""`reelmill tokenizer pack` and `train`: from rendered clips to weights of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape
from rich.table import Table

from pipelines.cli import terminal
from pipelines.run.pipeline import NothingToDoError

_RATES = Literal["4x8x8", "8x8x8", "8x16x16"]


def pack(
    out: Annotated[str, typer.Argument(help="Output folder whose rendered clips to cut crops of.")],
    crops: Annotated[Path, typer.Argument(help="File to write.", parser=terminal.path)] = Path(
        "crops.safetensors"
    ),
    *,
    split: Annotated[
        Path, typer.Option(help="JSON with lists train and validation; made if it is not there.")
    ] = Path("split.json"),
    by: Annotated[
        str, typer.Option(help="Column of the input list whose values are the split's groups.")
    ] = "source_id",
    allow: Annotated[
        str, typer.Option(help="Regular expression that a source's licence has to match.")
    ] = ".",
    size_mib: Annotated[float, typer.Option(min=0.1, help="About how large the file gets.")] = 48.0,
    side: Annotated[int, typer.Option(min=32, help="Pixels a side of a crop.")] = 96,
    frames: Annotated[int, typer.Option(min=9, help="Frames of a crop.")] = 17,
    seed: Annotated[int, typer.Option(help="Of every draw.")] = 0,
    selection: Annotated[
        str | None, typer.Option(help="Whose kept clips: the newest selection's; or all.")
    ] = None,
) -> None:
    """Pack crops of rendered clips into the one file that training reads."""
    from tokenizer.train.dataset import Packing
    from tokenizer.train.dataset import pack as packed

    packing = Packing(frames, side, size_mib, by=by, allowed=allow, seed=seed, selection=selection)
    try:
        with terminal.console.status("cutting crops"):
            facts = packed(terminal.opened(out), crops, split, packing)
    except ValueError as error:
        raise NothingToDoError(str(error)) from error
    table = Table("licence", "crops to train on", title=f"{escape(str(crops))}")
    for licence, count in sorted(facts.licences.items()):
        table.add_row(escape(licence), str(count))
    terminal.console.print(table)
    held = ", ".join(facts.split["validation"])
    terminal.console.print(f"held out ({escape(str(split))}): {escape(held)}")


def train(
    crops: Annotated[Path, typer.Argument(help="File that `reelmill tokenizer pack` wrote.")],
    folder: Annotated[
        Path,
        typer.Argument(help="Where checkpoint, log, curves and weights go.", parser=terminal.path),
    ],
    *,
    rate: Annotated[_RATES, typer.Option(help="Compression, time x height x width.")] = "8x8x8",
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 20_000,
    batch: Annotated[int, typer.Option(min=1, help="Crops to a step.")] = 4,
    side: Annotated[int, typer.Option(min=16, help="Pixels a side that a step sees.")] = 64,
    learning_rate: Annotated[float, typer.Option(min=0, help="At its highest.")] = 1e-3,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    precision: Annotated[
        Literal["bf16", "fp32"], typer.Option(help="What convolutions compute in.")
    ] = "bf16",
    every: Annotated[int, typer.Option(min=1, help="Steps between measurements.")] = 500,
    seed: Annotated[int, typer.Option(help="Of the weights and every draw.")] = 0,
) -> None:
    """Train a tokenizer; run it again to go on where it stopped."""
    from pipelines.report.curves import draw_curves
    from tokenizer.models.inference import Placement
    from tokenizer.train.loop import LOG, Recipe, Trainer, export

    recipe = Recipe(
        rate=rate, steps=steps, batch=batch, side=side, learning_rate=learning_rate,
        device=device, precision=precision, every=every, seed=seed,
    )  # fmt: skip
    try:
        Placement(device).check()
        trainer = Trainer(crops, folder, recipe)
    except (ValueError, OSError) as error:
        raise NothingToDoError(str(error)) from error

    def say(row: dict[str, float]) -> None:
        terminal.console.print(
            f"step {row['step']:>7,.0f}  {row['seconds']:>7,.0f} s  loss {row['loss']:.4f}"
            f"  codes {row['psnr_codes_db']:.2f} dB  latents {row['psnr_latents_db']:.2f} dB"
        )
        draw_curves(folder / LOG, folder / "curves.svg")

    trainer.run(say)
    weights = folder / "weights.safetensors"
    made = export(trainer, weights)
    terminal.console.print(f"{made.name} {made.digest[:8]}: {escape(str(weights))}")
    terminal.console.print(f"curves: {escape(str(folder / 'curves.svg'))}")
