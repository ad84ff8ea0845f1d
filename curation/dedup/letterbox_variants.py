"""The signatures of many clips, held as they are stored and unpacked some at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curation.dedup.energies import Floats
from curation.dedup.pairs import Rows
from curation.embed.signature import COARSE, FINE, pictures

_BLOCK = 65536


@dataclass(frozen=True)
class Framings:
    """The framings of some clips, those of one clip after those of another."""

    bars: Floats
    """Bars of each clip: top, bottom, left, right, 0–1, shape [clips, 4]."""
    bounds: Rows
    """Where the framings of each clip begin and the last one's end, shape [clips + 1]."""
    frames: Rows
    """How many frames each framing has, shape [framings]."""
    starts: Rows
    """Where they begin among those of all, shape [framings]."""
    scales: npt.NDArray[np.float16]
    """Shape [all frames]."""
    multiples: npt.NDArray[np.int8]
    """Shape [all frames, 77]."""
    fine: npt.NDArray[np.int8]
    """Shape [framings, 575]."""
    still: Floats
    """Share of the fine structure that stands still, 0–1, shape [framings]."""

    @classmethod
    def of(cls, rows: pa.Table) -> Framings:
        """Of rows of the table `signatures`, in their order."""
        count = rows["framings"].to_numpy().astype(np.int64)
        frames = np.repeat(rows["frames"].to_numpy().astype(np.int64), count)
        said = {name: b"".join(rows[name].to_pylist()) for name in _PACKED}
        return cls(
            bars=np.frombuffer(said["bars"], "<f2").reshape(-1, 4).astype(np.float64),
            bounds=np.append(0, count.cumsum()),
            frames=frames,
            starts=frames.cumsum() - frames,
            scales=np.frombuffer(said["scales"], "<f2"),
            multiples=np.frombuffer(said["coarse"], np.int8).reshape(-1, COARSE),
            fine=np.frombuffer(said["fine"], np.int8).reshape(-1, FINE),
            still=np.frombuffer(said["still"], "<f2").astype(np.float64),
        )

    def count(self, clips: Rows) -> Rows:
        """How many framings clips have."""
        return np.asarray(self.bounds[clips + 1] - self.bounds[clips])

    def guessed(self, clips: Rows) -> npt.NDArray[np.bool_]:
        """Whether it is too dark to tell what bars clips have, so that framings are guesses."""
        return np.asarray((self.count(clips) > 1) & ~self.bars[clips].any(axis=1))

    def owners(self) -> Rows:
        """The clip of each framing, shape [framings]."""
        return np.repeat(np.arange(len(self.bounds) - 1), np.diff(self.bounds))

    def looks(self) -> Floats:
        """The mean of each framing's frames at unit length, shape [framings, 77]."""
        found = np.zeros((len(self.frames), COARSE))
        for part in self._blocks():
            first, lengths = self.starts[part], self.frames[part]
            frames = self._unpacked(np.arange(first[0], first[-1] + lengths[-1]))
            norms = np.linalg.norm(frames, axis=1, keepdims=True)
            frames /= np.where(norms > 1e-3, norms, np.inf)
            found[part] = np.add.reduceat(frames, first - first[0]) / lengths[:, None]
        return found

    def _blocks(self) -> Iterator[slice]:
        """Parts of the framings with some 65,536 frames each."""
        ends = (self.starts + self.frames) // _BLOCK
        edges = [0, *(np.flatnonzero(np.diff(ends)) + 1).tolist(), len(ends)]
        yield from (slice(a, b) for a, b in pairwise(edges) if b > a)

    def coarse(self, which: Rows) -> Floats:
        """Frames of framings that have n each, every one mixed with those beside it: [p, n, 77].

        Of fast motion four frames a second show chance moments.
        """
        count = int(self.frames[which[0]])
        frames = self._unpacked(self.starts[which][:, None] + np.arange(count))
        before = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
        after = np.concatenate([frames[:, 1:], frames[:, -1:]], axis=1)
        return np.asarray((before + 2 * frames + after) / 4)

    def pictures(self, which: Rows) -> Floats:
        """The fine mean pictures of framings, of length 1 (or 0), shape [p, 1024]."""
        fine = self.fine[which].astype(np.float64)
        fine /= np.maximum(np.linalg.norm(fine, axis=1, keepdims=True), 1e-9)
        return pictures(fine)

    def _unpacked(self, frames: Rows) -> Floats:
        return self.multiples[frames] * self.scales[frames].astype(np.float64)[..., None]


_PACKED = ("bars", "scales", "coarse", "fine", "still")
