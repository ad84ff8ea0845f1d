"""Selects the clips for which an SQL condition is true.

The condition is one expression over columns, evaluated by DuckDB in a database of its own without
access to files, network or variables of this program.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

import duckdb
import pyarrow as pa

from curation.errors import ReelmillError

_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": False,
    "python_enable_replacements": False,
    "lock_configuration": True,
}
_UNKNOWN_COLUMN = re.compile(r'Referenced column "([^"]*)" (?:was )?not found')


class ConditionError(ReelmillError, ValueError):
    """A condition that is no SQL expression over the columns; the message says why."""


def filter_clips(table: pa.Table, condition: str, columns: Sequence[str] | None = None) -> pa.Table:
    """The rows for which the condition is true, with these columns or all, in no fixed order.

    Raises `ConditionError` for a condition that is no SQL, and for unknown columns.
    """
    with duckdb.connect(config=_SETTINGS) as connection:
        try:
            rows = connection.from_arrow(table).filter(duckdb.SQLExpression(condition))
            names = [duckdb.ColumnExpression(name) for name in columns or table.column_names]
            return rows.select(*names).to_arrow_table()
        except duckdb.Error as error:
            message = _explain(str(error), table.column_names)
            raise ConditionError(f"where {condition!r}: {message}") from error


def _explain(message: str, columns: Sequence[str]) -> str:
    unknown = _UNKNOWN_COLUMN.search(message)
    if unknown is None:
        return message.splitlines()[0].strip()
    similar = difflib.get_close_matches(unknown[1], columns, 1)
    hint = f"; did you mean {similar[0]!r}?" if similar else ""
    return f"there is no column {unknown[1]!r}{hint}; there are {', '.join(columns)}"
