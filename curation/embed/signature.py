"""What a clip shows from frame to frame, small enough to store and to compare without decoding.

Each analysis frame is reduced to 64×64 gray, and its cosine transform is weighted by frequency,
since natural spectra fall with it and fine structure tells pictures apart. Kept are

- four times a second the 77 coefficients whose two frequencies sum to less than 12, which survive
  re-encoding, scaling, small marks and a shift in time; and
- once a clip the mean over time of the 24×24 lowest, which tells still pictures apart that differ
  in little, as title cards do, and how much of it is still throughout.

A picture with black bars is kept twice, as it is and without them, since a lighter copy or a mark
on a bar can hide that it is one. Where it is too dark to tell whether there are any, as with words
on black, the second framing is without those that would be the commonest. Brightness is the
coefficient left out; contrast cancels where clips are compared. Cost: about 0.2 ms and 79 bytes a
frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image

from curation.records import Signature
from curation.scores.borders import bars, steady_bars
from curation.scores.frame import AnalysisFrame, Floats

RATE = 4.0
"""Frames a second of a signature."""
COARSE = 77
"""Coefficients of a frame."""
FINE = 24 * 24 - 1
"""Coefficients of a clip's mean."""
_SIDE, _KEPT = 64, 24
_LEAST = 0.3
"""A picture whose sides are less than this share of the frame is more likely words on a card."""
_COMMONEST = np.array([0.125, 0.125, 0, 0])
"""Bars of 16:9 in 4:3 and, nearly, of 2.39:1 in 16:9."""
_BLANK = 100.0
"""Length of a frame's coefficients below which all that it shows may be noise."""


@dataclass
class SignatureWatcher:
    """Takes the analysis frames of one source; keeps 4 KiB of each."""

    grays: list[npt.NDArray[np.uint8]] = field(default_factory=list)
    borders: list[tuple[float, float, float, float]] = field(default_factory=list)

    def see(self, look: AnalysisFrame) -> None:
        """Takes the next analysis frame."""
        self.grays.append(look.small)
        self.borders.append(bars(look.luma))

    def signature(self, clip_id: str, source_id: str, inside: slice, times_s: Floats) -> Signature:
        """The row of the clip whose analysis frames are `inside`, at these times [n]."""
        edges = np.array(steady_bars(np.array(self.borders[inside]).reshape(-1, 4)))
        made = [_framed(self.grays[inside], cut, times_s) for cut in _cuts(edges)]
        seen = [each for each in made if each is not None]
        frames = len(seen[0].coarse) // COARSE if seen else 0
        return Signature(
            clip_id=clip_id,
            source_id=source_id,
            frames=frames,
            framings=len(seen),
            bars=np.nan_to_num(edges).astype("<f2").tobytes(),
            scales=b"".join(each.scales for each in seen),
            coarse=b"".join(each.coarse for each in seen),
            fine=b"".join(each.fine for each in seen),
            still=np.array([each.still for each in seen], "<f2").tobytes(),
        )


def _cuts(edges: Floats) -> list[Floats]:
    """What is cut off for each framing: nothing, and the bars that there are or may be."""
    whole = np.zeros(4)
    if np.isnan(edges).any():
        return [whole, _COMMONEST]
    inside = 1 - edges[:2].sum(), 1 - edges[2:].sum()
    return [whole, edges] if edges.any() and min(inside) > _LEAST else [whole]


@dataclass(frozen=True)
class _Framed:
    scales: bytes
    coarse: bytes
    fine: bytes
    still: float


def _framed(
    grays: Sequence[npt.NDArray[np.uint8]], edges: Floats, times_s: Floats
) -> _Framed | None:
    """A clip within some bars; None if it shows nothing."""
    cosines, coarse_weights, fine_weights = _bases()
    spectra = _spectra(grays, edges, cosines)
    coarse = at_rate(spectra[:, :COARSE] * coarse_weights, times_s)
    if not len(coarse) or np.linalg.norm(coarse, axis=1).max() < _BLANK:
        return None
    fine = spectra * fine_weights
    mean = fine.mean(axis=0, keepdims=True)
    still = float(np.square(mean).sum() / np.square(fine).sum(axis=1).mean())
    return _Framed(*packed_rows(coarse), packed_rows(mean)[1], still)


def at_rate(values: Floats, times_s: Floats) -> Floats:
    """Values [n, k] at n times as values four times a second from the first time to the last."""
    if not len(values):
        return values
    count = int((times_s[-1] - times_s[0]) * RATE + 1.5)
    wanted = np.minimum(times_s[0] + np.arange(count) / RATE, times_s[-1])
    return np.stack([np.interp(wanted, times_s, column) for column in values.T], axis=1)


def packed_rows(values: Floats) -> tuple[bytes, bytes]:
    """Rows [n, k] as one float16 scale each and int8 multiples of it."""
    scales = np.maximum(np.abs(values).max(axis=1) / 127, 1e-4).astype("<f2")
    multiples = np.round(values / scales[:, None].astype(np.float64))
    return scales.tobytes(), np.clip(multiples, -127, 127).astype(np.int8).tobytes()


def _spectra(grays: Sequence[npt.NDArray[np.uint8]], edges: Floats, cosines: Floats) -> Floats:
    """The low frequencies of each frame within its bars, by rising frequency, without the mean."""
    if not grays:
        return np.empty((0, FINE))
    top, bottom, left, right = edges
    box = (left * _SIDE, top * _SIDE, (1 - right) * _SIDE, (1 - bottom) * _SIDE)
    found = []
    for gray in grays:
        picture = Image.fromarray(gray).resize((_SIDE, _SIDE), Image.Resampling.BOX, box=box)
        spectrum = cosines @ np.asarray(picture, np.float64) @ cosines.T
        found.append(spectrum.ravel()[_order()])
    return np.stack(found)


@cache
def _bases() -> tuple[Floats, Floats, Floats]:
    """Rows of the orthonormal DCT-II; weights of the coarse coefficients and of all."""
    frequency = np.hypot(*np.divmod(_order(), _KEPT))
    return _cosines(_KEPT, _SIDE), frequency[:COARSE] ** 0.7, frequency**2


@cache
def _order() -> npt.NDArray[np.int64]:
    """Places of the coefficients in a 24×24 spectrum, without the mean, by rising frequency."""
    u, v = np.mgrid[:_KEPT, :_KEPT]
    return np.lexsort((u.ravel(), (u + v).ravel()))[1:]


def pictures(coefficients: Floats) -> Floats:
    """Rows of 77 or 575 coefficients as pictures of 16×16 or 32×32, flattened.

    Lengths and products stay what they are.
    """
    side, kept = (32, _KEPT) if coefficients.shape[1] == FINE else (16, 12)
    spectra = np.zeros((len(coefficients), kept, kept))
    down, right = np.divmod(_order()[: coefficients.shape[1]], _KEPT)
    spectra[:, down, right] = coefficients
    cosines = _cosines(kept, side)
    return np.asarray(cosines.T @ spectra @ cosines).reshape(-1, side * side)


@cache
def _cosines(kept: int, side: int) -> Floats:
    """The first rows of the orthonormal DCT-II."""
    k, n = np.mgrid[:kept, :side]
    cosines = np.sqrt(2 / side) * np.cos(np.pi * (n + 0.5) * k / side)
    cosines[0] /= np.sqrt(2)
    return np.asarray(cosines)
