"""`reelmill plan`: what curating some videos would take and make, before anything is paid."""

from __future__ import annotations

import os
import random
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from curation.errors import MediaError, PrerequisiteError, UnavailableError
from curation.listing import Entry, list_videos
from curation.media.probe import probe
from curation.steps import clip_steps
from curation.storage import Storage
from pipelines.cli import terminal
from pipelines.cli.places import open_output
from pipelines.cli.rows import Column, print_rows
from pipelines.cli.steps import Config, Set
from pipelines.cli.terminal import count, escape
from pipelines.config import Profile
from pipelines.config import load as load_profile
from pipelines.run.pipeline import open_pipeline
from pipelines.run.rates import CostRates, Footage, Plan, make_plan, measure_rates

_MAX_PROBED = 48
_CALIBRATED_S = 180.0
"""Seconds of video that `--calibrate` curates, in whole files."""
_DEFAULTS = "the defaults"
_SIZE = re.compile(r"(\d{2,5})x(\d{2,5})")


def plan(
    videos: Annotated[
        list[str] | None, typer.Argument(help="Folders, files or lists that would be curated.")
    ] = None,
    *,
    hours: Annotated[
        float | None, typer.Option(help="Hours of video, instead of videos or of their length.")
    ] = None,
    frame_size: Annotated[
        str, typer.Option(help="Size of frames where no videos are named.")
    ] = "1280x720",
    fps: Annotated[float, typer.Option(help="Frames a second where no videos are named.")] = 30.0,
    measured: Annotated[
        str | None,
        typer.Option("--from", metavar="OUT", help="Take the rates of this output's runs."),
    ] = None,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Measure rates: curate a few of the videos here.")
    ] = False,
    cpus: Annotated[int, typer.Option(help="Processors; 0 for those of this machine.", min=0)] = 0,
    gpus: Annotated[int, typer.Option(help="GPUs.", min=0)] = 0,
    save: Annotated[
        Path | None, typer.Option(help="Write the rates to this file, as JSON.")
    ] = None,
    config: Config = None,
    set_: Set = None,
) -> None:
    """Prints processor and GPU hours, storage, commits and the bottleneck."""
    profile = load_profile(config, set_ or (), command="curate")
    entries = list_videos(videos).entries if videos else []
    if calibrate and not entries:
        raise typer.BadParameter("--calibrate needs videos to curate")
    probed = _probe(entries, profile) if entries else []
    footage = _footage(probed, entries) if probed else _stated(hours, frame_size, fps)
    if hours is not None:
        footage = Footage(hours, footage.width, footage.height, footage.fps)
    if calibrate:
        rates = _calibrated(probed, profile, "yours" if config or set_ else _DEFAULTS)
    elif measured is not None:
        rates = measure_rates(open_output(measured), f"those of {measured}")
    else:
        rates = CostRates.shipped()
    if save is not None:
        save.write_text(rates.as_json() + "\n", encoding="utf-8")
    cores = cpus or os.cpu_count() or 1
    _print(make_plan(rates, footage, cores, gpus), footage, rates, cores, gpus)
    if not calibrate and measured is None and (config or set_):
        terminal.console.print(
            "[yellow]rates[/]: of the default settings, not of yours: --calibrate measures those"
        )


def _stated(hours: float | None, frame_size: str, fps: float) -> Footage:
    size = _SIZE.fullmatch(frame_size)
    if size is None:
        raise typer.BadParameter(f"{frame_size}: write width x height, such as 1280x720")
    if hours is None or hours <= 0 or fps <= 0:
        raise typer.BadParameter("name videos, or say how many with --hours")
    return Footage(hours, int(size[1]), int(size[2]), fps)


@dataclass(frozen=True)
class _Probed:
    """What the headers of one video say."""

    entry: Entry
    seconds: float
    fps: float
    pixels: int
    """Of a frame."""


def _probe(entries: Sequence[Entry], profile: Profile) -> list[_Probed]:
    """Some of the videos, in random order; those that cannot be read are left out."""
    probed = []
    for entry in random.Random(0).sample(list(entries), min(_MAX_PROBED, len(entries))):
        try:
            with Storage.at(entry.uri).local_path() as path:
                info = probe(path, profile.scan.limits)
        except (MediaError, UnavailableError, FileNotFoundError):
            continue
        fps = info.header_fps or 25.0
        seconds = info.header_duration_s or info.header_frames / fps
        if seconds > 0:
            probed.append(_Probed(entry, seconds, fps, info.width * info.height))
    if not probed:
        raise PrerequisiteError("none of the videos that were looked at states its length")
    return probed


