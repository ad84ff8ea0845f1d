"""FrameDct: the look of a clip as one vector, without any learned weights.

Black bars are cropped, each analysis frame is reduced to 32×32 gray, and the 12×12 lowest
frequencies of its cosine transform are kept, weighted by frequency so that the fine ones count as
much as the coarse (natural spectra fall as 1/f). The clip's time is divided into eight equal
segments, and the coefficients are averaged within each. Re-encoding, scaling and a colour cast
hardly move the vector; another scene does. Its weakness is a shift in time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from curation.embed.dct import GrayFrames, low_frequencies
from curation.scores.bars import common_bars
from curation.scores.base import Float64Array

_SIDE = 32
_NUM_FREQUENCIES = 12
_WEIGHTS = np.hypot(*np.mgrid[:_NUM_FREQUENCIES, :_NUM_FREQUENCIES])
"""Weight of each frequency; the mean has none."""
_SEGMENTS = 8


@dataclass(frozen=True)
class FrameDct:
    """The embedder; it has no settings."""

    name = "frame-dct"
    """Names the table `embeddings/frame-dct`."""
    dim = _SEGMENTS * (_NUM_FREQUENCIES**2 - 1)
    """Length of the vector."""

    gpus = 0.0
    num_frames = 0

    def load(self) -> Callable[[], FrameDctCollector]:
        """A factory of collectors; there is nothing to load."""
        return FrameDctCollector


class FrameDctCollector(GrayFrames):
    """Collects the analysis frames of one source."""

    def vector(
        self, first: int, last: int, times_s: Float64Array, span_s: tuple[float, float]
    ) -> bytes:
        """See `EmbeddingCollector`; zeros for a clip without structure or frames."""
        if first >= last:
            return np.zeros(FrameDct.dim, "<f2").tobytes()
        bars = np.nan_to_num(common_bars(np.array(self.bars[first:last])))
        spectra = np.stack([
            low_frequencies(gray, bars, _SIDE, _NUM_FREQUENCIES) for gray in self.grays[first:last]
        ])  # fmt: skip
        coefficients = (spectra * _WEIGHTS).reshape(len(spectra), -1)[:, 1:]
        return segment_pool(coefficients, times_s, span_s)


def segment_pool(frames: Float64Array, times_s: Float64Array, span_s: tuple[float, float]) -> bytes:
    """Averages the frames' coefficients [n, 143] within each of eight segments of the clip."""
    start_s, end_s = span_s
    position = (times_s - start_s) / max(end_s - start_s, 1e-9) * _SEGMENTS
    segment = np.clip(position.astype(int), 0, _SEGMENTS - 1)
    parts = []
    for index in range(_SEGMENTS):
        inside = segment == index
        if not inside.any():
            inside = np.zeros(len(frames), bool)
            inside[np.abs(position - (index + 0.5)).argmin()] = True
        parts.append(frames[inside].mean(axis=0))
    vector = np.concatenate(parts)
    length = float(np.linalg.norm(vector))
    return (vector / length if length > 1e-3 else vector * 0).astype("<f2").tobytes()
