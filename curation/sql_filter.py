"""Clips for which an SQL condition holds.

The condition is one expression over columns, read by DuckDB in a database of its own that reaches
no file, no network and no variable of this program.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

import duckdb
import pyarrow as pa

_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": False,
    "python_enable_replacements": False,
    "lock_configuration": True,
}
_UNKNOWN = re.compile(r'Referenced column "([^"]*)" (?:was )?not found')


def matching(table: pa.Table, where: str, columns: Sequence[str] | None = None) -> pa.Table:
    """The rows for which the condition holds, of these columns or all, in no fixed order.

    `ValueError` for a condition that cannot be read and for unknown columns.
    """
    with duckdb.connect(config=_SETTINGS) as connection:
        try:
            condition = duckdb.SQLExpression(where)
            found = connection.from_arrow(table).filter(condition)
            names = [duckdb.ColumnExpression(name) for name in columns or table.column_names]
            return found.select(*names).to_arrow_table()
        except duckdb.Error as error:
            raise ValueError(_said(where, str(error), table.column_names)) from error


def _said(where: str, words: str, columns: Sequence[str]) -> str:
    unknown = _UNKNOWN.search(words)
    if unknown is None:
        return f"where {where!r}: {words.splitlines()[0].strip()}"
    name = unknown[1]
    near = difflib.get_close_matches(name, columns, 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"where {where!r}: there is no column {name!r}{hint}; there are {', '.join(columns)}"
