"""Selects the clips for which a condition is true.

The condition is one SQL expression: columns, literals, comparisons, `and`, `or`, `not`, `in`,
`like`, `between`, `is null`, `is distinct from`, arithmetic, `case`, casts, and the functions of
`FUNCTIONS`. It is parsed by sqlglot (MIT) and held against that list; only what the list allows is
written again for DuckDB, which evaluates it in a database of its own without files, network or
variables of this program, in bounded memory, threads and time. Subqueries, joins and table
functions do not exist here, so the cost is one pass over the rows; and no function makes a text
much longer than what it takes, as DuckDB counts and interrupts only between some thousand rows.
"""

from __future__ import annotations

import contextlib
import contextvars
import difflib
import functools
import logging
import threading
import time
from collections.abc import Iterator, Sequence

import duckdb
import pyarrow as pa
import sqlglot
from sqlglot import expressions as sql
from sqlglot.errors import SqlglotError

from curation.errors import ReelmillError

_CALLS = (
    "abs(a)", "array_contains(a, b)", "ceil(a)", "coalesce(a, b)", "contains(a, b)",
    "ends_with(a, b)", "floor(a)", "greatest(a, b)", "isfinite(a)", "isnan(a)", "least(a, b)",
    "length(a)", "list_contains(a, b)", "list_has_any(a, b)", "lower(a)", "nullif(a, b)",
    "power(a, b)", "regexp_matches(a, b)", "replace(a, b, c)", "round(a, 1)", "split_part(a, b, 1)",
    "sqrt(a)", "starts_with(a, b)", "strpos(a, b)", "substring(a, 1, 2)", "trim(a)", "upper(a)",
)  # fmt: skip
FUNCTIONS = tuple(call.partition("(")[0] for call in _CALLS)
_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": False,
    "python_enable_replacements": False,
    "memory_limit": "1GB",
    "threads": 2,
    "lock_configuration": True,
}
_DEADLINE_S = 20.0
_POLL_S = 0.1
_MAX_CHARS = 10_000
_MAX_NODES = 1000
_MAX_DEPTH = 100
_TYPES = (
    "BIGINT", "BOOLEAN", "DATE", "DOUBLE", "FLOAT", "INT", "INTEGER", "TEXT", "TIMESTAMP",
    "VARCHAR",
)  # fmt: skip
"""What a value may be cast to; columns of an input list are text."""
_ALLOWED = (
    sql.Column, sql.Identifier, sql.Literal, sql.Boolean, sql.Null, sql.Paren, sql.And, sql.Or,
    sql.Not, sql.EQ, sql.NEQ, sql.GT, sql.GTE, sql.LT, sql.LTE, sql.NullSafeEQ, sql.NullSafeNEQ,
    sql.Is, sql.In, sql.Between, sql.Like, sql.ILike, sql.Escape, sql.Add, sql.Sub, sql.Mul,
    sql.Div, sql.IntDiv, sql.Mod, sql.Neg, sql.DPipe, sql.Tuple, sql.Array, sql.Case, sql.If,
    sql.Cast, sql.TryCast, sql.DataType,
)  # fmt: skip
logging.getLogger("sqlglot").setLevel(logging.ERROR)


def _function(node: sql.Expr) -> str | type:
    """What a call is known by: its class, or its name where sqlglot has none for it."""
    return node.name.lower() if isinstance(node, sql.Anonymous) else type(node)


_KNOWN = {_function(sqlglot.parse_one(call, dialect="duckdb")) for call in _CALLS}


class ConditionError(ReelmillError, ValueError):
    """A condition that is no such expression over the columns; the message says why."""


class InterruptedConditionError(ConditionError):
    """The condition took too long, or nobody waits for it any more."""


class Interruption(threading.Event):
    """Set from another thread, it ends the conditions of the context that it was entered in."""

    def __enter__(self) -> Interruption:
        self._token = _INTERRUPTION.set(self)
        return self

    def __exit__(self, *exception: object) -> None:
        _INTERRUPTION.reset(self._token)


_INTERRUPTION: contextvars.ContextVar[Interruption | None] = contextvars.ContextVar(
    "interruption", default=None
)


def is_interrupted() -> bool:
    """Whether an `Interruption` has ended what runs in this context."""
    interruption = _INTERRUPTION.get()
    return interruption is not None and interruption.is_set()


