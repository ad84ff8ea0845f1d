"""`reelmill settings`: with which settings the steps of an output last ran."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.markup import escape

from pipelines.applied import SECTION, applied, changes
from pipelines.cli import show
from pipelines.config.layers import profiles_folder, read
from pipelines.job import Job


def settings(
    out: Annotated[str, typer.Argument(help="The output folder or s3:// address.")],
) -> None:
    """Show the settings that each step of an output last ran with, where they are no defaults.

    An output remembers them, but the next command does not use them: give them again.
    """
    default = read(profiles_folder() / "default.yaml")
    for step, last in applied(show.opened(out).catalog).items():
        show.console.print(f"[bold]{step}[/], {when(last.started)}:")
        found = changes(step, default[SECTION[step]], last.settings)
        for each in found:
            show.console.print(f"  {escape(each.key)}={escape(each.after)}", end="")
            show.console.print(f"  (default {escape(each.before)})")
        if not found:
            show.console.print("  all defaults")


def say_changes(job: Job, step: str) -> None:
    """Prints a line for each setting that the step's last run had otherwise."""
    last = applied(job.dataset.catalog).get(step)
    if last is None:
        return
    now: Any = job.profile.resolved[SECTION[step]]
    for each in changes(step, last.settings, now):
        show.console.print(
            f"[yellow]{step}[/]: {escape(each.key)} {escape(each.before)} → {escape(each.after)}"
            f" ({escape(each.before)} was given on {when(last.started)})"
        )


def when(started: str) -> str:
    """A run's start, for people."""
    return started[:16].replace("T", " ") + " UTC"
