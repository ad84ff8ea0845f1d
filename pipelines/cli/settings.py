"""`reelmill settings`: the settings with which the steps of an output last ran."""

from __future__ import annotations

from typing import Any

from curation.steps import STEPS
from pipelines.cli import terminal
from pipelines.cli.options import Out
from pipelines.cli.places import open_output
from pipelines.cli.rows import print_result
from pipelines.cli.terminal import escape
from pipelines.config.merge import profiles_folder, read_profile
from pipelines.run.applied_settings import applied_settings, setting_changes
from pipelines.run.pipeline import Pipeline


def settings(
    out: Out,
) -> None:
    """Prints the settings of each step's last run that differ from the default profile."""
    default = read_profile(profiles_folder() / "default.yaml")
    for step, last in applied_settings(open_output(out).catalog).items():
        differences = setting_changes(step, default.get(STEPS[step].section, {}), last.settings)
        rows = [{"key": c.key, "value": c.new, "default": c.old} for c in differences]
        lines = [
            f"  {escape(c.key)}={escape(c.new)}  (default {escape(c.old)})" for c in differences
        ]
        print_result(
            {"step": step, "started": last.started, "settings": rows},
            "\n".join([
                f"[bold]{step}[/], {_minute(last.started)}:", *(lines or ["  all defaults"])
            ]),
        )  # fmt: skip


def print_changes(pipeline: Pipeline, step: str) -> None:
    """Prints a line for each setting that differs from the step's last run."""
    last = applied_settings(pipeline.dataset.catalog).get(step)
    if last is None:
        return
    settings: Any = pipeline.profile.resolved[STEPS[step].section]
    for change in setting_changes(step, last.settings, settings):
        values = f"{escape(change.old)} → {escape(change.new)}"
        last_run = f"last run: {_minute(last.started)}"
        terminal.console.print(f"[yellow]{step}[/]: {escape(change.key)} {values} ({last_run})")


def _minute(started: str) -> str:
    """A run's start, to the minute."""
    return started[:16].replace("T", " ") + " UTC"
