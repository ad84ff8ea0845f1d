"""What people see in a terminal: live progress, or quiet lines where there is no terminal."""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from curation import pending_inputs
from curation.dataset import Dataset
from curation.listing import LINKED, NO_ENDING, OTHER
from curation.storage import PlaceError, Storage
from pipelines.run.pipeline import NothingToDoError
from pipelines.run.progress import recorded
from pipelines.run.step_runner import Tally, Watch
from pipelines.verify import Promise

console = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)

_QUIET_SECONDS = 10.0
_MOST_SHOWN = 20
_MOST_KINDS = 8
_KINDS = {
    NO_ENDING: "without an ending",
    OTHER: "with other endings",
    LINKED: "linked folders (point at one to have what it holds)",
}


def opened(out: str) -> Dataset:
    """The output at a place; `NothingToDoError` if there is none, so that a typo makes none."""
    dataset = Dataset(out)
    if all(dataset.catalog.open(name) is None for name in ("sources", pending_inputs.LISTED)):
        raise NothingToDoError(
            f"no output at {out}; `reelmill curate` or `reelmill scan` makes one"
        )
    return dataset


def path(given: str | Path) -> Path:
    """A local path that was given; other addresses would become folders of that name."""
    text = os.fspath(given)
    try:
        storage = Storage.at(text)
    except PlaceError as error:
        raise typer.BadParameter(str(error)) from error
    if storage.is_s3:
        raise typer.BadParameter(f"{text}: has to be a local path")
    return Path(storage.root if "://" in text else text).expanduser()


@contextlib.contextmanager
def progress(step: str, things: str) -> Iterator[Watch]:
    """Shows how a step comes along."""
    started = time.monotonic()
    if console.is_terminal:
        with _bar() as bar:
            task = bar.add_task(step, total=None, rate="", said="")

            def move(done: int, total: int, tally: Tally) -> None:
                rate = _rate(done, started)
                bar.update(task, completed=done, total=total, rate=rate, said=said(tally.counts))

            yield recorded(step, things, move)
        return
    last = started

    def line(done: int, total: int, tally: Tally) -> None:
        nonlocal last
        now = time.monotonic()
        if done == 0 or now - last >= _QUIET_SECONDS:
            last = now
            console.print(f"{step}: {done}/{total} {things} {_rate(done, started)}".rstrip())

    yield recorded(step, things, line)


def _rate(done: int, started: float) -> str:
    return f"{done / max(time.monotonic() - started, 1e-3):.1f}/s" if done else ""


def _bar() -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("[bold]{task.description:<9}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[said]}"),
        console=console,
    )


def said(counts: Mapping[str, int]) -> str:
    """Counts as words, the most frequent first."""
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in ordered)


def passed_over(counts: Mapping[str, int]) -> str:
    """What a listing passed over, in words, the most frequent first."""
    first = dict(Counter(counts).most_common(_MOST_KINDS))
    words = [f"{count:,} {_KINDS.get(kind, kind)}" for kind, count in first.items()]
    if more := sum(counts.values()) - sum(first.values()):
        words.append(f"{more:,} more")
    return ", ".join(words)


def funnel(now: Counter[str], before: Counter[str] | None) -> Table:
    """Clips by verdict and reason, with the selection before beside it if there is one."""
    table = Table(box=None, pad_edge=False)
    table.add_column("clips")
    table.add_column("now", justify="right")
    if before is not None:
        table.add_column("before", justify="right")
    both = now | (before or Counter())
    filtered = sorted(both.keys() - {"kept", "duplicate"}, key=lambda name: (-now[name], name))
    total = sum(now.values())
    for name in ("kept", "duplicate", *filtered):
        style = "green" if name == "kept" else None
        label = {"kept": "kept", "duplicate": "duplicates"}.get(name, f"filtered: {name}")
        cells = [label, f"{now[name]:,}  {now[name] / max(total, 1):4.0%}"]
        if before is not None:
            cells.append(f"{before[name]:,}")
        table.add_row(*cells, style=style)
    table.add_row("all", f"{total:,}      ", *([f"{sum(before.values()):,}"] if before else []))
    return table


def promises(found: list[Promise]) -> None:
    """Prints one line a promise, and then what broke which."""
    table = Table(box=None, pad_edge=False, show_header=False)
    for promise in found:
        mark = "[green]holds[/]" if promise.holds else "[red]broken[/]"
        table.add_row(mark, escape(promise.words), f"{promise.checked:,} checked")
    console.print(table)
    for promise in found:
        if not promise.holds:
            console.print(f"[red]broken[/]: {escape(promise.words)}")
        for words in promise.broken[:_MOST_SHOWN]:
            console.print(f"  {escape(words)}")
        if len(promise.broken) > _MOST_SHOWN:
            console.print(f"  and {len(promise.broken) - _MOST_SHOWN:,} more")
