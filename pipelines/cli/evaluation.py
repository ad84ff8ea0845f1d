"""`reelmill tokenizer eval`: tokenizers side by side on the clips of an output."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.markup import escape
from rich.table import Table

from pipelines.cli import terminal
from pipelines.run.pipeline import NothingToDoError
from pipelines.run.step_runner import Tally

if TYPE_CHECKING:
    from tokenizer.evaluate.evaluation import Evaluation
    from tokenizer.evaluate.summary import Summary

_FAILED_INPUTS = 3
_LONGEST_NAME = 20
_MOST_SKIPPED = 10
_MEANING = """\
PSNR: mean over clips, each weighted by its frames; pooled: of the squared error over all pixels.
SSIM: luma, 11 x 11 Gaussian window. bits/code: entropy of the codes.
seam dB: PSNR of the frames beside the end of a window less that of the rest; end dB: of those
before it less that of frames that end a latent elsewhere. flicker: root mean square error of the
change from frame to frame, in grey levels, at seams and inside windows."""


def evaluate(
    out: Annotated[str, typer.Argument(help="Output folder whose rendered clips to use.")],
    *,
    tokenizer: Annotated[
        list[str] | None,
        typer.Option(
            "--tokenizer",
            "-t",
            help="Name, .safetensors file, cosmos:FOLDER or diffusers:ID; may be given again."
            " All shipped ones if left out.",
        ),
    ] = None,
    clips: Annotated[int, typer.Option(min=1, help="At most this many, evenly chosen.")] = 50,
    split: Annotated[
        Path | None, typer.Option(help="JSON whose list validation names the groups to use.")
    ] = None,
    by: Annotated[
        str, typer.Option(help="What groups are: a column of the input list, source_id, or name.")
    ] = "source_id",
    selection: Annotated[
        str | None, typer.Option(help="Whose kept clips: the newest selection's; or all.")
    ] = None,
    short_side: Annotated[
        int, typer.Option(min=32, help="Short side of the pictures in pixels, at most.")
    ] = 256,
    max_frames: Annotated[int, typer.Option(min=1, help="Frames of a window.")] = 49,
    windows: Annotated[
        Literal["independent", "stream"],
        typer.Option(help="Windows that stand alone, or slices of one stream a clip."),
    ] = "independent",
    clip_frames: Annotated[
        int | None, typer.Option(min=1, help="Look at the first so many frames of a clip only.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    precision: Annotated[
        Literal["fp32", "bf16"], typer.Option(help="What networks compute in.")
    ] = "fp32",
    batch: Annotated[int, typer.Option(min=1, help="Windows at once.")] = 1,
    compile_: Annotated[
        bool, typer.Option("--compile", help="Fuse networks with torch.compile.")
    ] = False,
    lpips: Annotated[Path | None, typer.Option(help="ONNX network for LPIPS.")] = None,
    fvd: Annotated[
        Path | None, typer.Option(help="TorchScript network for FVD; it can run code.")
    ] = None,
    json: Annotated[
        Path | None, typer.Option(help="File for all figures.", parser=terminal.path)
    ] = None,
    csv: Annotated[
        Path | None, typer.Option(help="File for the figures of each clip.", parser=terminal.path)
    ] = None,
    video: Annotated[
        Path | None,
        typer.Option(help="File for source, reconstruction and difference.", parser=terminal.path),
    ] = None,
) -> None:
    """Compare tokenizers on rendered clips.

    Quality, bits, use of the codebook, seams between windows, and speed; figures are explained in
    docs/evaluation.md.
    """
    from tokenizer.evaluate.plan import Plan
    from tokenizer.evaluate.result_files import write_csv, write_json
    from tokenizer.models.inference import Placement
    from tokenizer.models.load import shipped

    _check_places({"--json": json, "--csv": csv, "--video": video})
    dataset = terminal.opened(out)
    try:
        plan = Plan(
            tokenizer or shipped(), clips, split, by, selection, short_side, max_frames, windows,
            clip_frames, Placement(device, precision, batch, compile_), lpips, fvd, video,
        )  # fmt: skip
        with terminal.progress("evaluate", "clips") as watch:
            found = plan.run(dataset, lambda done, all_, counts: watch(done, all_, Tally(counts)))
        if json is not None:
            write_json(json, found, plan.facts())
        if csv is not None:
            write_csv(csv, found)
    except (ValueError, OSError) as error:
        raise NothingToDoError(str(error)) from error
    _say(found)
    if found.skipped:
        raise typer.Exit(_FAILED_INPUTS)


def _check_places(files: dict[str, Path | None]) -> None:
    for option, path in files.items():
        if path is not None and not path.absolute().parent.is_dir():
            raise typer.BadParameter(f"no folder {path.parent}", param_hint=option)


def _say(found: Evaluation) -> None:
    for table in (_quality(found.summaries), _codes(found.summaries), _speed(found.summaries)):
        terminal.console.print(table)
        terminal.console.print()
    first = found.summaries[0]
    terminal.console.print(f"{first.clips:,} clips, {first.frames:,} frames")
    terminal.console.print(_MEANING, style="dim")
    for skipped in found.skipped[:_MOST_SKIPPED]:
        words = escape(f"{skipped.clip_id[:8]}: {skipped.reason}: {skipped.detail}")
        terminal.console.print(f"[yellow]left out[/] {words}")
    if found.skipped:
        terminal.console.print(f"{len(found.skipped)} clips left out, for all tokenizers alike")


def _table(title: str, *columns: str) -> Table:
    table = Table(box=None, pad_edge=False, title=title, title_justify="left", title_style="bold")
    for place, column in enumerate(("tokenizer", "head", *columns)):
        table.add_column(column, justify="right" if place > 1 else "left", no_wrap=True)
    return table


def _named(summary: Summary) -> tuple[str, str]:
    name = summary.tokenizer.removesuffix(".safetensors")
    short = name if len(name) <= _LONGEST_NAME else f"…{name[1 - _LONGEST_NAME :]}"
    return escape(short), summary.head


def _quality(summaries: list[Summary]) -> Table:
    lpips = any(summary.lpips is not None for summary in summaries)
    fvd = any(summary.fvd is not None for summary in summaries)
    extra = [*(["LPIPS"] if lpips else []), *(["FVD"] if fvd else [])]
    table = _table("quality", "PSNR dB", "pooled", "SSIM", *extra, "bits/pixel")
    for one in summaries:
        cells = [f"{one.psnr_db:.2f}", f"{one.pooled_psnr_db:.2f}", f"{one.ssim:.4f}"]
        if lpips:
            cells.append("" if one.lpips is None else f"{one.lpips:.4f}")
        if fvd:
            cells.append("" if one.fvd is None else f"{one.fvd.value:.1f}")
        table.add_row(*_named(one), *cells, f"{one.bits_per_pixel:.4f}")
    few = [one.fvd for one in summaries if one.fvd and one.fvd.spans < one.fvd.dimensions]
    if few:
        words = f"FVD from {few[0].spans} spans of {few[0].dimensions} dimensions: far too few"
        table.caption = f"{words}; compare within this table only"
    return table


def _codes(summaries: list[Summary]) -> Table:
    table = _table(
        "codes and seams", "codebook", "bits/code", "seam dB", "end dB", "flicker", "inside"
    )
    for one in summaries:
        book, seams = one.codebook, one.seams
        table.add_row(
            *_named(one),
            f"{book.share:.1%}" if book else "",
            f"{book.entropy_bits:.2f}" if book else "",
            f"{seams.gap_db:+.2f}" if seams else "",
            "" if seams is None or seams.end_gap_db is None else f"{seams.end_gap_db:+.2f}",
            f"{seams.flicker:.2f}" if seams else "",
            f"{seams.rest_flicker:.2f}" if seams else "",
        )
    return table


def _speed(summaries: list[Summary]) -> Table:
    table = _table("frames a second, median over clips", "encode", "decode", "computed on")
    for one in summaries:
        place = f"{one.device} {one.precision}"
        table.add_row(*_named(one), f"{one.encode_fps:.1f}", f"{one.decode_fps:.1f}", place)
    return table
