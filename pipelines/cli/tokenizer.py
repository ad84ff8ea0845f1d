"""`reelmill tokenizer`: train, fit and evaluate tokenizers, and decode stored tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.table import Table

from curation.dataset import Dataset
from pipelines.cli import terminal
from pipelines.cli.evaluation import evaluate
from pipelines.cli.exit import usage_errors
from pipelines.cli.options import ClipSelection, Device, Out, Rate
from pipelines.cli.terminal import escape

app = typer.Typer(help="Train, fit and compare tokenizers, and decode stored tokens.")


@app.command(epilog="Example: reelmill tokenizer pack out --by dup_group --allow '^CC'")
def pack(
    out: Out,
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
    selection: ClipSelection = None,
) -> None:
    """Pack crops of rendered clips into one file for training."""
    from tokenizer.train.dataset import PackingSettings, pack_crops

    packing = PackingSettings(
        frames, side, size_mib, group_column=by, allowed_licences=allow, seed=seed,
        selection=selection,
    )  # fmt: skip
    with terminal.console.status("cutting crops"), usage_errors(ValueError):
        contents = pack_crops(terminal.open_output(out), crops, split, packing)
    table = Table("licence", "crops to train on", title=f"{escape(str(crops))}")
    for licence, count in sorted(contents.licences.items()):
        table.add_row(escape(licence), str(count))
    terminal.console.print(table)
    groups = ", ".join(contents.split["validation"])
    terminal.console.print(f"held out ({escape(str(split))}): {escape(groups)}")


@app.command(epilog="Example: reelmill tokenizer train crops.safetensors run --device cuda")
def train(
    crops: Annotated[Path, typer.Argument(help="The file that `reelmill tokenizer pack` wrote.")],
    folder: Annotated[
        Path,
        typer.Argument(
            help="The folder for checkpoint, log, curves and weights.", parser=terminal.local_path
        ),
    ],
    *,
    rate: Annotated[
        Literal["4x8x8", "8x8x8", "8x16x16"],
        typer.Option(help="The compression, time x height x width."),
    ] = "8x8x8",
    steps: Annotated[int, typer.Option(min=1, help="The number of optimiser steps.")] = 20_000,
    batch: Annotated[int, typer.Option(min=1, help="The batch size in crops.")] = 4,
    side: Annotated[
        int, typer.Option(min=16, help="The side of the random crops of a step in pixels.")
    ] = 64,
    learning_rate: Annotated[float, typer.Option(min=0, help="The peak learning rate.")] = 1e-3,
    device: Device = "cpu",
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
    with usage_errors(ValueError, OSError):
        DeviceConfig(device).check()
        trainer = Trainer(crops, folder, recipe)

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


app.command("eval", epilog="Example: reelmill tokenizer eval out -t pca-8x8x8 -t mine.safetensors")(
    evaluate
)


@app.command(epilog="Example: reelmill tokenizer fit out --rate 8x8x8 --weights mine.safetensors")
def fit(
    out: Out,
    weights: Annotated[
        Path,
        typer.Option(help="The file to write, ending in .safetensors.", parser=terminal.local_path),
    ],
    *,
    rate: Rate = "8x8x8",
    short_side: Annotated[
        int, typer.Option(min=1, help="The short side of the frames in pixels.")
    ] = 256,
    clips: Annotated[int, typer.Option(min=1, help="The number of clips, at most.")] = 200,
    selection: ClipSelection = None,
) -> None:
    """Fit a PCA tokenizer on the rendered clips of an output."""
    from tokenizer.models.interface import Compression
    from tokenizer.train.pca_clips import fit_on_output

    if weights.suffix != ".safetensors":
        raise typer.BadParameter(f"{weights}: needs to end in .safetensors", param_hint="--weights")
    try:
        compression = Compression.parse(rate)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--rate") from error
    with usage_errors(ValueError):
        tokenizer = fit_on_output(
            terminal.open_output(out), compression, short_side, clips, selection
        )
    tokenizer.save(weights)
    terminal.console.print(f"{tokenizer.name} {tokenizer.digest[:8]}: {escape(str(weights))}")


@app.command(epilog="Example: reelmill tokenizer decode out 3f2a --video look.mp4 --head latents")
def decode(
    out: Out,
    clip: Annotated[str, typer.Argument(help="The clip's id or its first digits.")],
    *,
    video: Annotated[
        Path, typer.Option(help="The file to write.", parser=terminal.local_path)
    ] = Path("decoded.mp4"),
    head: Annotated[
        Literal["codes", "latents"], typer.Option(help="Discrete codes or continuous latents.")
    ] = "codes",
    tokens: Annotated[
        str | None,
        typer.Option(help="The table of tokens; the newest of the newest renders if left out."),
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="The weights file, unless the tokenizer is a shipped one.")
    ] = None,
) -> None:
    """Decode the stored tokens of a clip to an mp4.

    An odd side is padded by one row or column of pixels.
    """
    from curation.media.video_writer import write_video
    from tokenizer.tokenize.decode import decode_stored
    from tokenizer.tokenize.windows import pad_video

    frames, fps = decode_stored(Dataset(out), clip, head, table=tokens, weights=weights)
    _, height, width, _ = frames.shape
    write_video(video, pad_video(frames, 0, height % 2, width % 2), fps)
    terminal.console.print(f"{len(frames)} frames: {escape(str(video))}")
