"""Which clips are dropped: in the order from best to worst, each compared with those kept so far.

A clip is dropped only for one that is kept, so every dropped clip has a representative. Comparing
with dropped ones as well would leave clips without. Clips that are identical to the bit are one
node of the graph and are distinguished here: the best of them represents the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from curation.dedup.vectors import Rows


@dataclass(frozen=True)
class Representative:
    """The kept clip that represents a dropped one."""

    row: int
    similarity: float
    reason: str


@dataclass(frozen=True)
class DuplicateGraph:
    """One way for clips to be duplicates: links between groups of identical clips."""

    reason: str
    """What a clip is dropped for."""
    group: Rows
    """For each clip the row that represents its identical group, shape [n]."""
    one: Rows
    """Links: the row of a group, and ..."""
    other: Rows
    """... that of another that represents it if it is kept; a link counts in this way only."""
    similarity: npt.NDArray[np.float64]
    exclude_group: Sequence[object] | Rows | None = None
    """Clips with the same value here are never each other's duplicates."""

    def linked(self) -> npt.NDArray[np.bool_]:
        """Which clips may be duplicates or have some, bool [n]."""
        has_link = np.zeros(len(self.group), bool)
        has_link[self.one] = has_link[self.other] = True
        is_shared = np.bincount(self.group, minlength=len(self.group)) > 1
        return (has_link | is_shared)[self.group]


class _KeptClips:
    """The clips kept so far, by group of a graph."""

    def __init__(self, graph: DuplicateGraph) -> None:
        order = np.lexsort((graph.other, -graph.similarity, graph.one))
        self._graph = graph
        self._bounds = np.searchsorted(graph.one[order], np.arange(len(graph.group) + 1))
        self._other, self._similarity = graph.other[order], graph.similarity[order]
        self._kept: dict[int, list[int]] = {}

    def keep(self, row: int) -> None:
        self._kept.setdefault(int(self._graph.group[row]), []).append(row)

    def representative(self, row: int) -> Representative | None:
        """The kept clip most similar to this one."""
        group = int(self._graph.group[row])
        for kept in self._in_group(group, row):
            return Representative(kept, 1.0, self._graph.reason)
        links = slice(self._bounds[group], self._bounds[group + 1])
        for link, other in enumerate(self._other[links].tolist(), links.start):
            for kept in self._in_group(other, row):
                return Representative(kept, float(self._similarity[link]), self._graph.reason)
        return None

    def _in_group(self, group: int, row: int) -> Iterable[int]:
        kept = self._kept.get(group, ())
        exclude = self._graph.exclude_group
        return kept if exclude is None else [k for k in kept if exclude[k] != exclude[row]]


def greedy_duplicates(
    order: Sequence[int] | Rows, graphs: Sequence[DuplicateGraph]
) -> dict[int, Representative]:
    """The duplicates among the rows of `order`, best first; an earlier graph's reason counts.

    Rows without a link or an identical one are kept unseen: no graph says anything of them.
    """
    rows = np.asarray(order, np.int64)
    if not graphs:
        return {}
    linked = np.any([graph.linked() for graph in graphs], axis=0)
    kept = [_KeptClips(graph) for graph in graphs]
    duplicates: dict[int, Representative] = {}
    for row in rows[linked[rows]].tolist():
        candidates = (clips.representative(row) for clips in kept)
        representative = next(filter(None, candidates), None)
        if representative is not None:
            duplicates[row] = representative
        else:
            for clips in kept:
                clips.keep(row)
    return duplicates
