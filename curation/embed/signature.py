"""Signatures: a clip frame by frame, small enough to store and to compare without decoding.

Each analysis frame is reduced to 64×64 gray, and its cosine transform is weighted by frequency,
since natural spectra fall with it and fine structure distinguishes pictures. Stored are

- four times a second the 77 coefficients whose two frequencies sum to less than 12, which survive
  re-encoding, scaling, small marks and a shift in time; and
- once a clip the mean over time of the 24×24 lowest, which distinguishes still pictures that differ
  in little, as title cards do, and the share of it that does not change.

A picture with black bars has two variants, with and without them, since a lighter copy or a mark on
a bar can hide that it is one. Where it is too dark to detect bars, as with words on black, the
second variant is without the most common ones. Brightness is the coefficient left out; contrast
cancels where clips are compared. Cost: about 0.2 ms and 79 bytes a frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from curation.embed.dct import Gray, GrayFrames, dct_basis, low_frequencies
from curation.records import Signature
from curation.scores.bars import common_bars
from curation.scores.base import Float64Array

SIGNATURE_FPS = 4.0
"""Frames a second of a signature."""
NUM_COARSE = 77
"""Coefficients of a frame."""
NUM_FINE = 24 * 24 - 1
"""Coefficients of a clip's mean."""
_SIDE, _NUM_FREQUENCIES = 64, 24
_ROWS, _COLUMNS = np.indices((_NUM_FREQUENCIES, _NUM_FREQUENCIES)).reshape(2, -1)
_ORDER = np.lexsort((_ROWS, _ROWS + _COLUMNS))[1:]
"""Indices into a flat 24×24 spectrum without the mean, by rising frequency."""
_MIN_SIDE = 0.3
"""A picture whose sides are less than this share of the frame is more likely words on a card."""
_COMMON_BARS = np.array([0.125, 0.125, 0, 0])
"""Bars of 16:9 in 4:3 and, nearly, of 2.39:1 in 16:9."""
_BLANK = 100.0
"""Length of a frame's coefficients below which all of it may be noise."""


class SignatureCollector(GrayFrames):
    """Collects the analysis frames of one source."""

    def signature(
        self, clip_id: str, source_id: str, inside: slice, times_s: Float64Array
    ) -> Signature:
        """The row of the clip whose analysis frames are `inside`, at these times [n]."""
        bars = np.array(common_bars(np.array(self.bars[inside]).reshape(-1, 4)))
        variants = [
            variant
            for cropped_bars in _variant_bars(bars)
            if (variant := _variant(self.grays[inside], cropped_bars, times_s)) is not None
        ]
        return Signature(
            clip_id=clip_id,
            source_id=source_id,
            frames=len(variants[0].coarse) // NUM_COARSE if variants else 0,
            framings=len(variants),
            bars=np.nan_to_num(bars).astype("<f2").tobytes(),
            scales=b"".join(variant.scales for variant in variants),
            coarse=b"".join(variant.coarse for variant in variants),
            fine=b"".join(variant.fine for variant in variants),
            still=np.array([variant.still for variant in variants], "<f2").tobytes(),
        )


def _variant_bars(bars: Float64Array) -> list[Float64Array]:
    """The bars to crop for each variant: none, and those that there are or may be."""
    none = np.zeros(4)
    if np.isnan(bars).any():
        return [none, _COMMON_BARS]
    sides = 1 - bars[:2].sum(), 1 - bars[2:].sum()
    return [none, bars] if bars.any() and min(sides) > _MIN_SIDE else [none]


@dataclass(frozen=True)
class _Variant:
    scales: bytes
    coarse: bytes
    fine: bytes
    still: float


def _variant(grays: Sequence[Gray], bars: Float64Array, times_s: Float64Array) -> _Variant | None:
    """The clip inside some bars; None if it shows nothing."""
    if not grays:
        return None
    spectra = np.stack([
        low_frequencies(gray, bars, _SIDE, _NUM_FREQUENCIES).ravel()[_ORDER] for gray in grays
    ])  # fmt: skip
    frequencies = np.hypot(*np.divmod(_ORDER, _NUM_FREQUENCIES))
    coarse = resample(spectra[:, :NUM_COARSE] * frequencies[:NUM_COARSE] ** 0.7, times_s)
    if np.linalg.norm(coarse, axis=1).max() < _BLANK:
        return None
    fine = spectra * frequencies**2
    mean = fine.mean(axis=0, keepdims=True)
    still = float(np.square(mean).sum() / np.square(fine).sum(axis=1).mean())
    return _Variant(*quantize_rows(coarse), quantize_rows(mean)[1], still)


def resample(values: Float64Array, times_s: Float64Array) -> Float64Array:
    """Values [n, k] at n times as values four times a second from the first time to the last."""
    if not len(values):
        return values
    count = int((times_s[-1] - times_s[0]) * SIGNATURE_FPS + 1.5)
    steps_s = np.minimum(times_s[0] + np.arange(count) / SIGNATURE_FPS, times_s[-1])
    return np.stack([np.interp(steps_s, times_s, column) for column in values.T], axis=1)


def quantize_rows(values: Float64Array) -> tuple[bytes, bytes]:
    """Rows [n, k] as one float16 scale each and int8 multiples of it."""
    scales = np.maximum(np.abs(values).max(axis=1) / 127, 1e-4).astype("<f2")
    multiples = np.round(values / scales[:, None].astype(np.float64))
    return scales.tobytes(), np.clip(multiples, -127, 127).astype(np.int8).tobytes()


def inverse_dct(coefficients: Float64Array) -> Float64Array:
    """Rows of 77 or 575 coefficients as pictures of 16×16 or 32×32, flattened.

    Lengths and inner products are preserved.
    """
    side, count = (32, _NUM_FREQUENCIES) if coefficients.shape[1] == NUM_FINE else (16, 12)
    spectra = np.zeros((len(coefficients), count, count))
    rows, columns = np.divmod(_ORDER[: coefficients.shape[1]], _NUM_FREQUENCIES)
    spectra[:, rows, columns] = coefficients
    basis = dct_basis(count, side)
    return np.asarray(basis.T @ spectra @ basis).reshape(-1, side * side)
