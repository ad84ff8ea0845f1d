"""`reelmill settings`: with which settings the steps of an output last ran."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.markup import escape

from pipelines.cli import terminal
from pipelines.config.merge import profiles_folder, read
from pipelines.run.applied_settings import SECTION, applied, changes
from pipelines.run.pipeline import Job


def settings(
    out: Annotated[str, typer.Argument(help="The output folder or s3:// address.")],
) -> None:
    """Show the settings that each step of an output last ran with, where they are no defaults.

    An output remembers them, but the next command does not use them: give them again.
    """
    default = read(profiles_folder() / "default.yaml")
    for step, last in applied(terminal.opened(out).catalog).items():
        terminal.console.print(f"[bold]{step}[/], {when(last.started)}:")
        found = changes(step, default[SECTION[step]], last.settings)
        for each in found:
            terminal.console.print(f"  {escape(each.key)}={escape(each.after)}", end="")
            terminal.console.print(f"  (default {escape(each.before)})")
        if not found:
            terminal.console.print("  all defaults")


def say_changes(job: Job, step: str) -> None:
    """Prints a line for each setting that the step's last run had otherwise."""
    last = applied(job.dataset.catalog).get(step)
    if last is None:
        return
    now: Any = job.profile.resolved[SECTION[step]]
    for each in changes(step, last.settings, now):
        terminal.console.print(
            f"[yellow]{step}[/]: {escape(each.key)} {escape(each.before)} → {escape(each.after)}"
            f" ({escape(each.before)} was given on {when(last.started)})"
        )


def when(started: str) -> str:
    """A run's start, for people."""
    return started[:16].replace("T", " ") + " UTC"
