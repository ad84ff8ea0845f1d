"""The pairs of similar clips, found once and stored, so that a new threshold takes seconds.

Clips that are the same to the bit, and all those that show nothing, are known by one of them before
anything is searched: a thousand copies of a test card make a thousand rows, not a million.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curation import records
from curation.dedup.content import Content
from curation.dedup.pairs import Pairs, similar_pairs
from curation.records import Neighbour


def neighbours(content: Content, searched: Collection[str], first: Collection[str]) -> pa.Table:
    """Rows of `Neighbour` for the clips that were not searched for yet.

    `searched` are those that were, and `first` those of them by which identical ones are known.
    Each other clip gets a row with itself or with the first of those identical to it, and there is
    a row for each pair above the floor.
    """
    ids = content.ids
    known = np.fromiter((clip in first for clip in ids), bool, len(ids))
    new = np.fromiter((clip not in searched for clip in ids), bool, len(ids))
    stands = representatives(content, known)
    pairs = _candidates(content, stands == np.arange(len(ids)), new)
    similarity, overlap_s = content.judged(pairs)
    rows = [
        Neighbour(ids[second], ids[first], similar, overlap)
        for first, second, similar, overlap in zip(
            pairs.first.tolist(), pairs.second.tolist(), similarity.tolist(), overlap_s, strict=True
        )
        if similar > 0
    ]
    rows += [Neighbour(ids[row], ids[stands[row]], 1.0, identical=True)
             for row in np.flatnonzero(new).tolist()]  # fmt: skip
    return records.table(Neighbour, rows)


def _candidates(content: Content, own: npt.NDArray[np.bool_], new: npt.NDArray[np.bool_]) -> Pairs:
    """Pairs of clips of which any two marks are above the floor, each once."""
    vectors, owners = content.marks
    asked = np.flatnonzero(own[owners])
    found = similar_pairs(vectors[asked], content.floor, new[owners[asked]])
    one, other = owners[asked[found.first]], owners[asked[found.second]]
    order = np.lexsort((-found.similarity, other, one))
    order = order[one[order] != other[order]]
    one, other, similarity = one[order], other[order], found.similarity[order]
    first = np.ones(len(order), bool)
    first[1:] = (one[1:] != one[:-1]) | (other[1:] != other[:-1])
    return Pairs(one[first], other[first], similarity[first])


def representatives(content: Content, known: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """For each clip the one that it is known by: of the same ones that known, or else the first."""
    first: dict[bytes, int] = {}
    vectors, owners = content.marks
    empty = np.ones(len(content.ids), bool)
    empty[owners[vectors.any(axis=1)]] = False
    keys = [b"" if nothing else key for key, nothing in zip(content.keys, empty, strict=True)]
    for row in (*np.flatnonzero(known).tolist(), *np.flatnonzero(~known).tolist()):
        first.setdefault(keys[row], row)
    return np.fromiter((first[key] for key in keys), np.int64, len(keys))