def _footage(probed: Sequence[_Probed], entries: Sequence[Entry]) -> Footage:
    """Length of all videos, by their bytes; mean size and rate of those that were probed."""
    seconds = sum(video.seconds for video in probed)
    frames = sum(video.seconds * video.fps for video in probed)
    pixels = sum(video.seconds * video.fps * video.pixels for video in probed)
    probed_bytes = sum(video.entry.size_bytes for video in probed)
    total = len(entries) / len(probed)
    if probed_bytes:  # those of the web have none before they are fetched
        total = sum(entry.size_bytes for entry in entries) / probed_bytes
    side = (pixels / frames) ** 0.5
    return Footage(
        seconds * total / 3600, round(side * 4 / 3), round(side * 3 / 4), frames / seconds,
        len(entries),
    )  # fmt: skip


def _sample(probed: Sequence[_Probed]) -> list[_Probed]:
    """Videos of `_CALIBRATED_S` together, or the shortest if each is longer."""
    chosen: list[_Probed] = []
    for video in probed:
        if sum(each.seconds for each in chosen) + video.seconds <= _CALIBRATED_S:
            chosen.append(video)
    return chosen or [min(probed, key=lambda video: video.seconds)]


def _calibrated(probed: Sequence[_Probed], profile: Profile, settings: str) -> CostRates:
    """Curates a few of the videos in a folder that is removed."""
    chosen = _sample(probed)
    seconds = sum(video.seconds for video in chosen)
    terminal.console.print(f"calibrating: curates {count(len(chosen), 'video')}, {seconds:,.0f} s")
    with tempfile.TemporaryDirectory(prefix="reelmill-plan-") as folder:
        out = str(Path(folder, "out"))
        with open_pipeline(out, profile) as pipeline:
            pipeline.scan(list_videos([video.entry.uri for video in chosen]))
            pipeline.select()
            pipeline.run_all([step.name for step in clip_steps()])
            return measure_rates(pipeline.dataset, settings, profile.execution.cpus)


def _print(plan: Plan, footage: Footage, rates: CostRates, cpus: int, gpus: int) -> None:
    total = sum(step.cpu_hours for step in plan.steps)
    print_rows(
        [
            {
                "step": step.step,
                "cpu_hours": step.cpu_hours,
                "share": step.cpu_hours / total if total else 0.0,
                "gpu_hours": step.gpu_hours or None,
            }
            for step in plan.steps
        ],
        _COLUMNS,
        title=f"{_number(footage.hours)} h of video, {footage.width}x{footage.height} at"
        f" {footage.fps:.4g} frames/s",
    )
    if terminal.output.json_lines:
        print_rows([_totals(plan, footage, cpus, gpus)], ())
        return
    stored = ", ".join(f"{kind} {_size(size)}" for kind, size in plan.stored_bytes.items())
    machines = f"{count(cpus, 'processor')}" + (f", {count(gpus, 'GPU')}" if gpus else "")
    say = terminal.console.print
    say(f"clips:      about {plan.clips:,.0f}, {plan.kept_clips:,.0f} of them kept")
    say(f"storage:    {stored}; {plan.kept_clips:,.0f} rendered files")
    say(f"time:       {_time(plan.wall_hours)} on {machines}; most of it takes {plan.bottleneck}")
    say(f"commits:    about {plan.commits:,.0f} of a table")
    say(
        f"rates:      measured on {rates.video_s:,.0f} s of video; {escape(rates.machine)};"
        f" settings: {escape(rates.settings)}"
    )


def _totals(plan: Plan, footage: Footage, cpus: int, gpus: int) -> dict[str, Any]:
    sizes = {f"{kind}_bytes": size for kind, size in plan.stored_bytes.items()}
    return {
        "hours": footage.hours, "clips": plan.clips, "kept_clips": plan.kept_clips, **sizes,
        "cpus": cpus, "gpus": gpus, "wall_hours": plan.wall_hours, "bottleneck": plan.bottleneck,
        "commits": plan.commits,
    }  # fmt: skip


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _time(hours: float) -> str:
    if hours < 2:
        return f"{60 * hours:,.1f} min"
    return f"{hours:,.1f} h" if hours < 72 else f"{hours / 24:,.1f} days"


def _size(size_bytes: float) -> str:
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size_bytes < 1000:
            return f"{size_bytes:.3g} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:,.3g} PB"


_COLUMNS = (
    Column("step"),
    Column("cpu_hours", "CPU hours", _number, right=True),
    Column("share", "", lambda share: f"{share:.0%}", right=True),
    Column(
        "gpu_hours", "GPU hours", lambda hours: "" if hours is None else _number(hours), right=True
    ),
)
