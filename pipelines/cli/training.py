"""`reelmill tokenizer pack` and `train`: from rendered clips to tokenizer weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape
from rich.table import Table

from curation.errors import PrerequisiteError
from pipelines.cli import terminal

_RATES = Literal["4x8x8", "8x8x8", "8x16x16"]


def pack(
    out: Annotated[str, typer.Argument(help="The output whose rendered clips to crop.")],
    crops: Annotated[
        Path, typer.Argument(help="The file to write.", parser=terminal.local_path)
    ] = Path("crops.safetensors"),
    *,
    split: Annotated[
        Path,
        typer.Option(help="JSON with lists train and validation; created if it does not exist."),
    ] = Path("split.json"),
    by: Annotated[
        str,
        typer.Option(help="The column of the input list whose values are the groups of the split."),
    ] = "source_id",
    allow: Annotated[
        str, typer.Option(help="A regular expression that a source's licence has to match.")
    ] = ".",
    size_mib: Annotated[
        float, typer.Option(min=0.1, help="The approximate size of the file in MiB.")
    ] = 48.0,
    side: Annotated[int, typer.Option(min=32, help="The side of a crop in pixels.")] = 96,
    frames: Annotated[int, typer.Option(min=9, help="The frames of a crop.")] = 17,
    seed: Annotated[int, typer.Option(help="The seed of all random choices.")] = 0,
    selection: Annotated[
        str | None,
        typer.Option(help="The selection whose kept clips to use, or all; the newest if left out."),
    ] = None,
) -> None:
    """Pack crops of rendered clips into one file for training."""
    from tokenizer.train.dataset import PackingSettings, pack_crops

    packing = PackingSettings(
        frames, side, size_mib, group_column=by, allowed_licences=allow, seed=seed,
        selection=selection,
    )  # fmt: skip
    try:
        with terminal.console.status("cutting crops"):
            contents = pack_crops(terminal.open_output(out), crops, split, packing)
    except ValueError as error:
        raise PrerequisiteError(str(error)) from error
    table = Table("licence", "crops to train on", title=f"{escape(str(crops))}")
    for licence, count in sorted(contents.licences.items()):
        table.add_row(escape(licence), str(count))
    terminal.console.print(table)
    groups = ", ".join(contents.split["validation"])
    terminal.console.print(f"held out ({escape(str(split))}): {escape(groups)}")


def train(
    crops: Annotated[Path, typer.Argument(help="The file that `reelmill tokenizer pack` wrote.")],
    folder: Annotated[
        Path,
        typer.Argument(
            help="The folder for checkpoint, log, curves and weights.", parser=terminal.local_path
        ),
    ],
    *,
    rate: Annotated[_RATES, typer.Option(help="The compression, time x height x width.")] = "8x8x8",
    steps: Annotated[int, typer.Option(min=1, help="The number of optimiser steps.")] = 20_000,
    batch: Annotated[int, typer.Option(min=1, help="The batch size in crops.")] = 4,
    side: Annotated[
        int, typer.Option(min=16, help="The side of the random crops of a step in pixels.")
    ] = 64,
    learning_rate: Annotated[float, typer.Option(min=0, help="The peak learning rate.")] = 1e-3,
    device: Annotated[str, typer.Option(help="The device: cpu or cuda.")] = "cpu",
    precision: Annotated[
        Literal["bf16", "fp32"], typer.Option(help="The precision of convolutions.")
    ] = "bf16",
    every: Annotated[
        int, typer.Option(min=1, help="The number of steps between measurements.")
    ] = 500,
    seed: Annotated[int, typer.Option(help="The seed of the weights and all random choices.")] = 0,
) -> None:
    """Train a tokenizer; run it again to resume."""
    from pipelines.report.curves import draw_curves
    from tokenizer.models.inference import DeviceConfig
    from tokenizer.train.loop import LOG, Recipe, Trainer, export_tokenizer

    recipe = Recipe(
        rate=rate, steps=steps, batch=batch, side=side, learning_rate=learning_rate,
        device=device, precision=precision, every=every, seed=seed,
    )  # fmt: skip
    try:
        DeviceConfig(device).check()
        trainer = Trainer(crops, folder, recipe)
    except (ValueError, OSError) as error:
        raise PrerequisiteError(str(error)) from error

    def print_row(row: dict[str, float]) -> None:
        terminal.console.print(
            f"step {row['step']:>7,.0f}  {row['seconds']:>7,.0f} s  loss {row['loss']:.4f}"
            f"  codes {row['psnr_codes_db']:.2f} dB  latents {row['psnr_latents_db']:.2f} dB"
        )
        draw_curves(folder / LOG, folder / "curves.svg")

    trainer.run(print_row)
    weights = folder / "weights.safetensors"
    tokenizer = export_tokenizer(trainer, weights)
    terminal.console.print(f"{tokenizer.name} {tokenizer.digest[:8]}: {escape(str(weights))}")
    terminal.console.print(f"curves: {escape(str(folder / 'curves.svg'))}")
