"""Embeddings, signatures and thumbnails of clips that nobody filmed, for `synthetic.py`."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image

from curation.embed.descriptor import FrameDct
from curation.embed.signature import NUM_COARSE, NUM_FINE

_INNER = 64
"""Dimensions in which embeddings differ."""
_TOPICS = 400
_POOL = 4096
"""Newest clips that copies are made of."""
_PICTURES = 2048
_MAX_SHIFT = 4
"""Frames that a copy begins later, at most."""


class Embeddings:
    """Clusters of topics, in them sources, in them clips."""

    def __init__(self) -> None:
        rng = np.random.default_rng(3)
        self._topics = rng.standard_normal((_TOPICS, _INNER), np.float32)
        self._spread = rng.standard_normal((_INNER, FrameDct.dim), np.float32)
        self._pool = np.empty((0, _INNER), np.float32)

    def draw(
        self, rng: np.random.Generator, source: npt.NDArray[Any], is_copy: npt.NDArray[np.bool_]
    ) -> dict[str, Any]:
        """The columns `dim` and `vector`, for clips of these sources."""
        topics = self._topics[rng.zipf(1.3, source.max() + 1) % _TOPICS]
        sources = topics + rng.standard_normal(topics.shape, np.float32)
        inner = sources[source] + 0.6 * rng.standard_normal((len(source), _INNER), np.float32)
        if len(self._pool):
            taken = self._pool[rng.integers(0, len(self._pool), int(is_copy.sum()))]
            inner[is_copy] = taken + 0.05 * rng.standard_normal(taken.shape, np.float32)
        self._pool = np.concatenate([self._pool, inner[~is_copy]])[-_POOL:]
        vectors = inner @ self._spread
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return {"dim": np.full(len(source), FrameDct.dim), "vector": binary(vectors.astype("<f2"))}


def class_vectors(rng: np.random.Generator, count: int, dim: int) -> dict[str, Any]:
    """The columns `dim` and `vector`: roots of probabilities of classes, few of them high."""
    vectors = rng.random((count, dim), np.float32) ** 8
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return {"dim": np.full(count, dim), "vector": binary(vectors.astype("<f2"))}


class Signatures:
    """Frames that change slowly about a picture of the clip's own, or about that of another."""

    def __init__(self) -> None:
        self._pool: list[tuple[str, npt.NDArray[np.float32]]] = []

    def draw(
        self,
        rng: np.random.Generator,
        ids: Sequence[str],
        frames: npt.NDArray[np.int64],
        is_copy: npt.NDArray[np.bool_],
    ) -> tuple[dict[str, Any], dict[int, str]]:
        """The columns, and for the rows that are copies the clip that they copy.

        `frames` is shortened where the copied clip is shorter.
        """
        pictures = rng.standard_normal((len(ids), NUM_FINE), np.float32)
        copied: dict[int, str] = {}
        for row in np.flatnonzero(is_copy & (len(self._pool) > 0)).tolist():
            copied[row], pictures[row] = self._pool[rng.integers(len(self._pool))]
        originals = np.flatnonzero(~is_copy)[-_POOL:].tolist()
        self._pool = [*self._pool, *((ids[row], pictures[row].copy()) for row in originals)][
            -_POOL:
        ]
        clip = np.repeat(np.arange(len(ids)), frames)
        time = np.arange(len(clip)) - np.repeat(np.cumsum(frames) - frames, frames)
        shift = rng.integers(0, _MAX_SHIFT, len(ids)) * is_copy
        start = np.abs(pictures[:, NUM_COARSE] * _SWINGS / 4).astype(np.int64)
        coarse = pictures[clip, :NUM_COARSE]
        coarse += _SWING[(start[clip] + time + shift[clip]) % _SWINGS]
        coarse += 0.05 * _NOISE[rng.integers(0, _SWINGS, len(clip))]
        scales, steps = _quantized(coarse, 1000)
        pictures += 0.05 * rng.standard_normal(pictures.shape, np.float32)
        still = (1 - 0.5 * rng.random((len(ids), 1))).astype("<f2")
        columns = {
            "frames": frames,
            "framings": np.ones(len(ids), np.int64),
            "bars": binary(np.zeros((len(ids), 4), "<f2")),
            "scales": binary(scales, frames),
            "coarse": binary(steps, frames),
            "fine": binary(_quantized(pictures)[1]),
            "still": binary(still),
        }
        return columns, copied


_SWINGS = 8192
_SWING = 0.4 * np.sin(
    np.arange(_SWINGS)[:, None] * np.random.default_rng(4).uniform(0.02, 0.3, NUM_COARSE)
).astype(np.float32)
"""How each coefficient swings from frame to frame."""
_NOISE = np.random.default_rng(5).standard_normal((_SWINGS, NUM_COARSE), np.float32)


def _quantized(
    values: npt.NDArray[np.float32], unit: float = 1.0
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int8]]:
    """Rows as one float16 scale each, in units, and int8 multiples of it; `values` is changed."""
    largest = np.maximum(values.max(axis=1), -values.min(axis=1))
    values *= (126 / largest)[:, None]
    np.rint(values, out=values)
    return (unit * largest / 126).astype("<f2"), values.astype(np.int8)


def binary(values: npt.NDArray[Any], rows: npt.NDArray[np.int64] | None = None) -> pa.Array:
    """A binary column: each value has the bytes of one row of an array, or of so many rows."""
    sizes = np.ones(len(values), np.int64) if rows is None else rows
    row_bytes = values.nbytes // max(1, len(values))
    offsets = np.concatenate([[0], np.cumsum(sizes) * row_bytes]).astype(np.int32)
    content = np.ascontiguousarray(values)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(content)]
    return pa.Array.from_buffers(pa.binary(), len(sizes), buffers)


def thumbnails(rng: np.random.Generator) -> list[bytes]:
    """Small JPEG files of coloured clouds."""
    pictures = []
    for _ in range(_PICTURES):
        cloud = rng.integers(0, 256, (4, 6, 3), np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(cloud).resize((160, 96), Image.Resampling.BICUBIC).save(buffer, "JPEG")
        pictures.append(buffer.getvalue())
    return pictures
