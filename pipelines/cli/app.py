"""`reelmill`: curate video from the command line.

Exit codes: 0 all accounted for, 1 a check failed, 2 usage, 3 finished but some inputs failed,
4 stopped and resumable.
"""

from __future__ import annotations

import signal
import sys
from typing import Annotated, Any

import typer

from pipelines.cli import exit, terminal
from pipelines.cli.command_group import CONTEXT, CommandGroup

_TYPER_INTERRUPTED = 130
"""What typer makes of a `KeyboardInterrupt`."""

app = typer.Typer(
    name="reelmill",
    cls=CommandGroup,
    help="Turn raw video into training data for world models.",
    epilog=(
        "Exit codes: 0 all accounted for, 1 a check failed, 2 usage, 3 finished but some inputs"
        " failed, 4 stopped: the same command resumes."
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings=CONTEXT,
)


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        from importlib.metadata import version

        typer.echo(f"reelmill {version('reelmill')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:  # fmt: skip
    """The options of the program itself."""


def run() -> None:
    """The entry point of the program."""
    terminal.tolerate_closed_pipe()
    code = main()
    terminal.flush()
    sys.exit(code)


def main() -> int:
    """Runs the command line and returns its exit code, having printed what went wrong."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _stop)
    terminal.set_output()
    try:
        code = app(standalone_mode=False, prog_name="reelmill")
        if code == _TYPER_INTERRUPTED:
            raise KeyboardInterrupt
        return int(code or 0)
    except terminal.ClosedPipeError:
        return 0
    except (KeyboardInterrupt, Exception) as error:
        return exit.report_error(error)


def _stop(*_: Any) -> None:
    raise KeyboardInterrupt
