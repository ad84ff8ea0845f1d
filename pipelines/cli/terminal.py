"""What a command prints: words for people, or rows that a script reads.

Words and results go to standard output, results as a table. With `--json` each row is an object on
a line of its own, and the words of a job go to standard error. With `--quiet` there are results and
errors alone.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TextIO

from rich.console import Console
from rich.markup import escape as escape_markup

_MAX_KINDS = 8
_WHOLE_LINE = 10_000


@dataclass(frozen=True)
class PrintOptions:
    """How a command was asked to print."""

    json_lines: bool = False
    quiet: bool = False
    verbose: bool = False


console = Console(highlight=False, soft_wrap=True)
"""Words."""
results = Console(highlight=False, soft_wrap=True)
"""Tables and other results."""
errors = Console(stderr=True, highlight=False, soft_wrap=True)
output = PrintOptions()
if not console.is_terminal:
    console.width = results.width = _WHOLE_LINE  # tables are not wrapped in pipes and files


def set_output(
    *, json_lines: bool = False, quiet: bool = False, verbose: bool = False, is_job: bool = False
) -> None:
    """Prints as asked from now on; a job goes on when nobody reads its output any more."""
    global output  # noqa: PLW0603  one process runs one command
    output = PrintOptions(json_lines, quiet, verbose)
    console.stderr = json_lines
    console.quiet = quiet or (json_lines and not is_job)
    ReadPipe.is_needed = not is_job


class ClosedPipeError(Exception):
    """Who read the output has stopped."""


class ReadPipe:
    """Standard output, which may be closed by its reader, such as `head`.

    From then on it swallows what is written, and raises `ClosedPipeError` if it is needed.
    """

    is_needed = True

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, text: str) -> int:
        """Writes text."""
        with self._closing():
            return self._file.write(text)
        return len(text)

    def flush(self) -> None:
        """Writes what is buffered."""
        with self._closing():
            self._file.flush()

    @contextlib.contextmanager
    def _closing(self) -> Any:
        try:
            yield
        except BrokenPipeError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._file.fileno())
            if ReadPipe.is_needed:
                raise ClosedPipeError from error


def tolerate_closed_pipe() -> None:
    """Makes a closed pipe no failure."""
    sys.stdout = ReadPipe(sys.stdout)


def flush() -> None:
    """Writes what is buffered before the program ends."""
    with contextlib.suppress(ClosedPipeError):
        sys.stdout.flush()


def escape(text: str) -> str:
    """Text from a file, a table or a server as the terminal shows it, and nothing that it obeys."""
    visible = (c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)
    return escape_markup("".join(visible))


def format_counts(counts: Mapping[str, int]) -> str:
    """Counts in words, the most frequent first."""
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in ordered)


def count(number: int, noun: str) -> str:
    """A number and its noun, which takes an s in the plural."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def format_kinds(counts: Mapping[str, int], names: Mapping[str, str]) -> str:
    """Counts by kind, the most frequent first, with names for some kinds."""
    first = dict(Counter(counts).most_common(_MAX_KINDS))
    words = [f"{count:,} {names.get(kind, kind)}" for kind, count in first.items()]
    if more := sum(counts.values()) - sum(first.values()):
        words.append(f"{more:,} more")
    return ", ".join(words)
