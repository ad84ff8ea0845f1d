"""Facets: the values of each column to filter by, and how many clips have them.

A column is counted under all filters but its own, so that another value of it can still be chosen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel

from curation.search.query import SearchError
from curation.select.policy import LIMITS, TAGS
from curation.sql_filter import filter_clips

Bools = npt.NDArray[np.bool_]
_NO_FACETS = ("clip_id", "source_id", "uri", "caption", "duplicate_of", "time_base", "group_id")
_MAX_WORDS = 40
"""A column with more values is no facet."""
_FIRST = {
    "verdict": "What the newest selection decided.",
    "reason": "Why a clip is not kept.",
}
"""Columns before all others, and what they are."""


class WordCount(BaseModel):
    """One value of a text column."""

    word: str
    clips: int


class Facet(BaseModel):
    """A text column."""

    column: str
    about: str
    words: list[WordCount]
    """The most frequent first."""


class ValueRange(BaseModel):
    """A numeric column, with its least and largest value among all clips."""

    column: str
    about: str
    min: float
    max: float


class Facets(BaseModel):
    """All facets of a collection."""

    total: int
    """Clips under all filters."""
    facets: list[Facet]
    spans: list[ValueRange]


def count(table: pa.Table, where: str | None, words: Mapping[str, Sequence[str]]) -> Facets:
    """The facets of a table of clips, as an index has them, under a condition and chosen words.

    Raises `SearchError` for a condition that cannot be parsed and for unknown columns.
    """
    names = _columns(table)
    if unknown := [name for name in words if name not in names]:
        raise SearchError(f"no column of words {unknown[0]!r}; there are {', '.join(names)}")
    base = _matches(table, where)
    chosen = {
        name: np.asarray(pc.is_in(table[name], pa.array(values, pa.string())).to_numpy(), bool)
        for name, values in words.items()
        if values
    }
    facets = []
    for name in names:
        other_filters = [mask for other, mask in chosen.items() if other != name]
        mask = np.logical_and.reduce([base, *other_filters])
        if counts := _count_words(table[name], mask, words.get(name, ())):
            about = TAGS[name].about if name in TAGS else _FIRST.get(name, "From the input list.")
            facets.append(Facet(column=name, about=about, words=counts))
    total = int(np.logical_and.reduce([base, *chosen.values()]).sum())
    return Facets(total=total, facets=facets, spans=_spans(table))


def _columns(table: pa.Table) -> list[str]:
    names = [
        field.name
        for field in table.schema
        if pa.types.is_string(field.type) and field.name not in _NO_FACETS
        and (field.name in _FIRST or field.name in TAGS or _has_few_values(table[field.name]))
    ]  # fmt: skip
    return sorted(names, key=lambda n: (*(n != first for first in _FIRST), n not in TAGS))


def _has_few_values(column: pa.ChunkedArray) -> bool:
    return 0 < len(pc.unique(column.drop_null())) <= _MAX_WORDS


def _matches(table: pa.Table, where: str | None) -> Bools:
    if where is None:
        return np.ones(table.num_rows, bool)
    try:
        rows = filter_clips(table, where, ["row"])["row"]
    except ValueError as error:
        raise SearchError(str(error)) from error
    return np.asarray(pc.is_in(table["row"], rows.combine_chunks()).to_numpy(), bool)


def _count_words(column: pa.ChunkedArray, mask: Bools, chosen: Sequence[str]) -> list[WordCount]:
    """The most frequent words; chosen ones even where no clip is left."""
    pairs = pc.value_counts(column.filter(pa.array(mask)).drop_null()).to_pylist()
    counts = dict.fromkeys(chosen, 0) | {pair["values"]: pair["counts"] for pair in pairs}
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [WordCount(word=word, clips=clips) for word, clips in ranked[:_MAX_WORDS]]


def _spans(table: pa.Table) -> list[ValueRange]:
    spans = []
    for name, limit in LIMITS.items():
        ends = pc.min_max(table[name]).as_py() if name in table.column_names else {}
        if ends.get("min") is not None:
            spans.append(ValueRange(column=name, about=limit.about, **ends))
    return spans
