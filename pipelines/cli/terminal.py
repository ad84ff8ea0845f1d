"""Output to the terminal: live progress, or occasional lines where there is no terminal."""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.markup import escape as escape_markup
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as ProgressBar
from rich.table import Table

from curation import pending_inputs
from curation.dataset import Dataset
from curation.errors import PrerequisiteError
from curation.listing import LINKED, NO_ENDING, OTHER
from curation.storage import AddressError, Storage
from pipelines.run.progress import with_progress_file
from pipelines.run.step_runner import Progress, ProgressCallback

if TYPE_CHECKING:
    from pipelines.verify import CheckResult

console = Console(highlight=False, soft_wrap=True)
if not console.is_terminal:
    console.width = 10_000  # tables are not wrapped in pipes and files
errors = Console(stderr=True, highlight=False, soft_wrap=True)

_QUIET_SECONDS = 10.0
_MAX_VIOLATIONS = 20
_MAX_KINDS = 8
_KIND_NAMES = {
    NO_ENDING: "without an ending",
    OTHER: "with other endings",
    LINKED: "linked folders (name one as an input to scan it)",
}


def escape(text: str) -> str:
    """Text from a file, a table or a server as the terminal shows it, and nothing that it obeys."""
    visible = (c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)
    return escape_markup("".join(visible))


def open_output(out: str) -> Dataset:
    """The output at an address; `PrerequisiteError` if there is none, so a typo creates none."""
    dataset = Dataset(out)
    if all(dataset.catalog.open(name) is None for name in ("sources", pending_inputs.LISTED)):
        raise PrerequisiteError(
            f"no output at {out}; `reelmill curate` or `reelmill scan` makes one"
        )
    return dataset


def local_path(value: str | Path) -> Path:
    """Parses a local path; `typer.BadParameter` for another address."""
    text = os.fspath(value)
    try:
        storage = Storage.at(text)
    except AddressError as error:
        raise typer.BadParameter(str(error)) from error
    if storage.is_s3:
        raise typer.BadParameter(f"{text}: has to be a local path")
    return Path(storage.root if "://" in text else text).expanduser()


@contextlib.contextmanager
def progress(step: str, things: str) -> Iterator[ProgressCallback]:
    """Shows the progress of a step."""
    started = time.monotonic()
    if console.is_terminal:
        with ProgressBar(
            SpinnerColumn(),
            TextColumn("[bold]{task.description:<9}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[counts]}"),
            console=console,
        ) as bar:
            task = bar.add_task(step, total=None, rate="", counts="")

            def update_bar(done: int, total: int, progress: Progress) -> None:
                rate, counts = _rate(done, started), format_counts(progress.counts)
                bar.update(task, completed=done, total=total, rate=rate, counts=counts)

            yield with_progress_file(step, things, update_bar)
        return
    last_print = started

    def print_line(done: int, total: int, progress: Progress) -> None:
        nonlocal last_print
        now = time.monotonic()
        if done == 0 or now - last_print >= _QUIET_SECONDS:
            last_print = now
            console.print(f"{step}: {done}/{total} {things} {_rate(done, started)}".rstrip())

    yield with_progress_file(step, things, print_line)


def _rate(done: int, started: float) -> str:
    return f"{done / max(time.monotonic() - started, 1e-3):.1f}/s" if done else ""


def format_counts(counts: Mapping[str, int]) -> str:
    """Counts in words, the most frequent first."""
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in ordered)


def count(number: int, noun: str) -> str:
    """A number and its noun, which takes an s in the plural."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def format_skipped(counts: Mapping[str, int]) -> str:
    """Skipped files by kind, the most frequent first."""
    first = dict(Counter(counts).most_common(_MAX_KINDS))
    words = [f"{count:,} {_KIND_NAMES.get(kind, kind)}" for kind, count in first.items()]
    if more := sum(counts.values()) - sum(first.values()):
        words.append(f"{more:,} more")
    return ", ".join(words)


def funnel_table(current: Counter[str], previous: Counter[str] | None) -> Table:
    """Clips by verdict and reason, with those of the previous selection if there is one."""
    table = Table(box=None, pad_edge=False)
    table.add_column("clips")
    table.add_column("now", justify="right")
    if previous is not None:
        table.add_column("before", justify="right")
    names = (current | (previous or Counter())).keys() - {"kept", "duplicate"}
    total = current.total()
    for name in ("kept", "duplicate", *sorted(names, key=lambda name: (-current[name], name))):
        label = {"kept": "kept", "duplicate": "duplicates"}.get(name, f"filtered: {name}")
        cells = [label, f"{current[name]:,}  {current[name] / max(total, 1):4.0%}"]
        if previous is not None:
            cells.append(f"{previous[name]:,}")
        table.add_row(*cells, style="green" if name == "kept" else None)
    table.add_row("all", f"{total:,}      ", *([f"{previous.total():,}"] if previous else []))
    return table


def print_check_results(results: Sequence[CheckResult]) -> None:
    """Prints one line per invariant, and then the violations."""
    table = Table(box=None, pad_edge=False, show_header=False)
    for result in results:
        mark = "[green]holds[/]" if result.holds else "[red]broken[/]"
        table.add_row(mark, escape(result.statement), f"{result.checked:,} checked")
    console.print(table)
    for result in results:
        if not result.holds:
            console.print(f"[red]broken[/]: {escape(result.statement)}")
        for violation in result.violations[:_MAX_VIOLATIONS]:
            console.print(f"  {escape(violation)}")
        if len(result.violations) > _MAX_VIOLATIONS:
            console.print(f"  and {len(result.violations) - _MAX_VIOLATIONS:,} more")
