"""Results as rows: a table for people, one JSON object a line for scripts.

A command gives its rows with their stable field names and says which of them a table shows, and
how. JSON has every field, as the value itself.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from pipelines.cli import terminal
from pipelines.cli.terminal import escape

_ID_DIGITS = 12

Row = Mapping[str, Any]


def shown(value: Any) -> str:
    """A value as a table shows it: nothing for none, and numbers with five digits."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.5g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def short_id(clip_id: str) -> str:
    """The digits of an id that a table shows; commands take them."""
    return clip_id[:_ID_DIGITS]


def shorten(text: str | None, length: int = 60) -> str:
    """A text in one line of at most so many characters."""
    line = " ".join((text or "").split())
    return line if len(line) <= length else f"{line[: length - 1]}…"


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    field: str
    """The field of the row that it shows."""
    title: str | None = None
    """Its heading; the field's name if left out."""
    show: Callable[[Any], str] = shown
    """How the value reads."""
    right: bool = False
    """Whether it is a number."""
    style: Callable[[Row], str | None] = lambda _: None
    """The colour of a row's cell."""


def print_rows(
    rows: Iterable[Row],
    columns: Sequence[Column],
    *,
    title: str | None = None,
    empty: str = "",
    header: bool = True,
) -> None:
    """Prints rows as a table, or each as a JSON object; `empty` are the words where there are none.

    A column that is empty in every row is left out of the table.
    """
    if terminal.output.json_lines:
        print_objects(rows)
        return
    cells = list(rows)
    if not cells:
        print_line(empty)
        return
    used = [c for c in columns if any(c.show(row.get(c.field)) for row in cells)]
    table = Table(
        box=None, pad_edge=False, show_header=header, title=title, title_justify="left",
        title_style="bold",
    )  # fmt: skip
    for column in used:
        heading = column.field if column.title is None else column.title
        table.add_column(heading, justify="right" if column.right else "left", overflow="fold")
    for row in cells:
        table.add_row(*(_cell(column, row) for column in used))
    terminal.results.print(table)


def print_result(row: Row, words: str) -> None:
    """Prints one result: in words, with markup, or as a JSON object."""
    if terminal.output.json_lines:
        print_objects([row])
    else:
        print_line(words)


def print_line(words: str) -> None:
    """Prints a line of a result, with markup, which JSON has as a part of some row."""
    if words and not terminal.output.json_lines:
        terminal.results.print(words)


def print_text(row: Row, text: str) -> None:
    """Prints one result that a script may take as it is: a text, or a JSON object."""
    if terminal.output.json_lines:
        print_objects([row])
    else:
        print(text)


def print_objects(rows: Iterable[Row]) -> None:
    """Prints each row as a JSON object on a line of its own."""
    for row in rows:
        print(json.dumps(_plain(row), ensure_ascii=False, default=str))


def _cell(column: Column, row: Row) -> str:
    text, style = escape(column.show(row.get(column.field))), column.style(row)
    return f"[{style}]{text}[/]" if style else text


def _plain(value: Any) -> Any:
    """The value as JSON can hold it: numbers that are not finite are null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(item) for item in value]
    return value
