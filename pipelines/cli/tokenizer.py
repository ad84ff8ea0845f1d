"""`reelmill tokenizer`: train, fit and evaluate tokenizers, and decode stored tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape

from curation.dataset import Dataset
from curation.errors import PrerequisiteError
from pipelines.cli import evaluation, terminal, training

app = typer.Typer(help="Train, fit and compare tokenizers, and decode stored tokens.")
app.command(epilog="Example: reelmill tokenizer pack out --by dup_group --allow '^CC'")(
    training.pack
)
app.command(epilog="Example: reelmill tokenizer train crops.safetensors run --device cuda")(
    training.train
)
app.command("eval", epilog="Example: reelmill tokenizer eval out -t pca-8x8x8 -t mine.safetensors")(
    evaluation.evaluate
)


@app.command(epilog="Example: reelmill tokenizer fit out --rate 8x8x8 --weights mine.safetensors")
def fit(
    out: Annotated[str, typer.Argument(help="The output whose rendered clips to fit on.")],
    weights: Annotated[
        Path,
        typer.Option(help="The file to write, ending in .safetensors.", parser=terminal.local_path),
    ],
    *,
    rate: Annotated[str, typer.Option(help="The compression, time x height x width.")] = "8x8x8",
    short_side: Annotated[
        int, typer.Option(min=1, help="The short side of the frames in pixels.")
    ] = 256,
    clips: Annotated[int, typer.Option(min=1, help="The number of clips, at most.")] = 200,
    selection: Annotated[
        str | None,
        typer.Option(help="The selection whose kept clips to use, or all; the newest if left out."),
    ] = None,
) -> None:
    """Fit a PCA tokenizer on the rendered clips of an output."""
    from tokenizer.models.interface import Compression
    from tokenizer.train.pca_clips import fit_on_output

    if weights.suffix != ".safetensors":
        raise typer.BadParameter(f"{weights}: needs to end in .safetensors", param_hint="--weights")
    try:
        parsed = Compression.parse(rate)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--rate") from error
    try:
        tokenizer = fit_on_output(terminal.open_output(out), parsed, short_side, clips, selection)
    except ValueError as error:
        raise PrerequisiteError(str(error)) from error
    tokenizer.save(weights)
    terminal.console.print(f"{tokenizer.name} {tokenizer.digest[:8]}: {escape(str(weights))}")


@app.command(epilog="Example: reelmill tokenizer decode out 3f2a --video look.mp4 --head latents")
def decode(
    out: Annotated[str, typer.Argument(help="The output folder or s3:// address.")],
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
