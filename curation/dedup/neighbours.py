"""The pairs of similar clips, found once and stored, so that a new threshold takes seconds.

Clips that are the same to the bit, and all those that show nothing, are known by one of them before
anything is searched: a thousand copies of a test card make a thousand rows, not a million.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curation import records
from curation.dedup.content import Content
from curation.dedup.energies import Floats
from curation.dedup.memmap import taken
from curation.dedup.pairs import Pairs, Rows, joined
from curation.dedup.similar_pairs import pair_batches
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
    similar, overlap_s = _similar(content, stands == np.arange(len(ids)), new)
    own = np.flatnonzero(new)
    identical = Pairs(stands[own], own, np.ones(len(own)))
    return pa.concat_tables(
        [
            _rows(ids, similar, overlap_s, identical=False),
            _rows(ids, identical, np.full(len(own), np.nan), identical=True),
        ]
    )


def _rows(ids: Sequence[str], pairs: Pairs, overlap_s: Floats, *, identical: bool) -> pa.Table:
    """Rows of `Neighbour` of the second of each pair; an overlap of NaN is null."""
    named = pa.array(ids, pa.string())
    columns = {
        "clip_id": named.take(pa.array(pairs.second)),
        "neighbour_id": named.take(pa.array(pairs.first)),
        "similarity": pairs.similarity,
        "overlap_s": pa.array(overlap_s, from_pandas=True),
        "identical": np.full(len(pairs), identical),
    }
    return pa.table(columns).cast(records.schema(Neighbour))


def _similar(
    content: Content, own: npt.NDArray[np.bool_], new: npt.NDArray[np.bool_]
) -> tuple[Pairs, Floats]:
    """Pairs of clips of which two marks are above the floor and that are judged to be similar.

    Candidates are judged as they come and most are forgotten, so memory holds what is found alone.
    """
    vectors, owners = content.marks
    asked = np.flatnonzero(own[owners])
    owners = owners[asked]
    found, overlaps_s = [], [np.empty(0)]
    for marked in pair_batches(taken(vectors, asked), content.floor, new[owners]):
        pairs = Pairs(owners[marked.first], owners[marked.second], marked.similarity)
        pairs = pairs.at(_once(pairs))
        similarity, overlap_s = content.judged(pairs)
        near = np.flatnonzero(similarity > 0)
        found.append(Pairs(pairs.first, pairs.second, similarity).at(near))
        overlaps_s.append(overlap_s[near])
    pairs = joined(found)
    once = _once(pairs)
    return pairs.at(once), np.concatenate(overlaps_s)[once]


def _once(pairs: Pairs) -> Rows:
    """Places of pairs of two clips, by rising rows, each once."""
    order = np.lexsort((-pairs.similarity, pairs.second, pairs.first))
    order = order[pairs.first[order] != pairs.second[order]]
    first, second = pairs.first[order], pairs.second[order]
    fresh = np.ones(len(order), bool)
    fresh[1:] = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
    return np.asarray(order[fresh])


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
