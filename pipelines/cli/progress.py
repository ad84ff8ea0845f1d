"""Progress of a step: a live line on a terminal, or now and then a line in a file."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Mapping

from rich.progress import BarColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as ProgressBar

from pipelines.cli import terminal
from pipelines.run.progress import with_progress_file
from pipelines.run.step_runner import Progress, ProgressCallback

_QUIET_SECONDS = 10.0


@contextlib.contextmanager
def progress(step: str, things: str) -> Iterator[ProgressCallback]:
    """Shows the progress of a step."""
    with progress_of({step: things}) as callbacks:
        yield callbacks[step]


@contextlib.contextmanager
def progress_of(units: Mapping[str, str]) -> Iterator[dict[str, ProgressCallback]]:
    """Shows the progress of steps, given by name and unit, that may be at work at the same time."""
    with contextlib.ExitStack() as stack:
        show: Callable[[str, str], ProgressCallback] = _show_lines
        if terminal.output.quiet:
            show = _show_nothing
        elif terminal.console.is_terminal:
            show = functools.partial(_show_bar, stack.enter_context(_open_bars()))
        yield {
            step: with_progress_file(step, things, show(step, things))
            for step, things in units.items()
        }


def _open_bars() -> ProgressBar:
    return ProgressBar(
        SpinnerColumn(),
        TextColumn("[bold]{task.description:<9}"),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[words]}"),
        TimeElapsedColumn(),
        console=terminal.console,
    )


def _show_bar(bars: ProgressBar, step: str, things: str) -> ProgressCallback:
    """A line of its own, from when the step begins."""
    task: TaskID | None = None
    started = 0.0

    def update(done: int, total: int, progress: Progress) -> None:
        nonlocal task, started
        if task is None:
            task, started = bars.add_task(step, total=None, words=""), time.monotonic()
        words = describe(done, total, things, progress, time.monotonic() - started)
        bars.update(task, completed=done, total=total, words=words)

    return update


def _show_lines(step: str, things: str) -> ProgressCallback:
    started = last_print = time.monotonic()

    def print_line(done: int, total: int, progress: Progress) -> None:
        nonlocal last_print
        now = time.monotonic()
        if done == progress.before or now - last_print >= _QUIET_SECONDS:
            last_print = now
            words = describe(done, total, things, progress, now - started)
            terminal.console.print(f"{step}: {words}")

    return print_line


def _show_nothing(step: str, things: str) -> ProgressCallback:
    return lambda *_: None


def describe(done: int, total: int, things: str, progress: Progress, seconds: float) -> str:
    """How far a step is: `3/9 clips (1 before), 42 s of video, 6.2 x real time, 1:40 left, …`."""
    words = [f"{done:,}/{total:,} {things}"]
    if progress.before:
        words[0] += f" ({progress.before:,} before)"
    if progress.video_s:
        words.append(f"{_duration(progress.video_s)} of video")
        words.append(f"{progress.video_s / max(seconds, 1e-3):.1f} x real time")
    if 0 < progress.share < 1:
        words.append(f"{_duration(seconds * (1 / progress.share - 1))} left")
    if progress.counts:
        words.append(terminal.format_counts(progress.counts))
    return ", ".join(words)


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return (
        f"{minutes // 60}:{minutes % 60:02}:{rest:02} h"
        if minutes >= 60
        else f"{minutes}:{rest:02} min"
    )
