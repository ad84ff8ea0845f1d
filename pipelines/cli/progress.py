"""Progress of a step: a live line on a terminal, or now and then a line in a file."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as ProgressBar

from pipelines.cli import terminal
from pipelines.run.progress import with_progress_file
from pipelines.run.step_runner import Progress, ProgressCallback

_QUIET_SECONDS = 10.0


@contextlib.contextmanager
def progress(step: str, things: str) -> Iterator[ProgressCallback]:
    """Shows the progress of a step."""
    started = time.monotonic()
    if terminal.output.quiet:
        yield with_progress_file(step, things, lambda *_: None)
    elif terminal.console.is_terminal:
        with ProgressBar(
            SpinnerColumn(),
            TextColumn("[bold]{task.description:<9}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[words]}"),
            TimeElapsedColumn(),
            console=terminal.console,
        ) as bar:
            task = bar.add_task(step, total=None, words="")

            def update_bar(done: int, total: int, progress: Progress) -> None:
                words = describe(done, total, things, progress, time.monotonic() - started)
                bar.update(task, completed=done, total=total, words=words)

            yield with_progress_file(step, things, update_bar)
    else:
        last_print = started

        def print_line(done: int, total: int, progress: Progress) -> None:
            nonlocal last_print
            now = time.monotonic()
            if done == progress.before or now - last_print >= _QUIET_SECONDS:
                last_print = now
                words = describe(done, total, things, progress, now - started)
                terminal.console.print(f"{step}: {words}")

        yield with_progress_file(step, things, print_line)


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
