"""The pairs of similar clips, found once and stored, so that a new threshold takes seconds.

Clips are compared by their signatures, for near-duplicates, or by the vectors of an embedding.
Clips that are identical to the bit, and all those that show nothing, are represented by one of them
before anything is searched: a thousand copies of a test card make a thousand rows, not a million.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import pyarrow as pa

from curation import records
from curation.dedup.footage_match import match_footage
from curation.dedup.letterbox_variants import LetterboxVariants
from curation.dedup.pair_search import pair_batches
from curation.dedup.pairs import NEAR_DUPLICATE_FLOOR, SEMANTIC_FLOOR, Pairs, concat
from curation.dedup.similarity import Bools, Floats
from curation.dedup.vectors import BLOCK, Rows, Vectors, allocate, normalize, take_rows, unpack
from curation.embed.signature import inverse_dct
from curation.records import Neighbour

_PIXELS = 16 * 16


@dataclass(frozen=True)
class Content(ABC):
    """What some clips show."""

    rows: pa.Table
    """Rows of what they are compared by, sorted by `clip_id`."""
    threads: int = 0
    """That compare; 0 for one a core."""
    floor: ClassVar[float]
    """How similar the descriptors of two clips have to be for the pair to be compared."""

    @cached_property
    def ids(self) -> list[str]:
        """The clips, sorted."""
        ids: list[str] = self.rows["clip_id"].to_pylist()
        return ids

    @property
    @abstractmethod
    def keys(self) -> Sequence[bytes]:
        """Equal for clips that are identical to the bit."""

    @property
    @abstractmethod
    def descriptors(self) -> tuple[Vectors, Rows]:
        """Unit vectors [m, dim] that find pairs, and the row of the clip that each belongs to.

        Clips that show nothing have none, or zeros.
        """

    @abstractmethod
    def compare(self, pairs: Pairs) -> tuple[Floats, Floats]:
        """How similar those pairs are, 0 for none at all, and the seconds they share or NaN."""


class Signatures(Content):
    """Clips by what they show from frame to frame; rows of the table `signatures`."""

    floor = NEAR_DUPLICATE_FLOOR

    @cached_property
    def keys(self) -> Sequence[bytes]:
        """See `Content`."""
        columns = (self.rows[name].to_pylist() for name in ("bars", "scales", "coarse", "fine"))
        return [b"".join(parts) for parts in zip(*columns, strict=True)]

    @cached_property
    def variants(self) -> LetterboxVariants:
        """The signatures, unpacked as needed."""
        return LetterboxVariants.of(self.rows)

    @cached_property
    def _ranks(self) -> Rows:
        """The order of the clips by their content, so that identical ones are compared alike."""
        ranks = np.empty(len(self.ids), np.int64)
        ranks[sorted(range(len(ranks)), key=self.keys.__getitem__)] = np.arange(len(ranks))
        return ranks

    @cached_property
    def descriptors(self) -> tuple[Vectors, Rows]:
        """The mean of each variant's frames as a 16×16 picture, its frames counting alike.

        Of its values the signed square roots are taken (Perronnin et al. 2010), so that a logo that
        is brighter than all else does not dominate the picture.
        """
        means = self.variants.mean_frames()
        vectors = allocate(len(means), _PIXELS)
        for start in range(0, len(means), BLOCK):
            block = normalize(means[start : start + BLOCK].astype(np.float32))
            pixels = inverse_dct(block.astype(np.float64))
            vectors[start : start + BLOCK] = np.sign(pixels) * np.sqrt(np.abs(pixels))
        return normalize(vectors), self.variants.clip_rows()

    def compare(self, pairs: Pairs) -> tuple[Floats, Floats]:
        """How well the clips agree where they agree best in time."""
        swap = self._ranks[pairs.first] > self._ranks[pairs.second]
        one = np.where(swap, pairs.second, pairs.first)
        other = np.where(swap, pairs.first, pairs.second)
        match = match_footage(self.variants, one, other, self.threads)
        return match.similarity, match.overlap_s


class Embeddings(Content):
    """Clips by the vectors of one model; rows of its table `embeddings/…`."""

    floor = SEMANTIC_FLOOR

    @cached_property
    def keys(self) -> Sequence[bytes]:
        """See `Content`."""
        vectors: list[bytes] = self.rows["vector"].to_pylist()
        return vectors

    @cached_property
    def descriptors(self) -> tuple[Vectors, Rows]:
        """See `Content`."""
        (dim,) = set(self.rows["dim"].to_pylist()) or {1}
        return unpack(self.keys, dim), np.arange(len(self.ids))

    def compare(self, pairs: Pairs) -> tuple[Floats, Floats]:
        """The cosine alone."""
        return pairs.similarity, np.full(len(pairs), np.nan)


Search = Callable[[Content, Bools, Bools], tuple[Pairs, Floats]]
"""From what clips show, which of them stand for others and which are new, to the pairs that compare
as similar, by rising rows, and the seconds that each shares."""


def find_neighbours(
    content: Content,
    searched: Collection[str],
    representatives: Collection[str],
    search: Search | None = None,
) -> pa.Table:
    """Rows of `Neighbour` for the clips that were not searched for yet; in this process by default.

    `searched` are those that were, and `representatives` those of them that stand for identical
    ones. Each other clip gets a row with itself or with the representative of those identical to
    it, and there is a row for each pair above the floor.
    """
    ids = content.ids
    is_representative = np.fromiter((clip in representatives for clip in ids), bool, len(ids))
    new = np.fromiter((clip not in searched for clip in ids), bool, len(ids))
    groups = _identical_groups(content, is_representative)
    search = search or similar_pairs
    similar, overlap_s = search(content, groups == np.arange(len(ids)), new)
    new_rows = np.flatnonzero(new)
    identical = Pairs(groups[new_rows], new_rows, np.ones(len(new_rows)))
    return pa.concat_tables(
        [
            _neighbour_rows(ids, similar, overlap_s, identical=False),
            _neighbour_rows(ids, identical, np.full(len(new_rows), np.nan), identical=True),
        ]
    )


def _neighbour_rows(
    ids: Sequence[str], pairs: Pairs, overlap_s: Floats, *, identical: bool
) -> pa.Table:
    """Rows of `Neighbour` of the second of each pair; an overlap of NaN is null."""
    id_column = pa.array(ids, pa.string())
    columns = {
        "clip_id": id_column.take(pa.array(pairs.second)),
        "neighbour_id": id_column.take(pa.array(pairs.first)),
        "similarity": pairs.similarity,
        "overlap_s": pa.array(overlap_s, from_pandas=True),
        "identical": np.full(len(pairs), identical),
    }
    return pa.table(columns).cast(records.arrow_schema(Neighbour))


def similar_pairs(content: Content, is_representative: Bools, new: Bools) -> tuple[Pairs, Floats]:
    """See `Search`. Candidates are compared as they come and most are dropped, so memory holds the
    results alone."""
    vectors, owners = searched_vectors(content, is_representative)
    judged = [
        judge(content, candidate_pairs(owners, candidates))
        for candidates in pair_batches(vectors, content.floor, new[owners])
    ]
    return merge_judged(judged)


def searched_vectors(content: Content, is_representative: Bools) -> tuple[Vectors, Rows]:
    """The descriptors of representatives, and the row of the clip that each belongs to."""
    vectors, owners = content.descriptors
    index = np.flatnonzero(is_representative[owners])
    return take_rows(vectors, index), owners[index]


def candidate_pairs(owners: Rows, candidates: Pairs) -> Pairs:
    """Pairs of clips by pairs of their descriptors, each once."""
    pairs = Pairs(owners[candidates.first], owners[candidates.second], candidates.similarity)
    return pairs.take(_distinct(pairs))


def judge(content: Content, pairs: Pairs) -> tuple[Pairs, Floats]:
    """Those of some pairs of clips that compare as similar, and the seconds that each shares."""
    similarity, overlap_s = content.compare(pairs)
    similar = np.flatnonzero(similarity > 0)
    return Pairs(pairs.first, pairs.second, similarity).take(similar), overlap_s[similar]


def merge_judged(judged: Iterable[tuple[Pairs, Floats]]) -> tuple[Pairs, Floats]:
    """All pairs, each once, by rising rows."""
    parts = list(judged)
    pairs = concat(part for part, _ in parts)
    distinct = _distinct(pairs)
    overlap_s = np.concatenate([np.empty(0), *(overlap_s for _, overlap_s in parts)])
    return pairs.take(distinct), overlap_s[distinct]


def _distinct(pairs: Pairs) -> Rows:
    """Indices of the pairs of two clips, by rising rows, of each the most similar."""
    order = np.lexsort((-pairs.similarity, pairs.second, pairs.first))
    order = order[pairs.first[order] != pairs.second[order]]
    first, second = pairs.first[order], pairs.second[order]
    is_first = np.ones(len(order), bool)
    is_first[1:] = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
    return np.asarray(order[is_first])


def _identical_groups(content: Content, is_representative: Bools) -> Rows:
    """For each clip the row that represents its identical ones: a stored one, or else the first."""
    row_of_key: dict[bytes, int] = {}
    vectors, owners = content.descriptors
    is_empty = np.ones(len(content.ids), bool)
    is_empty[owners[vectors.any(axis=1)]] = False
    keys = [b"" if empty else key for key, empty in zip(content.keys, is_empty, strict=True)]
    for row in np.argsort(~is_representative, kind="stable").tolist():
        row_of_key.setdefault(keys[row], row)
    return np.fromiter((row_of_key[key] for key in keys), np.int64, len(keys))
