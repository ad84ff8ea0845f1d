"""What clips are compared by: their signatures, for copies, or the vectors of some embedding."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import pyarrow as pa

from curation.dedup.energies import Floats
from curation.dedup.floors import SEMANTIC_FLOOR
from curation.dedup.footage_match import align
from curation.dedup.letterbox_variants import Framings
from curation.dedup.memmap import room
from curation.dedup.pairs import Pairs, Rows, Vectors
from curation.embed.signature import pictures

_PIXELS = 16 * 16
_BLOCK = 65536


@dataclass(frozen=True)
class Content(ABC):
    """What some clips show."""

    rows: pa.Table
    """Rows of what they are compared by, sorted by `clip_id`."""
    floor: ClassVar[float]
    """How similar the marks of two clips have to be for the pair to be judged."""

    @cached_property
    def ids(self) -> list[str]:
        """The clips, sorted."""
        listed: list[str] = self.rows["clip_id"].to_pylist()
        return listed

    @property
    @abstractmethod
    def keys(self) -> Sequence[bytes]:
        """Equal for clips that are the same to the bit."""

    @property
    @abstractmethod
    def marks(self) -> tuple[Vectors, Rows]:
        """Unit vectors [m, dim] that find pairs, and the row of the clip that each belongs to.

        Clips that show nothing have none, or zeros.
        """

    @abstractmethod
    def judged(self, pairs: Pairs) -> tuple[Floats, Floats]:
        """How similar those pairs are, 0 for none at all, and the seconds they share or NaN."""


class Signatures(Content):
    """Clips by what they show from frame to frame; rows of the table `signatures`."""

    floor = 0.6

    @cached_property
    def keys(self) -> Sequence[bytes]:
        """See `Content`."""
        columns = (self.rows[name].to_pylist() for name in ("bars", "scales", "coarse", "fine"))
        return [b"".join(parts) for parts in zip(*columns, strict=True)]

    @cached_property
    def framings(self) -> Framings:
        """The signatures, unpacked as needed."""
        return Framings.of(self.rows)

    @cached_property
    def _ranks(self) -> Rows:
        """The order of the clips by their content, so that identical ones are all judged alike."""
        ranks = np.empty(len(self.ids), np.int64)
        ranks[sorted(range(len(ranks)), key=self.keys.__getitem__)] = np.arange(len(ranks))
        return ranks

    @cached_property
    def marks(self) -> tuple[Vectors, Rows]:
        """The mean look of each framing of each clip as a picture, its frames counting alike.

        Of its 16×16 values the signed square roots are taken (Perronnin et al. 2010), so that a
        mark that is brighter than all else does not make up the picture.
        """
        looks = self.framings.looks()
        made = room(len(looks), _PIXELS)
        for start in range(0, len(looks), _BLOCK):
            part = unit(looks[start : start + _BLOCK].astype(np.float32))
            seen = pictures(part.astype(np.float64))
            made[start : start + _BLOCK] = np.sign(seen) * np.sqrt(np.abs(seen))
        return unit(made), self.framings.owners()

    def judged(self, pairs: Pairs) -> tuple[Floats, Floats]:
        """How well the clips agree where they agree best in time."""
        turned = self._ranks[pairs.first] > self._ranks[pairs.second]
        one = np.where(turned, pairs.second, pairs.first)
        other = np.where(turned, pairs.first, pairs.second)
        found = align(self.framings, one, other)
        return found.similarity, found.overlap_s


class Embedded(Content):
    """Clips by the vectors of one model; rows of its table `embeddings/…`."""

    floor = SEMANTIC_FLOOR

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

    def judged(self, pairs: Pairs) -> tuple[Floats, Floats]:
        """The cosine says all."""
        return pairs.similarity, np.full(len(pairs), np.nan)


def unpack(vectors: Sequence[bytes], dim: int) -> Vectors:
    """Stored float16 vectors as float32 [n, dim], of unit length again (or zero)."""
    made = room(len(vectors), dim)
    for start in range(0, len(vectors), _BLOCK):
        part = vectors[start : start + _BLOCK]
        made[start : start + len(part)] = np.frombuffer(b"".join(part), "<f2").reshape(-1, dim)
    return unit(made)


def unit(vectors: Vectors) -> Vectors:
    """The vectors at unit length, in place; those too short to point anywhere are zero."""
    for start in range(0, len(vectors), _BLOCK):
        part = vectors[start : start + _BLOCK]
        lengths = np.linalg.norm(part, axis=1, keepdims=True)
        part /= np.where(lengths > 1e-3, lengths, np.inf)
    return vectors
