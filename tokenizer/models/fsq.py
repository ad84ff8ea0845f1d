"""Finite scalar quantisation: a codebook without learned parameters.

Each of a few numbers in [-1, 1] is rounded to one of `L` evenly spaced levels, -1 and 1 among them;
the digits together, in mixed radix, are the code (Mentzer et al., "Finite Scalar Quantization:
VQ-VAE Made Simple", 2023). The index is Σ digit_i · Π levels[:i], lowest digit first, which is the
order of the Cosmos tokenizers; with their levels 8·8·8·5·5·5 = 64,000 codes fit uint16.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from tokenizer.models.interface import ShapeError

LEVELS = (8, 8, 8, 5, 5, 5)
SIZE = math.prod(LEVELS)
"""Entries in the codebook: indices are 0 to `SIZE` - 1."""

_LEVELS = np.asarray(LEVELS, np.int32)
_PLACE_VALUES = np.cumprod((1, *LEVELS[:-1]), dtype=np.int32)


def quantise(vectors: npt.NDArray[np.floating]) -> npt.NDArray[np.uint16]:
    """Indices [...] of the nearest codebook entries to vectors [..., 6]; beyond ±1 is clipped."""
    if vectors.shape[-1] != len(LEVELS):
        raise ShapeError(f"need vectors [..., {len(LEVELS)}], got {list(vectors.shape)}")
    unit = (np.clip(vectors.astype(np.float32), -1, 1) + np.float32(1)) / np.float32(2)
    digits = np.rint(unit * (_LEVELS - 1).astype(np.float32)).astype(np.int32)
    return np.asarray(digits @ _PLACE_VALUES, np.uint16)


def dequantise(indices: npt.NDArray[np.uint16]) -> npt.NDArray[np.float32]:
    """The codebook entries, float32 [..., 6] in [-1, 1], of indices [...] below `SIZE`."""
    digits = indices.astype(np.int32)[..., None] // _PLACE_VALUES % _LEVELS
    steps = (_LEVELS - 1).astype(np.float32)
    return np.asarray(digits.astype(np.float32) / steps * np.float32(2) - np.float32(1))
