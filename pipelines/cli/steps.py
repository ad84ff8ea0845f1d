"""The commands that run steps: `curate`, `scan`, `select`, `render`, `caption`, `tokenize`."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Collection
from typing import Annotated

import pyarrow.compute as pc
import typer
from rich.table import Table

from curation.caption.step import CaptionStep
from curation.lineage import LineageError
from curation.listing import ListingError, list_videos
from curation.steps import STEPS, StepInfo, clip_steps, steps_until
from pipelines import config
from pipelines.cli import terminal
from pipelines.cli.exit import FAILED_INPUTS
from pipelines.cli.options import Out
from pipelines.cli.settings import print_changes
from pipelines.cli.terminal import count, escape
from pipelines.run import progress
from pipelines.run.pipeline import Pipeline, open_pipeline
from pipelines.run.step_runner import Progress

Videos = Annotated[
    list[str],
    typer.Argument(help="Folders, video files, lists (.txt, .csv, .parquet) or s3:// addresses."),
]
OutOption = Annotated[str, typer.Option("--out", "-o", help="The output folder or s3:// address.")]
Config = Annotated[
    str | None, typer.Option("--config", "-c", help="A YAML file laid over the default profile.")
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", help="Change one value, as KEY=VALUE. May be given again."),
]
SelectionOption = Annotated[
    str | None,
    typer.Option("--selection", help="A selection or exported subset; else the newest selection."),
]
Retry = Annotated[
    list[str] | None,
    typer.Option("--retry", help="Retry what failed for this reason. May be given again."),
]
GiveUp = Annotated[
    bool,
    typer.Option("--give-up", help="Record unavailable sources as `missing`, and continue."),
]
FollowLinks = Annotated[
    bool,
    typer.Option(
        "--follow-links/--no-follow-links",
        help="Read files that are links to outside of the named folders.",
    ),
]
Until = Annotated[
    str | None,
    typer.Option("--until", help="The last step to run, such as render.", metavar="STEP"),
]
_YES = 0.5


def register(app: typer.Typer) -> None:
    """Adds the commands: `curate`, then one for each step."""
    app.command(epilog="Example: reelmill curate ~/videos --out out --set motion.min=0.01")(curate)
    for step in STEPS.values():
        special: dict[str, Callable[..., None]] = {"scan": scan, "select": select}
        command = special.get(step.name) or _clip_command(step)
        heading = "Examples:\n\n" if "\n" in step.examples else "Example: "
        app.command(
            step.name, help=step.help, short_help=step.summary, epilog=heading + step.examples
        )(command)


def curate(
    videos: Videos,
    out: OutOption,
    *,
    config: Config = None,
    set_: Set = None,
    retry: Retry = None,
    give_up: GiveUp = False,
    follow_links: FollowLinks = True,
    until: Until = None,
) -> None:
    """Scan, select, render, caption and tokenize: the main job.

    Run it again to resume or to add videos.
    """

    steps = steps_until(until)

    def work(pipeline: Pipeline) -> None:
        _scan(pipeline, videos, follow_links)
        if "select" in steps:
            _select(pipeline)
        for step in clip_steps():
            if step.name in steps:
                _run_clip_step(pipeline, step)
        place = escape(shlex.quote(out))
        terminal.console.print(f"look:   reelmill report {place}")
        terminal.console.print(f"check:  reelmill verify {place}")

    run_pipeline(
        "curate", out, config, set_, work, retry=retry, give_up=give_up, steps=steps
    )  # fmt: skip


def scan(
    videos: Videos,
    out: OutOption,
    *,
    config: Config = None,
    set_: Set = None,
    retry: Retry = None,
    give_up: GiveUp = False,
    follow_links: FollowLinks = True,
) -> None:
    """See `STEPS`."""

    def work(pipeline: Pipeline) -> None:
        _scan(pipeline, videos, follow_links)

    run_pipeline("scan", out, config, set_, work, retry=retry, give_up=give_up)


def select(out: Out, config: Config = None, set_: Set = None) -> None:
    """See `STEPS`."""
    terminal.open_output(out)
    run_pipeline("select", out, config, set_, _select)


def _clip_command(step: StepInfo) -> Callable[..., None]:
    def command(
        out: Out, config: Config = None, set_: Set = None, selection: SelectionOption = None,
        *, retry: Retry = None, give_up: GiveUp = False,
    ) -> None:  # fmt: skip
        def work(pipeline: Pipeline) -> None:
            _run_clip_step(pipeline, step)

        terminal.open_output(out)
        run_pipeline(step.name, out, config, set_, work, selection, retry=retry, give_up=give_up)

    return command


def run_pipeline(  # noqa: PLR0917  what a command is given
    command: str,
    out: str,
    profile_name: str | None,
    changes: list[str] | None,
    work: Callable[[Pipeline], None],
    selection: str | None = None,
    *,
    retry: list[str] | None = None,
    give_up: bool = False,
    steps: Collection[str] | None = None,
) -> None:
    """Runs the work on a pipeline and ends with the exit code that says how it went."""
    profile = config.load(profile_name, changes or (), command=command, steps=steps)

    def print_place(place: str) -> None:
        terminal.console.print(f"workers: {escape(place)}; `execution.executor` chooses")

    with open_pipeline(
        out, profile, selection, retry=retry or (), give_up=give_up, on_start=print_place
    ) as pipeline:
        work(pipeline)
        pipeline.check_available()
        if failed := pipeline.failed():
            total = f"{count(failed.total(), 'input')} failed"
            terminal.console.print(f"[yellow]{total}[/]: {terminal.format_counts(failed)}")
            raise typer.Exit(FAILED_INPUTS)


def _scan(pipeline: Pipeline, videos: list[str], follow_links: bool) -> None:
    root = pipeline.dataset.catalog.storage.root
    inputs = list_videos(videos, exclude=root, follow_links=follow_links)
    skipped = terminal.format_skipped(sum(inputs.skipped.values(), Counter()))
    if not inputs.entries:
        message = f"no videos found in {', '.join(videos)}"
        raise ListingError(f"{message}; skipped: {skipped}" if skipped else message)
    if skipped:
        terminal.console.print(f"[yellow]skipped[/]: {escape(skipped)}")
    print_changes(pipeline, "scan")
    with terminal.progress("scan", STEPS["scan"].unit) as on_progress:
        done = pipeline.scan(inputs, on_progress)
    _print_result("scan", done)
    unusual = pipeline.dataset.remarked_sources() if done is not None else 0
    if unusual:
        message = f"{count(unusual, 'unusual source')}; the report says how"
        terminal.console.print(f"[yellow]remarks[/]: {message}")


def _select(pipeline: Pipeline) -> None:
    print_changes(pipeline, "select")
    selection = pipeline.select()
    progress.record_finished("select", STEPS["select"].unit, selection.funnel)
    terminal.console.print(terminal.funnel_table(selection.funnel, selection.previous_funnel))


def _run_clip_step(pipeline: Pipeline, step: StepInfo) -> None:
    for name in (*(section for section in step.reads if section in STEPS), step.name):
        print_changes(pipeline, name)
    with terminal.progress(step.name, step.unit) as on_progress:
        done = pipeline.run(step.name, on_progress)
    _print_result(step.name, done)
    if isinstance(last := pipeline.steps[-1], CaptionStep):
        _print_captions(last)


def _print_result(step: str, done: Progress | None) -> None:
    if done is not None and terminal.console.is_terminal:
        return  # the progress line says it
    result = "nothing to do" if done is None else terminal.format_counts(done.counts)
    terminal.console.print(f"[bold]{step}[/]: {result}")


def _print_captions(step: CaptionStep) -> None:
    """Where the captions are, and how often each question's answer is yes."""
    terminal.console.print(f"captions: {escape(step.captions)}")
    thresholds = {name: step.stage.thresholds.get(name, _YES) for name in step.stage.questions}
    if not thresholds:
        return
    try:
        answers = step.dataset.answers(step.captions, thresholds)
    except LineageError:
        return
    table = Table(box=None, pad_edge=False)
    for title in ("question", "from", "yes", "no"):
        table.add_column(title, justify="left" if title == "question" else "right")
    for name, threshold in thresholds.items():
        if name in answers.column_names:
            yes = pc.sum(answers[name]).as_py() or 0
            no = len(answers) - answers[name].null_count - yes
            table.add_row(escape(name), f"{threshold:g}", f"{yes:,}", f"{no:,}")
    terminal.console.print(table)
