"""`reelmill`: curate video from the command line.

Exit codes: 0 all accounted for, 1 a check failed, 2 usage, 3 finished but some inputs failed,
4 stopped and resumable.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from curation.storage import Storage
from pipelines.cli import (
    doctor,
    exit,
    export,
    label,
    maintenance,
    pending,
    search,
    service,
    settings,
    steps,
    terminal,
    why,
)
from pipelines.cli.options import Out
from pipelines.cli.terminal import escape
from pipelines.cli.tokenizer import app as tokenizer_app

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
steps.register(app)
app.command(epilog="Example: reelmill doctor")(doctor.doctor)
app.command(epilog="Example: reelmill why out 3f2a")(why.why)
app.command(epilog="Example: reelmill index out")(search.index)
app.command(epilog="Example: reelmill search out 'a dark clip' --where 'duration_s > 3'")(
    search.search
)
app.command(epilog="Example: reelmill export out shards --format webdataset")(export.export)
app.command(epilog="Example: reelmill label out examples/labels.yaml")(label.label)
app.command(epilog="Example: reelmill pending out")(pending.pending)
app.command(epilog="Example: reelmill settings out")(settings.settings)
app.command(epilog="Example: reelmill compact out")(maintenance.compact)
app.command(epilog="Example: reelmill gc out --older-than 7d --delete")(maintenance.gc)


@app.command(epilog="Example: reelmill verify out")
def verify(out: Out) -> None:
    """Check the invariants of an output, from storage alone."""
    from pipelines.verify import verify as verify_output

    results = verify_output(terminal.open_output(out))
    terminal.print_check_results(results)
    if not all(result.holds for result in results):
        raise typer.Exit(1)


@app.command(epilog="Example: reelmill report out --html out/report.html")
def report(
    out: Out,
    html: Annotated[
        Path | None,
        typer.Option(help="The file to write; OUT/report.html if it is not given.",
                     parser=terminal.local_path),
    ] = None,
    compare: Annotated[
        str | None,
        typer.Option(help="Another selection to compare with: its id, or `before` for the last."),
    ] = None,
) -> None:  # fmt: skip
    """Write one HTML file with the funnel, histograms, contact sheets and timings."""
    from curation.errors import UnknownSelectionError
    from pipelines.report.page import write_report

    storage = Storage.at(out)
    if html is None:
        html = Path("report.html" if storage.is_s3 else f"{storage.root}/report.html")
    try:
        path = write_report(terminal.open_output(out), html, compare=compare)
    except UnknownSelectionError as error:
        raise typer.BadParameter(str(error), param_hint="--compare") from error
    terminal.console.print(f"report: {escape(str(path))}")


@app.command(epilog="Example: reelmill sample videos")
def sample(
    folder: Annotated[
        Path, typer.Argument(help="The folder to write them to.", parser=terminal.local_path)
    ],
) -> None:
    """Render a few small sources with known truth: good ones, bad ones, and broken ones."""
    from curation.sample import write_sample as render_sources

    truths = render_sources(folder)
    terminal.console.print(f"{len(truths)} sample sources in {escape(str(folder))}")


service.register(app)


def run() -> None:
    """The entry point of the program."""
    sys.exit(main())


def main() -> int:
    """Runs the command line and returns its exit code, having printed what went wrong."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _stop)
    try:
        code = app(standalone_mode=False)
        if code == _TYPER_INTERRUPTED:
            raise KeyboardInterrupt
        return int(code or 0)
    except (KeyboardInterrupt, Exception) as error:
        return exit.report_error(error)


def _stop(*_: Any) -> None:
    raise KeyboardInterrupt
