"""`reelmill`: curate video from the command line.

Exit codes: 0 all accounted for, 1 a check failed, 2 usage, 3 finished but some inputs failed,
4 stopped and resumable.
"""

from __future__ import annotations

import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from curation.captions import NoCaptionsError
from curation.dataset import Dataset
from curation.embed.open_clip import ModelError
from curation.listing import ListingError, list_inputs
from curation.reasons import INPUT_REASONS, EnvironmentFaultError
from curation.scan.step import SettingsError
from curation.select.selection import NotEmbeddedError
from pipelines import config, progress
from pipelines.cli import caption as captions
from pipelines.cli import export, label, search, show, why
from pipelines.cli import service as service_commands
from pipelines.cli.tokenizer import app as tokenizer_app
from pipelines.drive import Tally
from pipelines.executor import ClusterError
from pipelines.job import Job, NothingToDoError, executor
from pipelines.verify import verify as verify_promises
from tokenizer.decode import TokensNotFoundError

FAILED_INPUTS, STOPPED = 3, 4
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


@app.command(epilog="Example: reelmill curate ~/videos --out out --set motion.min=0.01")
def curate(
    videos: Videos,
    out: OutOption,
    config: Config = None,
    set_: Set = None,
    retry: Retry = None,
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

    _run(out, config, set_, work)


@app.command(epilog="Example: reelmill scan videos.csv --out s3://bucket/curated")
def scan(
    videos: Videos,
    out: OutOption,
    config: Config = None,
    set_: Set = None,
    retry: Retry = None,
) -> None:
    """Watch each source once: shots, scores, thumbnails, embeddings."""
    _run(out, config, set_, lambda job: _scan(job, videos, retry))


@app.command(epilog="Example: reelmill select out --set motion.min=0.3")
def select(out: Out, config: Config = None, set_: Set = None) -> None:
    """Apply a policy to the stored scores; takes seconds and touches no video."""
    show.opened(out)
    _run(out, config, set_, _select)


app.command(epilog="Example: reelmill why out 3f2a")(why.why)


@app.command(epilog="Example: reelmill render out --set render.mode=copy")
def render(out: Out, config: Config = None, set_: Set = None, selection: Chosen = None) -> None:
    """Write the clips that the newest selection keeps."""
    show.opened(out)
    _run(out, config, set_, _render, selection)


@app.command(help=captions.SHORT, epilog=captions.EXAMPLES)
def caption(
    out: Out, config: Config = None, set_: Set = None, retry: Retry = None,
    selection: Chosen = None,
) -> None:  # fmt: skip
    """Describe the clips that the newest selection keeps."""
    show.opened(out)
    _run(out, config, set_, lambda job: _caption(job, retry), selection)


@app.command(epilog="Example: reelmill tokenize out --set tokenizer=pca-4x8x8")
def tokenize(out: Out, config: Config = None, set_: Set = None, selection: Chosen = None) -> None:
    """Turn rendered clips into token shards."""
    show.opened(out)
    _run(out, config, set_, _tokenize, selection)


app.command(epilog="Example: reelmill index out")(search.index)
app.command(epilog="Example: reelmill search out 'a dark clip' --where 'duration_s > 3'")(
    search.search
)
app.command(epilog="Example: reelmill export out shards --format webdataset")(export.export)
app.command(epilog="Example: reelmill label out examples/labels.yaml")(label.label)


@app.command(epilog="Example: reelmill verify out")
def verify(out: Out) -> None:
    """Check the promises that an output makes, from storage alone."""
    found = verify_promises(show.opened(out))
    show.promises(found)
    if not all(promise.holds for promise in found):
        raise typer.Exit(1)


@app.command(epilog="Example: reelmill report out --html out/report.html")
def report(
    out: Out,
    html: Annotated[Path | None, typer.Option(help="File to write; OUT/report.html")] = None,
    compare: Annotated[
        str | None,
        typer.Option(help="Another selection to set beside it: its id, or `before` for the last."),
    ] = None,
) -> None:
    """Write one HTML file with the funnel, histograms, contact sheets and timings."""
    from pipelines.report import UnknownSelectionError, write_report

    if html is None:
        html = Path("report.html") if out.startswith("s3://") else Path(out) / "report.html"
    try:
        path = write_report(show.opened(out), html, compare=compare)
    except UnknownSelectionError as error:
        raise typer.BadParameter(str(error), param_hint="--compare") from error
    show.console.print(f"report: {escape(str(path))}")


@app.command(epilog="Example: reelmill sample videos")
def sample(folder: Annotated[Path, typer.Argument(help="Folder to write them to.")]) -> None:
    """Render a few small sources with known truth: good ones, bad ones, and broken ones."""
    from curation.sample import render as render_sources

    truths = render_sources(folder)
    show.console.print(f"{len(truths)} sample sources in {escape(str(folder))}")


service_commands.register(app)


def _scan(job: Job, videos: list[str], retry: list[str] | None) -> None:
    _check_reasons(retry)
    entries = list_inputs(videos, outside=job.dataset.catalog.storage.root)
    if not entries:
        raise ListingError(f"no videos found in {', '.join(videos)}")
    with show.progress("scan", "sources") as watch:
        tally = job.scan(entries, watch, frozenset(retry or ()))
    _say("scan", tally)


def _check_reasons(retry: list[str] | None) -> None:
    for reason in set(retry or ()) - INPUT_REASONS.keys():
        raise typer.BadParameter(f"{reason}: the reasons are {', '.join(INPUT_REASONS)}")


def _select(job: Job) -> None:
    selection = job.select()
    progress.finished("select", "clips", selection.funnel)
    show.console.print(show.funnel(selection.funnel, selection.before))


def _render(job: Job) -> None:
    with show.progress("render", "clips") as watch:
        tally = job.render(watch)
    _say("render", tally)


def _caption(job: Job, retry: list[str] | None) -> None:
    _check_reasons(retry)
    _say("caption", captions.caption(job, retry))
    captions.told(job)


def _tokenize(job: Job) -> None:
    with show.progress("tokenize", "clips") as watch:
        tally = job.tokenize(watch)
    _say("tokenize", tally)


def _say(step: str, tally: Tally | None) -> None:
    if tally is not None and show.console.is_terminal:
        return  # the progress line says it
    words = "nothing to do" if tally is None else show.said(tally.counts)
    show.console.print(f"[bold]{step}[/]: {words}")


def _closing(job: Job, out: str) -> None:
    failed = job.failed()
    if failed:
        words = f"{sum(failed.values())} inputs failed"
        show.console.print(f"[yellow]{words}[/]: {show.said(failed)}")
    place = escape(out)
    show.console.print(f"look:   reelmill report {place}")
    show.console.print(f"check:  reelmill verify {place}")


def _run(
    out: str, profile_name: str | None, changes: list[str] | None, work: Callable[[Job], None],
    selection: str | None = None,
) -> None:  # fmt: skip
    """Runs the work on a job and ends with the exit code that says how it went."""
    profile = config.load(profile_name, changes or ())
    with executor(profile) as get:
        job = Job(Dataset(out), profile, get, selection=selection)
        work(job)
        if any(job.away.values()):
            words = show.said(job.away)
            why = "".join(f" ({step.waiting[0]})" for step in job.captions if step.waiting)
            raise EnvironmentFaultError(f"sources out of reach, by step: {words}{why}")
        if job.failed():
            raise typer.Exit(FAILED_INPUTS)


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
    except (KeyboardInterrupt, typer.Abort):
        return _said(f"stopped. {_GO_ON}", STOPPED)
    except EnvironmentFaultError as error:
        return _said(f"stopped: {error}\n{_GO_ON}", STOPPED)
    except _USAGE as error:
        return _said(str(error), 2)
    except typer.TyperException as error:
        return _said(error.format_message(), 2)
    except Exception:
        traceback.print_exc()
        return 1


_GO_ON = "What was done is kept. Run the same command again to go on."

_USAGE = (
    config.ConfigError, ListingError, SettingsError, NothingToDoError, NotEmbeddedError,
    ClusterError, ModelError, NoCaptionsError, TokensNotFoundError,
)  # fmt: skip


def _stop(*_: Any) -> None:
    raise KeyboardInterrupt


def _said(words: str, code: int) -> int:
    show.errors.print(f"[red]reelmill:[/] {escape(words)}")
    return code
