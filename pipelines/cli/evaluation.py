"""`reelmill tokenizer eval`: tokenizers compared on the clips of an output."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table

from pipelines.cli import terminal
from pipelines.cli.exit import FAILED_INPUTS, usage_errors
from pipelines.cli.options import ClipSelection, Device, Out
from pipelines.cli.terminal import escape
from pipelines.run.step_runner import Progress

if TYPE_CHECKING:
    from tokenizer.evaluate.evaluation import Evaluation
    from tokenizer.evaluate.summary import Summary

_MAX_NAME = 20
_MAX_SKIPPED = 10
_LEGEND = """\
PSNR: mean over clips, each weighted by its frames; pooled: of the squared error over all pixels.
SSIM: luma, 11 x 11 Gaussian window. bits/code: entropy of the codes.
seam dB: PSNR of the frames next to the end of a window less that of the others; end dB: of those
before it less that of frames that end a latent elsewhere. flicker: root mean square error of the
change from frame to frame, in grey levels, at seams and inside windows."""


def evaluate(
    out: Out,
    *,
    tokenizer: Annotated[
        list[str] | None,
        typer.Option(
            "--tokenizer",
            "-t",
            help="A name, .safetensors file, cosmos:FOLDER or diffusers:ID; may be given again."
            " All shipped ones if left out.",
        ),
    ] = None,
    clips: Annotated[
        int, typer.Option(min=1, help="The number of clips, at most, evenly chosen.")
    ] = 50,
    split: Annotated[
        Path | None, typer.Option(help="A JSON file whose list validation names the groups to use.")
    ] = None,
    by: Annotated[
        str, typer.Option(help="What groups are: a column of the input list, source_id, or name.")
    ] = "source_id",
    selection: ClipSelection = None,
    short_side: Annotated[
        int, typer.Option(min=32, help="The short side of the frames in pixels, at most.")
    ] = 256,
    max_frames: Annotated[int, typer.Option(min=1, help="The frames of a window.")] = 49,
    windows: Annotated[
        Literal["independent", "stream"],
        typer.Option(help="Independent windows, or slices of one stream per clip."),
    ] = "independent",
    clip_frames: Annotated[
        int | None,
        typer.Option(min=1, help="The frames from the start of a clip to use; all if left out."),
    ] = None,
    device: Device = "cpu",
    precision: Annotated[
        Literal["fp32", "bf16"], typer.Option(help="The precision of networks.")
    ] = "fp32",
    batch: Annotated[int, typer.Option(min=1, help="The batch size in windows.")] = 1,
    compile_: Annotated[
        bool, typer.Option("--compile", help="Compile networks with torch.compile.")
    ] = False,
    lpips: Annotated[Path | None, typer.Option(help="The ONNX network for LPIPS.")] = None,
    fvd: Annotated[
        Path | None, typer.Option(help="The TorchScript network for FVD; loading it can run code.")
    ] = None,
    json: Annotated[
        Path | None, typer.Option(help="The file for all figures.", parser=terminal.local_path)
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option(help="The file for the figures of each clip.", parser=terminal.local_path),
    ] = None,
    video: Annotated[
        Path | None,
        typer.Option(
            help="The video of source, reconstruction and difference.", parser=terminal.local_path
        ),
    ] = None,
) -> None:
    """Compare tokenizers on rendered clips.

    The figures are quality, bits, use of the codebook, seams between windows, and speed; they are
    explained in docs/evaluation.md.
    """
    from tokenizer.evaluate.evaluation import EvaluationPlan
    from tokenizer.evaluate.result_files import write_csv, write_json
    from tokenizer.models.inference import DeviceConfig
    from tokenizer.models.load import shipped

    for option, path in (("--json", json), ("--csv", csv), ("--video", video)):
        if path is not None and not path.absolute().parent.is_dir():
            raise typer.BadParameter(f"no folder {path.parent}", param_hint=option)
    dataset = terminal.open_output(out)
    with usage_errors(ValueError, OSError):
        plan = EvaluationPlan(
            tokenizer or shipped(), clips, split, by, selection, short_side, max_frames, windows,
            clip_frames, DeviceConfig(device, precision, batch, compile_), lpips, fvd, video,
        )  # fmt: skip
        with terminal.progress("evaluate", "clips") as update:
            evaluation = plan.run(
                dataset, lambda done, total, counts: update(done, total, Progress(counts))
            )
        if json is not None:
            write_json(json, evaluation, plan.facts())
        if csv is not None:
            write_csv(csv, evaluation)
    _print_evaluation(evaluation)
    if evaluation.skipped:
        raise typer.Exit(FAILED_INPUTS)


def _print_evaluation(evaluation: Evaluation) -> None:
    summaries = evaluation.summaries
    for table in (_quality(summaries), _codes(summaries), _speed(summaries)):
        terminal.console.print(table)
        terminal.console.print()
    first = summaries[0]
    terminal.console.print(f"{first.clips:,} clips, {first.frames:,} frames")
    terminal.console.print(_LEGEND, style="dim")
    for skipped in evaluation.skipped[:_MAX_SKIPPED]:
        text = escape(f"{skipped.clip_id[:8]}: {skipped.reason}: {skipped.detail}")
        terminal.console.print(f"[yellow]left out[/] {text}")
    if evaluation.skipped:
        terminal.console.print(
            f"{len(evaluation.skipped)} clips left out, for all tokenizers alike"
        )


def _table(title: str, *columns: str) -> Table:
    table = Table(box=None, pad_edge=False, title=title, title_justify="left", title_style="bold")
    for index, column in enumerate(("tokenizer", "head", *columns)):
        table.add_column(column, justify="right" if index > 1 else "left", no_wrap=True)
    return table


def _key_cells(summary: Summary) -> tuple[str, str]:
    name = summary.tokenizer.removesuffix(".safetensors")
    short = name if len(name) <= _MAX_NAME else f"…{name[1 - _MAX_NAME :]}"
    return escape(short), summary.head


def _quality(summaries: list[Summary]) -> Table:
    lpips = any(summary.lpips is not None for summary in summaries)
    fvd = any(summary.fvd is not None for summary in summaries)
    extra = [*(["LPIPS"] if lpips else []), *(["FVD"] if fvd else [])]
    table = _table("quality", "PSNR dB", "pooled", "SSIM", *extra, "bits/pixel")
    for summary in summaries:
        cells = [f"{summary.psnr_db:.2f}", f"{summary.pooled_psnr_db:.2f}", f"{summary.ssim:.4f}"]
        if lpips:
            cells.append("" if summary.lpips is None else f"{summary.lpips:.4f}")
        if fvd:
            cells.append("" if summary.fvd is None else f"{summary.fvd.value:.1f}")
        table.add_row(*_key_cells(summary), *cells, f"{summary.bits_per_pixel:.4f}")
    few = [
        summary.fvd
        for summary in summaries
        if summary.fvd and summary.fvd.spans < summary.fvd.dimensions
    ]
    if few:
        note = f"FVD from {few[0].spans} spans of {few[0].dimensions} dimensions: far too few"
        table.caption = f"{note}; compare within this table only"
    return table


def _codes(summaries: list[Summary]) -> Table:
    table = _table(
        "codes and seams", "codebook", "bits/code", "seam dB", "end dB", "flicker", "inside"
    )
    for summary in summaries:
        book, seams = summary.codebook, summary.seams
        table.add_row(
            *_key_cells(summary),
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
    for summary in summaries:
        device = f"{summary.device} {summary.precision}"
        table.add_row(
            *_key_cells(summary), f"{summary.encode_fps:.1f}", f"{summary.decode_fps:.1f}", device
        )
    return table
