"""What a clip looks like, as one vector, without any learned weights.

Black bars are cropped, each analysis frame is reduced to 32×32 gray, and the 12×12 lowest
frequencies of its cosine transform are kept, weighted by frequency so that the fine ones count as
much as the coarse (natural spectra fall as 1/f). The clip's time is cut into eight equal segments,
and the coefficients are averaged within each. Re-encoding, scaling and a colour cast hardly move
the vector; another scene does. Its weak point is a shift in time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image

from curation.scores.borders import bars, steady_bars
from curation.scores.frame import AnalysisFrame, Floats

_GRAY = 64
_SIDE = 32
_KEPT = 12
_SEGMENTS = 8


@dataclass(frozen=True)
class FrameDct:
    """The descriptor's settings; it has none that a user would change."""

    name = "frame-dct"
    """Names the table `embeddings/frame-dct`."""
    dim = _SEGMENTS * (_KEPT * _KEPT - 1)
    """Length of the vector."""

    gpus = 0.0

    def load(self) -> Callable[[], FrameDctWatcher]:
        """What makes a watcher for one source; there is nothing to load."""
        return FrameDctWatcher


@dataclass
class FrameDctWatcher:
    """Keeps 4 KiB of each analysis frame."""

    grays: list[npt.NDArray[np.uint8]] = field(default_factory=list)
    borders: list[tuple[float, float, float, float]] = field(default_factory=list)

    def see(self, look: AnalysisFrame) -> None:
        """Takes the next analysis frame."""
        self.grays.append(look.small)
        self.borders.append(bars(look.luma))

    def vector(self, first: int, last: int, times_s: Floats, span_s: tuple[float, float]) -> bytes:
        """See `EmbeddingWatcher`; zeros for a clip without structure or frames."""
        if first >= last:
            return np.zeros(FrameDct.dim, "<f2").tobytes()
        top, bottom, left, right = steady_bars(np.array(self.borders[first:last]))
        box = None if np.isnan(top) else (left, top, 1 - right, 1 - bottom)
        frames = np.stack([_coefficients(gray, box) for gray in self.grays[first:last]])
        return pooled(frames, times_s, span_s)


def pooled(frames: Floats, times_s: Floats, span_s: tuple[float, float]) -> bytes:
    """Averages the frames' coefficients [n, 143] within each of eight segments of the clip."""
    start, end = span_s
    where = (times_s - start) / max(end - start, 1e-9) * _SEGMENTS
    segment = np.clip(where.astype(int), 0, _SEGMENTS - 1)
    parts = []
    for index in range(_SEGMENTS):
        inside = segment == index
        if not inside.any():
            inside = np.zeros(len(frames), bool)
            inside[np.abs(where - (index + 0.5)).argmin()] = True
        parts.append(frames[inside].mean(axis=0))
    vector = np.concatenate(parts)
    length = float(np.linalg.norm(vector))
    return (vector / length if length > 1e-3 else vector * 0).astype("<f2").tobytes()


def _coefficients(
    gray: npt.NDArray[np.uint8], box: tuple[float, float, float, float] | None
) -> Floats:
    """The weighted low frequencies of one frame without its mean, shape [143]."""
    image = Image.fromarray(gray)
    left, top, right, bottom = box or (0, 0, 1, 1)
    crop = (left * _GRAY, top * _GRAY, right * _GRAY, bottom * _GRAY)
    small = image.resize((_SIDE, _SIDE), Image.Resampling.BOX, box=crop)
    cosines, weights = _basis()
    spectrum = cosines @ np.asarray(small, np.float64) @ cosines.T
    return np.asarray((spectrum * weights).ravel()[1:], np.float64)


@cache
def _basis() -> tuple[Floats, Floats]:
    """Rows of the orthonormal DCT-II, and the weight of each coefficient."""
    k, n = np.mgrid[:_KEPT, :_SIDE]
    cosines = np.sqrt(2 / _SIDE) * np.cos(np.pi * (n + 0.5) * k / _SIDE)
    cosines[0] /= np.sqrt(2)
    u, v = np.mgrid[:_KEPT, :_KEPT]
    return cosines, np.hypot(u, v)
