"""Fitting a PCA tokenizer: one pass over windows, a few seconds to a minute on one core.

Random patches of every window add to a second moment in float64; a seeded subspace iteration
(Halko, Martinsson & Tropp, 2011) finds its 16 leading eigenvectors without the cost of all of them.
A small sample of patches is stored for the bounds of the discrete head: for each component, bounds
of 0.5 to 5 standard deviations are tried, and the one with the least squared error is taken.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np

from curation.errors import ReelmillError
from tokenizer.models import fsq
from tokenizer.models.interface import Compression, Video
from tokenizer.models.pca import CHANNELS, Basis, Float32, PcaTokenizer, split_patches

_PATCHES = 400
"""Patches of one window for each basis."""
_SAMPLED = 64
"""Of these, how many are stored for the bounds: 0.4 MB a window at 8x16x16."""


class FitError(ReelmillError, ValueError):
    """Too few patches to fit."""


class _PatchMoments:
    """First and second moments over the patches of one kind."""

    def __init__(self, size: int, seed: int) -> None:
        self.count = 0
        self._sum = np.zeros(size)
        self._products = np.zeros((size, size))
        self._samples: list[Video] = []
        self._random = np.random.default_rng(seed)

    def add(self, patches: Video) -> None:
        """Adds a random sample of patches [n, D]."""
        sample = patches[self._random.permutation(len(patches))[:_PATCHES]]
        pixels = sample.astype(np.float32) / np.float32(127.5) - 1
        self.count += len(pixels)
        self._sum += pixels.sum(0, dtype=np.float64)
        self._products += pixels.T @ pixels
        self._samples.append(sample[:_SAMPLED])

    def basis(self) -> tuple[Basis, Float32]:
        """The basis, and the coordinates [n, 16] of the stored sample in it."""
        mean = self._sum / self.count
        covariance = self._products / self.count - np.outer(mean, mean)
        components = _leading_eigenvectors(covariance, CHANNELS).astype(np.float32, order="C")
        basis = Basis(mean.astype(np.float32), components, np.ones(6, np.float32))
        coordinates = basis.project(np.concatenate(self._samples))
        bounds = [_best_bound(coordinates[:, i], levels) for i, levels in enumerate(fsq.LEVELS)]
        return dataclasses.replace(basis, bounds=np.asarray(bounds, np.float32)), coordinates


def _leading_eigenvectors(covariance: np.ndarray, count: int) -> np.ndarray:
    """The leading eigenvectors [count, D], signed so that the largest entry is positive."""
    size = len(covariance)
    probe = np.random.default_rng(0).standard_normal((size, min(size, 3 * count)))
    for _ in range(24):
        probe, _ = np.linalg.qr(covariance @ probe)
    _, inner = np.linalg.eigh(probe.T @ covariance @ probe)
    vectors = (probe @ inner[:, ::-1][:, :count]).T
    largest = np.take_along_axis(vectors, np.abs(vectors).argmax(1)[:, None], axis=1)
    return np.ascontiguousarray(vectors * np.sign(largest))


def _best_bound(values: Float32, levels: int) -> float:
    """The clipping bound that minimises the error of rounding to `levels` levels."""
    std = float(np.sqrt(np.mean(np.square(values, dtype=np.float64)))) or 1.0
    bounds = [std * factor for factor in np.arange(0.5, 5.05, 0.1)]

    def error(bound: float) -> float:
        step = 2 * bound / (levels - 1)
        digits = np.clip(np.rint((values + bound) / step), 0, levels - 1)
        return float(np.mean(np.square(digits * step - bound - values)))

    return min(bounds, key=error)


def fit_pca(
    windows: Iterable[Video],
    rate: Compression,
    *,
    seed: int = 0,
    card: Mapping[str, str] | None = None,
) -> PcaTokenizer:
    """A tokenizer fitted to windows uint8 [1 + time · k, H, W, 3] (k at least 1 in some).

    The same windows in the same order give the same weights. Raises `FitError` when there are too
    few patches for 16 components, and `ValueError` for a window that the rate does not divide.
    """
    size = rate.space * rate.space * 3
    first, group = _PatchMoments(size, seed), _PatchMoments(rate.time * size, seed + 1)
    for video in windows:
        first.add(split_patches(video[:: rate.time], 1, rate.space).reshape(-1, size))
        if len(video) > 1:
            group.add(split_patches(video[1:], rate.time, rate.space).reshape(-1, rate.time * size))
    if min(first.count, group.count) < CHANNELS:
        raise FitError(
            f"{first.count} patches of single frames and {group.count} of groups are too few:"
            f" need {CHANNELS} of each, so give more or longer clips"
        )
    (first_basis, _), (group_basis, latents) = first.basis(), group.basis()
    mean, std = (tuple(stat.astype(float).tolist()) for stat in (latents.mean(0), latents.std(0)))
    return PcaTokenizer(rate, first_basis, group_basis, mean, std, dict(card or {}))