def filter_clips(table: pa.Table, condition: str, columns: Sequence[str] | None = None) -> pa.Table:
    """The rows for which the condition is true, with these columns or all, in no fixed order.

    Raises `ConditionError` for what is no condition and for unknown columns, and its subclass
    `InterruptedConditionError` for one that takes too long, or that an `Interruption` ends.
    """
    try:
        expression = duckdb.SQLExpression(_rewrite(condition, tuple(table.column_names)))
        with duckdb.connect(config=_SETTINGS) as connection, _interruptible(connection):
            rows = connection.from_arrow(table).filter(expression)
            names = [duckdb.ColumnExpression(name) for name in columns or table.column_names]
            return rows.select(*names).to_arrow_table()
    except duckdb.InterruptException as error:
        raise InterruptedConditionError(f"where {condition!r} takes too long") from error
    except duckdb.Error as error:
        raise ConditionError(
            f"where {condition!r}: {str(error).splitlines()[0].strip()}"
        ) from error


@contextlib.contextmanager
def _interruptible(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Interrupts what the connection does once its time is up or nobody waits for it.

    Again and again, as DuckDB forgets an interruption when the next query starts.
    """
    if is_interrupted():
        raise duckdb.InterruptException
    deadline, is_over = time.monotonic() + _DEADLINE_S, threading.Event()

    def watch() -> None:
        while not is_over.wait(_POLL_S):
            if time.monotonic() >= deadline or is_interrupted():
                connection.interrupt()

    thread = threading.Thread(target=contextvars.copy_context().run, args=(watch,))
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


@functools.lru_cache(256)
def _rewrite(condition: str, columns: tuple[str, ...]) -> str:
    """The condition as DuckDB reads it, of allowed parts alone."""
    if len(condition) > _MAX_CHARS:
        raise ConditionError(f"where: a condition has at most {_MAX_CHARS:,} characters")
    try:
        (tree,) = sqlglot.parse(condition.encode().decode(), dialect="duckdb")
        if tree is None:
            raise ConditionError("where: there is no condition")
        if isinstance(tree, sql.Command | sql.Set):
            raise ValueError("a statement")
        names = {column.lower(): column for column in columns}
        for count, node in enumerate(tree.walk()):
            is_long = count > _MAX_NODES or node.depth > _MAX_DEPTH
            if problem := "is too long" if is_long else _problem(node, names, columns):
                raise ConditionError(f"where {condition!r}: {problem}")
        return tree.sql(dialect="duckdb", comments=False)
    except ConditionError:
        raise
    except (SqlglotError, RecursionError, ValueError) as error:
        details = getattr(error, "errors", None) or [{}]
        message = details[0].get("description") or "write one expression over columns"
        raise ConditionError(
            f"where {condition!r} is no condition: {message.partition(' for <class')[0]}; a column"
            " whose name is a word of SQL goes in double quotes"
        ) from error


def _problem(  # noqa: PLR0911  one of each kind of part
    node: sql.Expr, names: dict[str, str], columns: Sequence[str]
) -> str:
    """What is wrong with one part of a condition; empty if nothing is."""
    if isinstance(node, sql.In) and (node.args.get("query") or node.args.get("unnest")):
        return "in takes a list of values"
    if isinstance(node, sql.Bracket):
        (key, *others) = node.expressions
        return "[…] takes one literal" if others or not isinstance(key, sql.Literal) else ""
    if isinstance(node, sql.DataType) and node.sql(dialect="duckdb") not in _TYPES:
        return f"there is no cast to {node.sql(dialect='duckdb')[:60]}; only to {', '.join(_TYPES)}"
    if isinstance(node, sql.Replace):
        return _replacement_problem(node)
    if isinstance(node, _ALLOWED) or _function(node) in _KNOWN:
        return _resolve_column(node, names, columns) if isinstance(node, sql.Column) else ""
    if isinstance(node, sql.Func):
        name = node.name if isinstance(node, sql.Anonymous) else node.sql_name()
        return f"there is no function {name.lower()!r}; there are {', '.join(FUNCTIONS)}"
    return f"{type(node).__name__.lower()} {node.sql(dialect='duckdb')[:60]!r} is not allowed"


def _replacement_problem(node: sql.Replace) -> str:
    """Refuses what could lengthen a text: a few nested replacements would fill any memory."""
    parts = node.args.get("expression"), node.args.get("replacement")
    if all(isinstance(part, sql.Literal) for part in parts):
        old, new = (len(part.name.encode()) for part in parts if part is not None)
        if new <= old:
            return ""
    return "replace takes two literals, of which the second is no longer than the first"


def _resolve_column(node: sql.Column, names: dict[str, str], columns: Sequence[str]) -> str:
    """Spells the column as the table does; what is wrong where there is none of the name."""
    if node.name.lower() not in names or node.table:
        similar = difflib.get_close_matches(node.name, columns, 1)
        hint = f"; did you mean {similar[0]!r}?" if similar else ""
        return f"there is no column {node.name!r}{hint}; there are {', '.join(columns)}"
    node.this.set("this", names[node.name.lower()])
    node.this.set("quoted", True)
    return ""
