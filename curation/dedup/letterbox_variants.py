"""The signatures of many clips, held as they are stored and unpacked some at a time.

A clip has one variant (the column `framings`) for each cut of its black bars: with them, without
them, or none if it shows nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curation.dedup.similarity import Bools, Floats
from curation.dedup.vectors import Rows
from curation.embed.signature import NUM_COARSE, NUM_FINE, inverse_dct

_BLOCK = 65536


@dataclass(frozen=True)
class LetterboxVariants:
    """The variants of some clips, those of one clip after those of another."""

    bars: Floats
    """Bars of each clip: top, bottom, left, right, 0–1, shape [clips, 4]."""
    bounds: Rows
    """Where the variants of each clip begin and the last one's end, shape [clips + 1]."""
    frames: Rows
    """How many frames each variant has, shape [variants]."""
    starts: Rows
    """Where they begin among the frames of all, shape [variants]."""
    scales: npt.NDArray[np.float16]
    """Shape [all frames]."""
    multiples: npt.NDArray[np.int8]
    """Shape [all frames, 77]."""
    fine: npt.NDArray[np.int8]
    """Shape [variants, 575]."""
    still: Floats
    """Share of the fine structure that stands still, 0–1, shape [variants]."""

    @classmethod
    def of(cls, rows: pa.Table) -> LetterboxVariants:
        """Of rows of the table `signatures`, in their order."""
        count = rows["framings"].to_numpy().astype(np.int64)
        frames = np.repeat(rows["frames"].to_numpy().astype(np.int64), count)

        def packed(name: str) -> bytes:
            return b"".join(rows[name].to_pylist())

        return cls(
            bars=np.frombuffer(packed("bars"), "<f2").reshape(-1, 4).astype(np.float64),
            bounds=np.append(0, count.cumsum()),
            frames=frames,
            starts=frames.cumsum() - frames,
            scales=np.frombuffer(packed("scales"), "<f2"),
            multiples=np.frombuffer(packed("coarse"), np.int8).reshape(-1, NUM_COARSE),
            fine=np.frombuffer(packed("fine"), np.int8).reshape(-1, NUM_FINE),
            still=np.frombuffer(packed("still"), "<f2").astype(np.float64),
        )

    def count(self, clips: Rows) -> Rows:
        """How many variants clips have."""
        return np.asarray(self.bounds[clips + 1] - self.bounds[clips])

    def has_guessed_bars(self, clips: Rows) -> Bools:
        """Whether it is too dark to tell what bars clips have, so that the variants are guesses."""
        return np.asarray((self.count(clips) > 1) & ~self.bars[clips].any(axis=1))

    def clip_rows(self) -> Rows:
        """The clip of each variant, shape [variants]."""
        return np.repeat(np.arange(len(self.bounds) - 1), np.diff(self.bounds))

    def mean_frames(self) -> Floats:
        """The mean of each variant's frames scaled to unit length, shape [variants, 77].

        In blocks of some 65,536 frames.
        """
        means = np.zeros((len(self.frames), NUM_COARSE))
        ends = (self.starts + self.frames) // _BLOCK
        edges = np.unique([0, *(np.flatnonzero(np.diff(ends)) + 1), len(ends)])
        for start, end in pairwise(edges.tolist()):
            block = slice(start, end)
            first, lengths = self.starts[block], self.frames[block]
            frames = self._unpacked(np.arange(first[0], first[-1] + lengths[-1]))
            norms = np.linalg.norm(frames, axis=1, keepdims=True)
            frames /= np.where(norms > 1e-3, norms, np.inf)
            means[block] = np.add.reduceat(frames, first - first[0]) / lengths[:, None]
        return means

    def coarse(self, variants: Rows) -> Floats:
        """Frames of variants that have n each, smoothed with the adjacent ones: [p, n, 77].

        Of fast motion four frames a second show chance moments.
        """
        count = int(self.frames[variants[0]])
        frames = self._unpacked(self.starts[variants][:, None] + np.arange(count))
        padded = np.pad(frames, ((0, 0), (1, 1), (0, 0)), mode="edge")
        return np.asarray((padded[:, :-2] + 2 * frames + padded[:, 2:]) / 4)

    def pictures(self, variants: Rows) -> Floats:
        """The fine mean pictures of variants, of length 1 (or 0), shape [p, 1024]."""
        fine = self.fine[variants].astype(np.float64)
        fine /= np.maximum(np.linalg.norm(fine, axis=1, keepdims=True), 1e-9)
        return inverse_dct(fine)

    def _unpacked(self, frames: Rows) -> Floats:
        return self.multiples[frames] * self.scales[frames].astype(np.float64)[..., None]
