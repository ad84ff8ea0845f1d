"""Which clips go: walked from the best to the worst, each compared with those already kept.

A clip goes only for one that stays, so every dropped clip has a kept one that stands for it.
Comparing with dropped ones as well would leave clips without. Clips that are the same to the bit
count as one in the search and are told apart here: the best of them stands where all of them are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from curation.dedup.pairs import Rows


@dataclass(frozen=True)
class Standing:
    """The kept clip that stands for a dropped one."""

    row: int
    similarity: float
    reason: str


@dataclass(frozen=True)
class Relation:
    """One way for clips to be duplicates: links between groups of identical clips."""

    reason: str
    """What a clip is dropped for."""
    group: Rows
    """For each clip the row that its identical group is known by, shape [n]."""
    one: Rows
    """Links: the row of a group, and ..."""
    other: Rows
    """... that of another that stands for it if it is kept; a link counts in this way only."""
    similarity: npt.NDArray[np.float64]
    apart: Sequence[object] | None = None
    """Clips with the same value here are never each other's duplicates."""

    def table(self) -> _Table:
        """The links by group, the most similar first."""
        order = np.lexsort((self.other, -self.similarity, self.one))
        bounds = np.searchsorted(self.one[order], np.arange(len(self.group) + 1))
        other, similarity = self.other[order], self.similarity[order]
        return _Table(self, self.group.tolist(), bounds.tolist(), other, similarity)


@dataclass
class _Table:
    relation: Relation
    group: list[int]
    bounds: list[int]
    other: Rows
    similarity: npt.NDArray[np.float64]
    kept: dict[int, list[int]] = field(default_factory=dict)
    """The kept clips of a group."""

    def keep(self, row: int) -> None:
        self.kept.setdefault(self.group[row], []).append(row)

    def standing(self, row: int) -> Standing | None:
        """The kept clip most similar to this one."""
        group = self.group[row]
        for found in self._of(group, row):
            return Standing(found, 1.0, self.relation.reason)
        links = slice(self.bounds[group], self.bounds[group + 1])
        for at, other in enumerate(self.other[links].tolist(), links.start):
            for found in self._of(other, row):
                return Standing(found, float(self.similarity[at]), self.relation.reason)
        return None

    def _of(self, group: int, row: int) -> Iterable[int]:
        kept = self.kept.get(group, ())
        apart = self.relation.apart
        return kept if apart is None else [k for k in kept if apart[k] != apart[row]]


def greedy(order: Iterable[int], relations: Sequence[Relation]) -> dict[int, Standing]:
    """The duplicates among the rows of `order`, best first; an earlier relation's reason counts."""
    tables = [relation.table() for relation in relations]
    duplicates: dict[int, Standing] = {}
    for row in order:
        found = next((s for s in (table.standing(row) for table in tables) if s), None)
        if found is not None:
            duplicates[row] = found
        else:
            for table in tables:
                table.keep(row)
    return duplicates
