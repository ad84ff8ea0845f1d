"""What clips are compared by: their signatures, for copies, or the vectors of some embedding.

Both offer the same: a key that is equal for clips that are the same to the bit, a unit vector that
finds candidates, and a judgement of the pairs found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curation.dedup.alignment import Shown, align, shown
from curation.dedup.pairs import Pairs, Rows, Vectors
from curation.dedup.signature import COARSE, unpacked_rows
from curation.policy import COPIES_FLOOR, SEMANTIC_FLOOR
from curation.records import Signature

_CANDIDATE = 0.6
"""Copies have marks at least this similar."""

Floats = npt.NDArray[np.float64]


class Content(Protocol):
    """What some clips show."""

    @property
    def ids(self) -> Sequence[str]:
        """The clips, sorted."""

    @property
    def floor(self) -> float:
        """How similar the vectors of two clips have to be for the pair to be judged."""

    @property
    def keys(self) -> Sequence[bytes]:
        """Equal for clips that are the same; all that show nothing are."""

    @property
    def marks(self) -> tuple[Vectors, Rows]:
        """Unit vectors [m, dim] that find pairs, and the row of the clip that each belongs to.

        Clips that show nothing have none, or zeros.
        """

    def judged(self, pairs: Pairs) -> tuple[Floats, list[float | None]]:
        """How similar those pairs are, 0 for none at all, and how many seconds they share."""


@dataclass(frozen=True)
class Signatures:
    """Clips by what they show from frame to frame; rows of the table `signatures` by clip."""

    rows: pa.Table

    @property
    def floor(self) -> float:
        """See `Content`."""
        return _CANDIDATE

    @cached_property
    def ids(self) -> Sequence[str]:
        """See `Content`."""
        listed: list[str] = self.rows["clip_id"].to_pylist()
        return listed

    @cached_property
    def keys(self) -> Sequence[bytes]:
        """See `Content`."""
        columns = (self.rows[name].to_pylist() for name in ("bars", "scales", "coarse", "fine"))
        return [b"".join(parts) for parts in zip(*columns, strict=True)]

    @cached_property
    def marks(self) -> tuple[Vectors, Rows]:
        """The mean look of each framing of each clip, its frames counting alike."""
        framings = self.rows["framings"].to_numpy()
        owners = np.repeat(np.arange(len(framings)), framings)
        made = np.empty((len(owners), COARSE), np.float32)
        at = 0
        for row, count in enumerate(framings.tolist()):
            if count:
                frames = unpacked_rows(*(self.rows[n][row].as_py() for n in ("scales", "coarse")))
                made[at : at + count] = unit(frames).reshape(count, -1, COARSE).mean(axis=1)
                at += count
        return unit(made), owners

    def judged(self, pairs: Pairs) -> tuple[Floats, list[float | None]]:
        """How well the clips agree where they agree best in time."""
        unpacked = lru_cache(maxsize=4096)(self._shown)
        similarity = np.zeros(len(pairs))
        overlap_s: list[float | None] = []
        for at, (one, other) in enumerate(zip(pairs.first, pairs.second, strict=True)):
            # In the order of their content, so that identical clips are all judged alike.
            a, b = sorted((int(one), int(other)), key=self.keys.__getitem__)
            found = align(unpacked(a), unpacked(b))
            similarity[at] = found.similarity if found.similarity >= COPIES_FLOOR else 0.0
            overlap_s.append(found.overlap_s)
        return similarity, overlap_s

    def _shown(self, row: int) -> Shown:
        (said,) = self.rows.slice(row, 1).to_pylist()
        return shown(Signature(**{"source_id": "", **said}))


@dataclass(frozen=True)
class Embedded:
    """Clips by the vectors of one model; rows of its table `embeddings/…` by clip."""

    rows: pa.Table

    @property
    def floor(self) -> float:
        """See `Content`."""
        return SEMANTIC_FLOOR

    @cached_property
    def ids(self) -> Sequence[str]:
        """See `Content`."""
        listed: list[str] = self.rows["clip_id"].to_pylist()
        return listed

    @cached_property
    def keys(self) -> Sequence[bytes]:
        """See `Content`."""
        listed: list[bytes] = self.rows["vector"].to_pylist()
        return listed

    @cached_property
    def marks(self) -> tuple[Vectors, Rows]:
        """See `Content`."""
        (dim,) = set(self.rows["dim"].to_pylist()) or {1}
        return unpack(self.keys, dim), np.arange(len(self.ids))

    def judged(self, pairs: Pairs) -> tuple[Floats, list[float | None]]:
        """The cosine says all."""
        return pairs.similarity, [None] * len(pairs)


def unpack(vectors: Sequence[bytes], dim: int) -> Vectors:
    """Stored float16 vectors as float32 [n, dim], of unit length again (or zero)."""
    made = np.empty((len(vectors), dim), np.float32)
    for start in range(0, len(vectors), 65536):
        part = vectors[start : start + 65536]
        made[start : start + len(part)] = np.frombuffer(b"".join(part), "<f2").reshape(-1, dim)
    return unit(made)


def unit(vectors: Vectors) -> Vectors:
    """The vectors at unit length, in place; those too short to point anywhere are zero."""
    for start in range(0, len(vectors), 65536):
        part = vectors[start : start + 65536]
        lengths = np.linalg.norm(part, axis=1, keepdims=True)
        part /= np.where(lengths > 1e-3, lengths, np.inf)
    return vectors
