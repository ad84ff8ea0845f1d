"""`reelmill tokenizer`: fit one, and look at what tokens keep."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape

from curation.dataset import Dataset
from pipelines.cli import evaluation, terminal, training
from pipelines.run.pipeline import NothingToDoError

app = typer.Typer(help="Train, fit or compare tokenizers, or decode stored tokens to look at them.")
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
    out: Annotated[str, typer.Argument(help="Output folder whose rendered clips to fit on.")],
    weights: Annotated[
        Path, typer.Option(help="File to write, ending in .safetensors.", parser=terminal.path)
    ],
    *,
    rate: Annotated[str, typer.Option(help="Compression, time x height x width.")] = "8x8x8",
    short_side: Annotated[
        int, typer.Option(min=1, help="Short side of the pictures in pixels.")
    ] = 256,
    clips: Annotated[int, typer.Option(min=1, help="At most this many clips.")] = 200,
    selection: Annotated[
        str | None, typer.Option(help="Whose kept clips: the newest selection's; or all.")
    ] = None,
) -> None:
    """Fit a PCA tokenizer on the rendered clips of an output."""
    from tokenizer.models.interface import Rate
    from tokenizer.train.pca_clips import fit_on_output

    if weights.suffix != ".safetensors":
        raise typer.BadParameter(f"{weights}: needs to end in .safetensors", param_hint="--weights")
    try:
        parsed = Rate.parse(rate)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--rate") from error
    try:
        tokenizer = fit_on_output(terminal.opened(out), parsed, short_side, clips, selection)
    except ValueError as error:
        raise NothingToDoError(str(error)) from error
    tokenizer.save(weights)
    terminal.console.print(f"{tokenizer.name} {tokenizer.digest[:8]}: {escape(str(weights))}")


@app.command(epilog="Example: reelmill tokenizer decode out 3f2a --video look.mp4 --head latents")
def decode(
    out: Annotated[str, typer.Argument(help="Output folder.")],
    clip: Annotated[str, typer.Argument(help="Clip id, or its first digits.")],
    *,
    video: Annotated[Path, typer.Option(help="File to write.", parser=terminal.path)] = Path(
        "decoded.mp4"
    ),
    head: Annotated[
        Literal["codes", "latents"], typer.Option(help="Discrete codes or continuous latents.")
    ] = "codes",
    tokens: Annotated[
        str | None, typer.Option(help="Table of tokens; the newest of the newest renders.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="Weights, if the tokenizer is not a shipped one.")
    ] = None,
) -> None:
    """Write an mp4 from the stored tokens alone.

    An odd side gets one more row or column of pixels.
    """
    from curation.media.video_writer import write_video
    from tokenizer.tokenize.decode import decode_stored
    from tokenizer.tokenize.windows import padded

    frames, fps = decode_stored(Dataset(out), clip, head, table=tokens, weights=weights)
    _, height, width, _ = frames.shape
    write_video(video, padded(frames, 0, height % 2, width % 2), fps)
    terminal.console.print(f"{len(frames)} frames: {escape(str(video))}")
