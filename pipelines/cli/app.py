"""`reelmill`: curate video from the command line.

Exit codes: 0 all accounted for, 1 a check failed, 2 usage, 3 finished but some inputs failed,
4 stopped and resumable.
"""

from __future__ import annotations

import shlex
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from curation.listing import ListingError, listing
from curation.reasons import INPUT_REASONS
from curation.storage import Storage
from pipelines.cli import caption as captions
from pipelines.cli import exit, export, label, pending, search, settings, terminal, why
from pipelines.cli import service as service_commands
from pipelines.cli.run_step import run_job
from pipelines.cli.tokenizer import app as tokenizer_app
from pipelines.run import progress
from pipelines.run.pipeline import Job
from pipelines.run.step_runner import Tally
from pipelines.verify import verify as verify_promises

_TYPER_INTERRUPTED = 130
"""What typer makes of a `KeyboardInterrupt`."""

app = typer.Typer(
    name="reelmill",
    help="Turn raw video into training data for world models.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.add_typer(tokenizer_app, name="tokenizer")

Videos = Annotated[
    list[str],
    typer.Argument(help="Folders, video files, lists (.txt, .csv, .parquet) or s3:// addresses."),
]
Out = Annotated[str, typer.Argument(help="The output folder or s3:// address.")]
OutOption = Annotated[str, typer.Option("--out", "-o", help="The output folder or s3:// address.")]
Config = Annotated[
    str | None, typer.Option("--config", "-c", help="A YAML file laid over the default profile.")
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", help="Change one value, as KEY=VALUE. May be given again."),
]

Chosen = Annotated[
    str | None,
    typer.Option("--selection", help="A selection or exported subset; else the newest selection."),
]
Retry = Annotated[
    list[str] | None,
    typer.Option("--retry", help="Give inputs that failed for this reason another chance."),
]
GiveUp = Annotated[
    bool,
    typer.Option("--give-up", help="Record sources that are out of reach as `missing`, and go on."),
]


@app.command(epilog="Example: reelmill curate ~/videos --out out --set motion.min=0.01")
def curate(
    videos: Videos,
    out: OutOption,
    *,
    config: Config = None,
    set_: Set = None,
    retry: Retry = None,
    give_up: GiveUp = False,
) -> None:
    """Scan, select, render, caption and tokenize: the main job.

    Run it again to resume or to add videos.
    """

    def work(job: Job) -> None:
        _scan(job, videos, retry)
        _select(job)
        _render(job)
        _caption(job, retry)
        _tokenize(job)
        _closing(job, out)

    run_job("curate", out, config, set_, work, give_up=give_up)


@app.command(epilog="Example: reelmill scan videos.csv --out s3://bucket/curated")
def scan(
    videos: Videos,
    out: OutOption,
    *,
    config: Config = None,
    set_: Set = None,
    retry: Retry = None,
    give_up: GiveUp = False,
) -> None:
    """Watch each source once: shots, scores, thumbnails, embeddings."""
    run_job("scan", out, config, set_, lambda job: _scan(job, videos, retry), give_up=give_up)


@app.command(epilog="Example: reelmill select out --set motion.min=0.3")
def select(out: Out, config: Config = None, set_: Set = None) -> None:
    """Apply a policy to the stored scores; takes seconds and touches no video."""
    terminal.opened(out)
    run_job("select", out, config, set_, _select)


app.command(epilog="Example: reelmill why out 3f2a")(why.why)


@app.command(epilog="Example: reelmill render out --set render.mode=copy")
def render(
    out: Out, config: Config = None, set_: Set = None, selection: Chosen = None,
    give_up: GiveUp = False,
) -> None:  # fmt: skip
    """Write the clips that the newest selection keeps."""
    terminal.opened(out)
    run_job("render", out, config, set_, _render, selection, give_up=give_up)


@app.command(help=captions.SHORT, epilog=captions.EXAMPLES)
def caption(
    out: Out, config: Config = None, set_: Set = None, retry: Retry = None,
    selection: Chosen = None,
) -> None:  # fmt: skip
    """Describe the clips that the newest selection keeps."""
    terminal.opened(out)
    run_job("caption", out, config, set_, lambda job: _caption(job, retry), selection)


@app.command(epilog="Example: reelmill tokenize out --set tokenizer=pca-4x8x8")
def tokenize(
    out: Out, config: Config = None, set_: Set = None, selection: Chosen = None,
    give_up: GiveUp = False,
) -> None:  # fmt: skip
    """Turn rendered clips into token shards."""
    terminal.opened(out)
    run_job("tokenize", out, config, set_, _tokenize, selection, give_up=give_up)


app.command(epilog="Example: reelmill index out")(search.index)
app.command(epilog="Example: reelmill search out 'a dark clip' --where 'duration_s > 3'")(
    search.search
)
app.command(epilog="Example: reelmill export out shards --format webdataset")(export.export)
app.command(epilog="Example: reelmill label out examples/labels.yaml")(label.label)


app.command(epilog="Example: reelmill pending out")(pending.pending)
app.command(epilog="Example: reelmill settings out")(settings.settings)


@app.command(epilog="Example: reelmill verify out")
def verify(out: Out) -> None:
    """Check the promises that an output makes, from storage alone."""
    found = verify_promises(terminal.opened(out))
    terminal.promises(found)
    if not all(promise.holds for promise in found):
        raise typer.Exit(1)


@app.command(epilog="Example: reelmill report out --html out/report.html")
def report(
    out: Out,
    html: Annotated[
        Path | None, typer.Option(help="File to write; OUT/report.html", parser=terminal.path)
    ] = None,
    compare: Annotated[
        str | None,
        typer.Option(help="Another selection to set beside it: its id, or `before` for the last."),
    ] = None,
) -> None:
    """Write one HTML file with the funnel, histograms, contact sheets and timings."""
    from pipelines.report import UnknownSelectionError, write_report

    storage = Storage.at(out)
    if html is None:
        html = Path("report.html" if storage.is_s3 else f"{storage.root}/report.html")
    try:
        path = write_report(terminal.opened(out), html, compare=compare)
    except UnknownSelectionError as error:
        raise typer.BadParameter(str(error), param_hint="--compare") from error
    terminal.console.print(f"report: {escape(str(path))}")


@app.command(epilog="Example: reelmill sample videos")
def sample(
    folder: Annotated[Path, typer.Argument(help="Folder to write them to.", parser=terminal.path)],
) -> None:
    """Render a few small sources with known truth: good ones, bad ones, and broken ones."""
    from curation.sample import render as render_sources

    truths = render_sources(folder)
    terminal.console.print(f"{len(truths)} sample sources in {escape(str(folder))}")


service_commands.register(app)


def _scan(job: Job, videos: list[str], retry: list[str] | None) -> None:
    _check_reasons(retry)
    listed = listing(videos, outside=job.dataset.catalog.storage.root)
    over = terminal.passed_over(sum(listed.passed_over.values(), Counter()))
    if not listed.entries:
        words = f"no videos found in {', '.join(videos)}"
        raise ListingError(f"{words}; passed over: {over}" if over else words)
    if over:
        terminal.console.print(f"[yellow]passed over[/]: {escape(over)}")
    settings.say_changes(job, "scan")
    with terminal.progress("scan", "sources") as watch:
        tally = job.scan(listed, watch, frozenset(retry or ()))
    _say("scan", tally)
    unusual = job.dataset.remarked() if tally is not None else 0
    if unusual:
        words = f"{unusual} sources are unusual; the report says how"
        terminal.console.print(f"[yellow]remarks[/]: {words}")


def _check_reasons(retry: list[str] | None) -> None:
    for reason in set(retry or ()) - INPUT_REASONS.keys():
        raise typer.BadParameter(f"{reason}: the reasons are {', '.join(INPUT_REASONS)}")


def _select(job: Job) -> None:
    settings.say_changes(job, "select")
    selection = job.select()
    progress.finished("select", "clips", selection.funnel)
    terminal.console.print(terminal.funnel(selection.funnel, selection.before))


def _render(job: Job) -> None:
    settings.say_changes(job, "render")
    with terminal.progress("render", "clips") as watch:
        tally = job.render(watch)
    _say("render", tally)


def _caption(job: Job, retry: list[str] | None) -> None:
    _check_reasons(retry)
    settings.say_changes(job, "caption")
    _say("caption", captions.caption(job, retry))
    captions.told(job)


def _tokenize(job: Job) -> None:
    settings.say_changes(job, "tokenize")
    with terminal.progress("tokenize", "clips") as watch:
        tally = job.tokenize(watch)
    _say("tokenize", tally)


def _say(step: str, tally: Tally | None) -> None:
    if tally is not None and terminal.console.is_terminal:
        return  # the progress line says it
    words = "nothing to do" if tally is None else terminal.said(tally.counts)
    terminal.console.print(f"[bold]{step}[/]: {words}")


def _closing(job: Job, out: str) -> None:
    failed = job.failed()
    if failed:
        words = f"{sum(failed.values())} inputs failed"
        terminal.console.print(f"[yellow]{words}[/]: {terminal.said(failed)}")
    place = escape(shlex.quote(out))
    terminal.console.print(f"look:   reelmill report {place}")
    terminal.console.print(f"check:  reelmill verify {place}")


def run() -> None:
    """The entry point of the program."""
    sys.exit(main())


def main() -> int:
    """Runs the command line and returns its exit code, having said what went wrong."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _stop)
    try:
        code = app(standalone_mode=False)
        if code == _TYPER_INTERRUPTED:
            raise KeyboardInterrupt
        return int(code or 0)
    except (KeyboardInterrupt, Exception) as error:
        return exit.said(error)


def _stop(*_: Any) -> None:
    raise KeyboardInterrupt
