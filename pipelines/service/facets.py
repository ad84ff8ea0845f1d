"""How many clips there are of each word and value: what one can filter by, and what is left.

Each column's words are counted under all filters but its own, so that another word of the same
column can still be chosen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel

from curation.search.errors import SearchError
from curation.select.policy import LIMITS
from curation.select.tags import TAGS
from curation.sql_filter import matching

Bools = npt.NDArray[np.bool_]
_NO_FACETS = ("clip_id", "source_id", "uri", "caption", "duplicate_of", "time_base", "group_id")
_MOST_WORDS = 40
"""A column with more words is none to choose from."""
_FIRST = ("verdict", "reason")


class Word(BaseModel):
    """One word of a column."""

    word: str
    clips: int


class Facet(BaseModel):
    """A column of words."""

    column: str
    about: str
    words: list[Word]
    """The most frequent first."""


class Span(BaseModel):
    """A column of numbers, from the least to the largest value among all clips."""

    column: str
    about: str
    min: float
    max: float


class Facets(BaseModel):
    """What the clips can be narrowed by."""

    total: int
    """Clips under all filters."""
    facets: list[Facet]
    spans: list[Span]


def count(table: pa.Table, where: str | None, words: Mapping[str, Sequence[str]]) -> Facets:
    """Counts the words of a table of clips, as an index has them, under a condition and words.

    Raises `SearchError` for a condition that cannot be read and for columns that are none.
    """
    names = _columns(table)
    if unknown := [name for name in words if name not in names]:
        raise SearchError(f"no column of words {unknown[0]!r}; there are {', '.join(names)}")
    base = _fitting(table, where)
    chosen = {name: _is_in(table, name, wanted) for name, wanted in words.items() if wanted}
    facets = []
    for name in names:
        others = [mask for other, mask in chosen.items() if other != name]
        found = _words(table, name, np.logical_and.reduce([base, *others]), words.get(name, ()))
        if found:
            facets.append(Facet(column=name, about=_about(name), words=found))
    total = int(np.logical_and.reduce([base, *chosen.values()]).sum())
    return Facets(total=total, facets=facets, spans=_spans(table))


def _columns(table: pa.Table) -> list[str]:
    texts = [f.name for f in table.schema if pa.types.is_string(f.type)]
    offered = [name for name in texts if name not in _NO_FACETS]
    offered = [n for n in offered if n in _FIRST or n in TAGS or _few(table[n])]
    return sorted(offered, key=lambda n: (*(n != first for first in _FIRST), n not in TAGS))


def _few(column: pa.ChunkedArray) -> bool:
    return 0 < len(pc.unique(column.drop_null())) <= _MOST_WORDS


def _fitting(table: pa.Table, where: str | None) -> Bools:
    if where is None:
        return np.ones(table.num_rows, bool)
    try:
        rows = matching(table, where, ["row"])["row"]
    except ValueError as error:
        raise SearchError(str(error)) from error
    return np.asarray(pc.is_in(table["row"], rows.combine_chunks()).to_numpy(), bool)


def _is_in(table: pa.Table, name: str, words: Sequence[str]) -> Bools:
    return np.asarray(pc.is_in(table[name], pa.array(words, pa.string())).to_numpy(), bool)


def _words(table: pa.Table, name: str, mask: Bools, chosen: Sequence[str]) -> list[Word]:
    """Words and counts; those that are chosen even where none is left."""
    column = table[name].filter(pa.array(mask)).drop_null()
    pairs = pc.value_counts(column).to_pylist()
    found = {pair["values"]: pair["counts"] for pair in pairs}
    found = {**dict.fromkeys(chosen, 0), **found}
    ranked = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    return [Word(word=word, clips=clips) for word, clips in ranked[:_MOST_WORDS]]


def _about(name: str) -> str:
    own = {"verdict": "What the newest selection decided.", "reason": "Why a clip is not kept."}
    return TAGS[name].about if name in TAGS else own.get(name, "From the list of inputs.")


def _spans(table: pa.Table) -> list[Span]:
    found = []
    for name, limit in LIMITS.items():
        ends = pc.min_max(table[name]).as_py() if name in table.column_names else {}
        if ends.get("min") is not None:
            found.append(Span(column=name, about=limit.about, **ends))
    return found
