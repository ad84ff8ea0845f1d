"""Running the work of a command on an output, from its options to the exit code."""

from __future__ import annotations

from collections.abc import Callable

import typer

from curation.dataset import Dataset
from curation.errors import InfrastructureError
from curation.output_location import check_writable
from pipelines import config
from pipelines.cli import terminal
from pipelines.cli.exit import FAILED_INPUTS
from pipelines.run.pipeline import Job, executor

_MOST_SHOWN = 5


def run_job(  # noqa: PLR0917  what a command is given
    command: str,
    out: str,
    profile_name: str | None,
    changes: list[str] | None,
    work: Callable[[Job], None],
    selection: str | None = None,
    *,
    give_up: bool = False,
) -> None:
    """Runs the work on a job and ends with the exit code that says how it went."""
    dataset = Dataset(out)
    profile = config.load(profile_name, changes or (), command=command)
    check_writable(dataset.catalog.storage)
    with executor(profile) as get:
        job = Job(dataset, profile, get, selection=selection, give_up=give_up)
        work(job)
        if any(job.away.values()):
            raise _out_of_reach(job)
        if job.failed():
            raise typer.Exit(FAILED_INPUTS)


def _out_of_reach(job: Job) -> InfrastructureError:
    """What waits, and how to go on with and without it."""
    found = [*job.unreachable, *(each for step in job.captions for each in step.waiting)]
    first = "".join(f"\n  {words}" for words in list(dict.fromkeys(found))[:_MOST_SHOWN])
    error = InfrastructureError(f"sources out of reach, by step: {terminal.said(job.away)}{first}")
    if job.unreachable:
        error.advice = (
            "What was done is kept. Bring them back and run the same command again; or go on"
            " without them: the same command with --give-up records them as `missing`."
        )
    return error
