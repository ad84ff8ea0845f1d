"""Selects the clips for which a condition is true.

The condition is one SQL expression: columns, literals, comparisons, `and`, `or`, `not`, `in`,
`like`, `between`, `is null`, `is distinct from`, arithmetic, and the functions of `FUNCTIONS`. It
is parsed by sqlglot (MIT) and held against that list; only what the list allows is written again
for DuckDB, which evaluates it in a database of its own without files, network or variables of this
program, in bounded memory, threads and time. Subqueries, joins, casts and table functions do not
exist here, so the cost is one pass over the rows.
"""

from __future__ import annotations

import difflib
import threading
from collections.abc import Sequence

import duckdb
import pyarrow as pa
import sqlglot
from sqlglot import expressions as sql
from sqlglot.errors import SqlglotError

from curation.errors import ReelmillError

FUNCTIONS = (
    "abs", "array_contains", "ceil", "coalesce", "contains", "ends_with", "floor", "greatest",
    "least", "length", "list_contains", "lower", "regexp_matches", "round", "starts_with", "upper",
)  # fmt: skip
_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": False,
    "python_enable_replacements": False,
    "memory_limit": "1GB",
    "threads": 2,
    "lock_configuration": True,
}
_DEADLINE_S = 20.0
_MAX_CHARS = 10_000
_MAX_NODES = 1000
_ALLOWED = (
    sql.Column, sql.Identifier, sql.Literal, sql.Boolean, sql.Null, sql.Paren, sql.And, sql.Or,
    sql.Not, sql.EQ, sql.NEQ, sql.GT, sql.GTE, sql.LT, sql.LTE, sql.NullSafeEQ, sql.NullSafeNEQ,
    sql.Is, sql.In, sql.Between,
    sql.Like, sql.ILike, sql.Add, sql.Sub, sql.Mul, sql.Div, sql.Mod, sql.Neg, sql.DPipe, sql.Func,
    sql.Tuple, sql.Escape,
)  # fmt: skip


class ConditionError(ReelmillError, ValueError):
    """A condition that is no such expression over the columns; the message says why."""


def filter_clips(table: pa.Table, condition: str, columns: Sequence[str] | None = None) -> pa.Table:
    """The rows for which the condition is true, with these columns or all, in no fixed order.

    Raises `ConditionError` for what is no condition, for unknown columns, and for one that takes
    too long.
    """
    try:
        expression = duckdb.SQLExpression(_rewrite(condition, table.column_names))
        with duckdb.connect(config=_SETTINGS) as connection:
            deadline = threading.Timer(_DEADLINE_S, connection.interrupt)
            deadline.start()
            try:
                rows = connection.from_arrow(table).filter(expression)
                names = [duckdb.ColumnExpression(name) for name in columns or table.column_names]
                return rows.select(*names).to_arrow_table()
            finally:
                deadline.cancel()
    except duckdb.InterruptException as error:
        raise ConditionError(f"where {condition!r} takes too long") from error
    except duckdb.Error as error:
        raise ConditionError(
            f"where {condition!r}: {str(error).splitlines()[0].strip()}"
        ) from error


def _rewrite(condition: str, columns: Sequence[str]) -> str:
    """The condition as DuckDB reads it, of allowed parts alone."""
    if len(condition) > _MAX_CHARS:
        raise ConditionError(f"where: a condition has at most {_MAX_CHARS:,} characters")
    try:
        (tree,) = sqlglot.parse(condition, dialect="duckdb")
    except (SqlglotError, RecursionError, ValueError) as error:
        details = getattr(error, "errors", None) or [{}]
        message = details[0].get("description") or "write one expression over columns"
        message = message.partition(" for <class")[0]
        raise ConditionError(f"where {condition!r} is no condition: {message}") from error
    if tree is None:
        raise ConditionError("where: there is no condition")
    names = {column.lower(): column for column in columns}
    for count, node in enumerate(tree.walk()):
        problem = "is too long" if count > _MAX_NODES else _problem(node, names, columns)
        if problem:
            raise ConditionError(f"where {condition!r}: {problem}")
    return tree.sql(dialect="duckdb")


def _problem(node: sql.Expr, names: dict[str, str], columns: Sequence[str]) -> str:
    """What is wrong with one part of a condition; empty if nothing is."""
    if not isinstance(node, _ALLOWED):
        return f"{type(node).__name__.lower()} {node.sql(dialect='duckdb')[:60]!r} is not allowed"
    if isinstance(node, sql.Func) and not isinstance(node, sql.And | sql.Or):
        name = node.sql(dialect="duckdb").partition("(")[0].lower()
        if name not in FUNCTIONS:
            return f"there is no function {name!r}; there are {', '.join(FUNCTIONS)}"
    if isinstance(node, sql.In) and (node.args.get("query") or node.args.get("unnest")):
        return "in takes a list of values"
    if isinstance(node, sql.Column):
        if node.name.lower() not in names or node.table:
            similar = difflib.get_close_matches(node.name, columns, 1)
            hint = f"; did you mean {similar[0]!r}?" if similar else ""
            return f"there is no column {node.name!r}{hint}; there are {', '.join(columns)}"
        node.this.set("this", names[node.name.lower()])
        node.this.set("quoted", True)
    return ""
