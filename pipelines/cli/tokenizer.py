"""`reelmill tokenizer`: train, fit and evaluate tokenizers, and decode stored tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from curation.dataset import Dataset
from pipelines.cli import terminal
from pipelines.cli.exit import usage_errors
from pipelines.cli.options import ClipSelection, Device, Out, Rate
from pipelines.cli.places import local_path, open_output
from pipelines.cli.rows import Column, print_result, print_rows
from pipelines.cli.terminal import escape


def pack(
    out: Out,
    crops: Annotated[Path, typer.Argument(help="The file to write.", parser=local_path)] = Path(
        "crops.safetensors"
    ),
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
    """Writes the file of crops and prints their licences."""
    from tokenizer.train.dataset import PackingSettings, pack_crops

    packing = PackingSettings(
        frames, side, size_mib, group_column=by, allowed_licences=allow, seed=seed,
        selection=selection,
    )  # fmt: skip
    with terminal.console.status("cutting crops"), usage_errors(ValueError):
        contents = pack_crops(open_output(out), crops, split, packing)
    licences = [{"licence": name, "crops": n} for name, n in sorted(contents.licences.items())]
    columns = (Column("licence"), Column("crops", "crops to train on", right=True))
    print_rows(licences, columns, title=escape(str(crops)))
    groups = ", ".join(contents.split["validation"])
    terminal.console.print(f"held out ({escape(str(split))}): {escape(groups)}")


def train(
    crops: Annotated[Path, typer.Argument(help="The file that `reelmill tokenizer pack` wrote.")],
    folder: Annotated[
        Path,
        typer.Argument(
            help="The folder for checkpoint, log, curves and weights.", parser=local_path
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
    start: Annotated[
        str,
        typer.Option(help="Weights to start from, of this rate or, for what they share, another."),
    ] = "",
    compile: Annotated[
        bool, typer.Option("--compile", help="Fuse the blocks; pays on a GPU.")
    ] = False,
) -> None:
    """Trains, and prints each measurement."""
    from pipelines.report.curves import draw_curves
    from tokenizer.models.inference import DeviceConfig
    from tokenizer.train.crops import CropSet
    from tokenizer.train.loop import LOG, Recipe, Trainer, export_tokenizer

    recipe = Recipe(
        rate=rate, steps=steps, batch=batch, side=side, learning_rate=learning_rate,
        device=device, precision=precision, every=every, seed=seed, start=start, compile=compile,
    )  # fmt: skip
    with usage_errors(ValueError, OSError):
        DeviceConfig(device).check()
        trainer = Trainer(CropSet.read(crops), folder, recipe)

    def print_row(row: dict[str, float]) -> None:
        print_result(
            row,
            f"step {row['step']:>7,.0f}  {row['seconds']:>7,.0f} s  loss {row['loss']:.4f}"
            f"  codes {row['psnr_codes_db']:.2f} dB  latents {row['psnr_latents_db']:.2f} dB",
        )
        draw_curves(folder / LOG, folder / "curves.svg")

    trainer.run(print_row)
    weights = folder / "weights.safetensors"
    tokenizer = export_tokenizer(trainer, weights)
    _print_weights(tokenizer, weights)
    terminal.console.print(f"curves: {escape(str(folder / 'curves.svg'))}")


def fit(
    out: Out,
    weights: Annotated[
        Path,
        typer.Option(help="The file to write, ending in .safetensors.", parser=local_path),
    ],
    *,
    rate: Rate = "8x8x8",
    short_side: Annotated[
        int, typer.Option(min=1, help="The short side of the frames in pixels.")
    ] = 256,
    clips: Annotated[int, typer.Option(min=1, help="The number of clips, at most.")] = 200,
    selection: ClipSelection = None,
) -> None:
    """Writes the weights."""
    from tokenizer.models.interface import Compression
    from tokenizer.train.pca_clips import fit_on_output

    if weights.suffix != ".safetensors":
        raise typer.BadParameter(f"{weights}: needs to end in .safetensors", param_hint="--weights")
    try:
        compression = Compression.parse(rate)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--rate") from error
    with usage_errors(ValueError):
        tokenizer = fit_on_output(open_output(out), compression, short_side, clips, selection)
    tokenizer.save(weights)
    _print_weights(tokenizer, weights)


def decode(
    out: Out,
    clip: Annotated[str, typer.Argument(help="The clip's id or its first digits.")],
    *,
    video: Annotated[Path, typer.Option(help="The file to write.", parser=local_path)] = Path(
        "decoded.mp4"
    ),
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
    """Writes the video."""
    from curation.media.video_writer import write_video
    from tokenizer.tokenize.decode import decode_stored
    from tokenizer.tokenize.windows import pad_video

    frames, fps = decode_stored(Dataset(out), clip, head, table=tokens, weights=weights)
    _, height, width, _ = frames.shape
    write_video(video, pad_video(frames, 0, height % 2, width % 2), fps)
    print_result(
        {"frames": len(frames), "video": str(video)}, f"{len(frames)} frames: {escape(str(video))}"
    )


def _print_weights(tokenizer: Any, weights: Path) -> None:
    print_result(
        {"tokenizer": tokenizer.name, "digest": tokenizer.digest, "weights": str(weights)},
        f"{tokenizer.name} {tokenizer.digest[:8]}: {escape(str(weights))}",
    )
