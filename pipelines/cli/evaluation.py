"""`reelmill tokenizer eval`: tokenizers compared on the clips of an output."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pipelines.cli import terminal
from pipelines.cli.exit import FAILED_INPUTS, usage_errors
from pipelines.cli.options import ClipSelection, Device, Out
from pipelines.cli.places import local_path, open_output
from pipelines.cli.progress import progress
from pipelines.cli.rows import Column, print_objects, print_rows
from pipelines.cli.terminal import count, escape
from pipelines.report.formatting import duration
from pipelines.run.step_runner import Progress

if TYPE_CHECKING:
    from tokenizer.evaluate.evaluation import Cost, Evaluation, EvaluationPlan
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
        typer.Option(
            min=1,
            help="The frames from the start of a clip to use; two windows if left out, or all"
            " without a limit of time.",
        ),
    ] = None,
    minutes: Annotated[
        float,
        typer.Option(
            min=0,
            help="The minutes after which no other clip is begun; those measured are then spread"
            " over all. 0 for no limit.",
        ),
    ] = 5.0,
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
    figures: Annotated[
        Path | None, typer.Option(help="The JSON file for all figures.", parser=local_path)
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option(help="The file for the figures of each clip.", parser=local_path),
    ] = None,
    video: Annotated[
        Path | None,
        typer.Option(help="The video of source, reconstruction and difference.", parser=local_path),
    ] = None,
) -> None:
    """Measures and prints three tables."""
    from tokenizer.evaluate.evaluation import EvaluationPlan
    from tokenizer.evaluate.result_files import write_csv, write_json
    from tokenizer.models.inference import DeviceConfig
    from tokenizer.models.load import shipped

    for option, path in (("--figures", figures), ("--csv", csv), ("--video", video)):
        if path is not None and not path.absolute().parent.is_dir():
            raise typer.BadParameter(f"no folder {path.parent}", param_hint=option)
    dataset = open_output(out)
    with usage_errors(ValueError, OSError):
        plan = EvaluationPlan(
            tokenizer or shipped(), clips, split, by, selection, short_side, max_frames, windows,
            clip_frames, minutes or None, DeviceConfig(device, precision, batch, compile_), lpips,
            fvd, video,
        )  # fmt: skip
        with progress("evaluate", "clips") as update:

            def report(done: int, total: int, counts: Counter[str]) -> None:
                update(done, total, Progress(counts, share=done / total))

            evaluation = plan.run(dataset, report, lambda cost: _print_cost(cost, plan))
        if figures is not None:
            write_json(figures, evaluation, plan.facts())
        if csv is not None:
            write_csv(csv, evaluation)
    _print_evaluation(evaluation)
    if evaluation.skipped or evaluation.stopped == "interrupted":
        raise typer.Exit(FAILED_INPUTS)


def _print_cost(cost: Cost, plan: EvaluationPlan) -> None:
    words = f"{cost.clips:,} clips, {cost.frames:,} frames: about {duration(cost.seconds)}"
    if plan.minutes is not None and cost.seconds > 60 * plan.minutes:
        words += f"; stops after {plan.minutes:g} min (--minutes), with clips from all of them"
    terminal.console.print(f"{words}; Ctrl-C keeps what was measured")


def _print_evaluation(evaluation: Evaluation) -> None:
    rows = [_row(summary) | {"stopped": evaluation.stopped} for summary in evaluation.summaries]
    if terminal.output.json_lines:
        print_objects(rows)
    else:
        for title, columns in _TABLES.items():
            print_rows(rows, columns, title=title)
            terminal.results.print()
    first = evaluation.summaries[0]
    why = {"time": ", as far as the time went", "interrupted": ", then stopped"}
    ended = why.get(evaluation.stopped or "", "")
    terminal.console.print(f"{count(first.clips, 'clip')}, {first.frames:,} frames{ended}")
    terminal.console.print(_LEGEND, style="dim")
    few = [s.fvd for s in evaluation.summaries if s.fvd and s.fvd.spans < s.fvd.dimensions]
    if few:
        terminal.console.print(
            f"FVD from {few[0].spans} spans of {few[0].dimensions} dimensions: far too few;"
            " compare within this table only"
        )
    for skipped in evaluation.skipped[:_MAX_SKIPPED]:
        text = escape(f"{skipped.clip_id[:8]}: {skipped.reason}: {skipped.detail}")
        terminal.console.print(f"[yellow]left out[/] {text}")
    if evaluation.skipped:
        left_out = count(len(evaluation.skipped), "clip")
        terminal.console.print(f"{left_out} left out, for all tokenizers alike")


def _row(summary: Summary) -> dict[str, Any]:
    """One tokenizer's head, with all that the tables show."""
    book, seams, fvd = summary.codebook, summary.seams, summary.fvd
    return {
        **dataclasses.asdict(summary),
        "fvd_value": fvd.value if fvd else None,
        "codebook_share": book.share if book else None,
        "entropy_bits": book.entropy_bits if book else None,
        "seam_gap_db": seams.gap_db if seams else None,
        "end_gap_db": seams.end_gap_db if seams else None,
        "flicker": seams.flicker if seams else None,
        "rest_flicker": seams.rest_flicker if seams else None,
        "computed_on": f"{summary.device} {summary.precision}",
    }


def _short_name(tokenizer: str) -> str:
    name = tokenizer.removesuffix(".safetensors")
    return name if len(name) <= _MAX_NAME else f"…{name[1 - _MAX_NAME :]}"


def _number(field: str, title: str, form: str) -> Column:
    def show(value: float | None) -> str:
        return "" if value is None else format(value, form)

    return Column(field, title, show, right=True)


_KEYS = (Column("tokenizer", show=_short_name), Column("head"))
_TABLES = {
    "quality": (
        *_KEYS,
        _number("psnr_db", "PSNR dB", ".2f"),
        _number("pooled_psnr_db", "pooled", ".2f"),
        _number("ssim", "SSIM", ".4f"),
        _number("lpips", "LPIPS", ".4f"),
        _number("fvd_value", "FVD", ".1f"),
        _number("bits_per_pixel", "bits/pixel", ".4f"),
    ),
    "codes and seams": (
        *_KEYS,
        _number("codebook_share", "codebook", ".1%"),
        _number("entropy_bits", "bits/code", ".2f"),
        _number("seam_gap_db", "seam dB", "+.2f"),
        _number("end_gap_db", "end dB", "+.2f"),
        _number("flicker", "flicker", ".2f"),
        _number("rest_flicker", "inside", ".2f"),
    ),
    "frames a second, median over clips": (
        *_KEYS,
        _number("encode_fps", "encode", ".1f"),
        _number("decode_fps", "decode", ".1f"),
        Column("computed_on", "computed on"),
    ),
}
