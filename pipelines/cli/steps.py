"""The commands that run steps: `curate`, `scan`, `select`, `render`, `caption`, `tokenize`."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Annotated

import pyarrow.compute as pc
import typer

from curation.caption.step import CaptionStep
from curation.input_list import ListingError
from curation.lineage import LineageError
from curation.listing import Listing, list_videos
from curation.signals.read import assign_signals
from curation.steps import STEPS, StepInfo, clip_steps, steps_until
from curation.storage import Storage
from pipelines.cli import terminal
from pipelines.cli.dry_run import print_plan
from pipelines.cli.exit import FAILED_INPUTS
from pipelines.cli.failed import print_failures
from pipelines.cli.funnel import print_funnel
from pipelines.cli.options import Out
from pipelines.cli.pending import format_skipped
from pipelines.cli.places import open_output
from pipelines.cli.progress import progress as show_progress
from pipelines.cli.progress import progress_of
from pipelines.cli.rows import Column, print_result, print_rows
from pipelines.cli.settings import print_changes
from pipelines.cli.terminal import count, escape
from pipelines.config import load as load_profile
from pipelines.run import progress
from pipelines.run.pipeline import Pipeline, check_reasons, open_pipeline
from pipelines.run.step_runner import Progress

Videos = Annotated[
    list[str],
    typer.Argument(
        help="Folders, video files, lists (.txt, .csv, .tsv, .jsonl, .parquet) or addresses such as s3://."
    ),
]
OutOption = Annotated[
    str, typer.Option("--out", "-o", help="The output folder or address in a store.")
]
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
        help="Read files that are links to outside of the named folders, and what links name.",
    ),
]
Signals = Annotated[
    str | None,
    typer.Option(
        "--signals",
        help="Signals of the videos: a file for one video, or a folder with one for each.",
    ),
]
Until = Annotated[
    str | None,
    typer.Option("--until", help="The last step to run, such as render.", metavar="STEP"),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Print what would be done and how long it takes, and stop."),
]
_YES = 0.5
_ANSWERS = (
    Column("question"), Column("from", right=True), Column("yes", right=True),
    Column("no", right=True),
)  # fmt: skip


def curate(
    videos: Videos,
    out: OutOption,
    *,
    config: Config = None,
    set_: Set = None,
    retry: Retry = None,
    give_up: GiveUp = False,
    follow_links: FollowLinks = True,
    signals: Signals = None,
    until: Until = None,
    dry_run: DryRun = False,
) -> None:
    """Runs all steps, or those up to one."""
    steps = steps_until(until)
    if dry_run:
        profile = load_profile(config, set_ or (), command="curate", steps=steps)
        entries = _list(videos, Storage.at(out).root, follow_links, signals).entries
        print_plan(out, profile, steps, entries, check_reasons(retry or ()))
        return

    def work(pipeline: Pipeline) -> None:
        _scan(pipeline, videos, follow_links, signals)
        if "select" in steps:
            _select(pipeline)
        _run_clip_steps(pipeline, [step for step in clip_steps() if step.name in steps])
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
    signals: Signals = None,
) -> None:
    """Runs the scan."""

    def work(pipeline: Pipeline) -> None:
        _scan(pipeline, videos, follow_links, signals)

    run_pipeline("scan", out, config, set_, work, retry=retry, give_up=give_up)


def select(out: Out, config: Config = None, set_: Set = None) -> None:
    """Runs the selection."""
    open_output(out)
    run_pipeline("select", out, config, set_, _select)


def clip_command(step: StepInfo) -> Callable[..., None]:
    """The command that runs one step of clips."""

    def command(
        out: Out, config: Config = None, set_: Set = None, selection: SelectionOption = None,
        *, retry: Retry = None, give_up: GiveUp = False,
    ) -> None:  # fmt: skip
        def work(pipeline: Pipeline) -> None:
            _run_clip_steps(pipeline, [step])

        open_output(out)
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
    profile = load_profile(profile_name, changes or (), command=command, steps=steps)

    def print_place(place: str) -> None:
        terminal.console.print(f"workers: {escape(place)}; `execution.executor` chooses")

    with open_pipeline(
        out, profile, selection, retry=retry or (), give_up=give_up, on_start=print_place
    ) as pipeline:
        work(pipeline)
        pipeline.check_available()
        if (failed := pipeline.failures()).num_rows:
            print_failures(failed, out)
            raise typer.Exit(FAILED_INPUTS)


def _scan(pipeline: Pipeline, videos: list[str], follow_links: bool, signals: str | None) -> None:
    root = pipeline.dataset.catalog.storage.root
    inputs = _list(videos, root, follow_links, signals)
    print_changes(pipeline, "scan")
    with show_progress("scan", STEPS["scan"].unit) as on_progress:
        done = pipeline.scan(inputs, on_progress)
    _print_result("scan", done)
    unusual = pipeline.dataset.remarked_sources() if done is not None else 0
    if unusual:
        message = f"{count(unusual, 'unusual source')}; the report says how"
        terminal.console.print(f"[yellow]remarks[/]: {message}")


def _list(videos: list[str], root: str, follow_links: bool, signals: str | None = None) -> Listing:
    """The inputs; prints what is skipped. Raises `ListingError` where there are none."""
    inputs = list_videos(videos, exclude=root, follow_links=follow_links)
    skipped = format_skipped(sum(inputs.skipped.values(), Counter()))
    if not inputs.entries:
        message = f"no videos found in {', '.join(videos)}"
        hint = "a file without a video's suffix is read when it is named itself"
        raise ListingError(f"{message}; skipped: {skipped}; {hint}" if skipped else message)
    if skipped:
        terminal.console.print(f"[yellow]skipped[/]: {escape(skipped)}")
    for problem in inputs.unread:
        terminal.console.print(f"[yellow]not read[/]: {escape(problem)}; its columns are missing")
    if inputs.repeated:
        times = f"{count(len(inputs.repeated), 'input')}: {inputs.repeated[0]}"
        more = " …" if len(inputs.repeated) > 1 else ""
        terminal.console.print(f"[yellow]listed more than once[/]: {escape(times)}{more}")
    if signals is not None:
        inputs = replace(inputs, entries=assign_signals(inputs.entries, signals))
    return inputs


def _select(pipeline: Pipeline) -> None:
    print_changes(pipeline, "select")
    selection = pipeline.select()
    progress.record_finished("select", STEPS["select"].unit, selection.funnel)
    print_funnel(selection.funnel, selection.previous_funnel)


def _run_clip_steps(pipeline: Pipeline, steps: Sequence[StepInfo]) -> None:
    sections = [name for step in steps for name in (*step.reads, step.name) if name in STEPS]
    for name in dict.fromkeys(sections):
        print_changes(pipeline, name)
    with progress_of({step.name: step.unit for step in steps}) as callbacks:
        done = pipeline.run_all([step.name for step in steps], callbacks.__getitem__)
    for name, result in done.items():
        _print_result(name, result)
    for step in pipeline.steps:
        if isinstance(step, CaptionStep):
            _print_captions(step)


def _print_result(step: str, done: Progress | None) -> None:
    counts = {} if done is None else dict(done.counts)
    words = "nothing to do" if done is None else terminal.format_counts(counts)
    print_result({"kind": "step", "step": step, "counts": counts}, f"[bold]{step}[/]: {words}")


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
    rows = []
    for name, threshold in thresholds.items():
        if name in answers.column_names:
            yes = pc.sum(answers[name]).as_py() or 0
            no = len(answers) - answers[name].null_count - yes
            rows.append({"kind": "answers", "question": name, "from": threshold,
                         "yes": yes, "no": no})  # fmt: skip
    print_rows(rows, _ANSWERS)
