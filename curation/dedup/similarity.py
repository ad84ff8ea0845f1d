"""How well aligned clips agree, as energies of their coefficients.

A logo, or a moment that one copy alone shows, must not hide that two clips are copies: of a mean
picture the tenth that differs most is left out, of the frames a fifth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from curation.embed.signature import inverse_dct

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

NOISE = 1e4
"""Energy of a frame's coarse coefficients that may be noise."""
STILL = 0.002
"""Share of a frame's energy by which coding moves what stands still."""
_LOGO_AREA = 0.1
"""Share of a picture that a logo may cover."""
_MIN_REST_ENERGY = 0.5
"""Share of a picture's energy that has to be outside the part that is left out."""
_OUTLIER_FRAMES = 0.2
"""Share of the frames that may show something else."""


@dataclass(frozen=True)
class Energies:
    """Mean over the frames of one clip's energy, the other's, and that of their product."""

    one: Floats
    other: Floats
    both: Floats

    @classmethod
    def of(cls, one: Floats, other: Floats, equation: str) -> Energies:
        """Sums of products of two arrays, as `numpy.einsum` describes them."""
        pairs = ((one, one), (other, other), (one, other))
        return cls(*(np.einsum(equation, *pair) for pair in pairs))

    @property
    def look(self) -> Floats:
        """The cosine, where noise counts as a difference."""
        return np.asarray(self.both / np.sqrt((self.one + NOISE) * (self.other + NOISE)))

    @property
    def cosine(self) -> Floats:
        """The cosine alone."""
        return np.asarray(self.both / np.sqrt(np.maximum(self.one * self.other, 1e-12)))

    def motion(self, total: Energies) -> Floats:
        """How well these changes agree, given the energies of all that the clips show."""
        one, other = total.one + NOISE, total.other + NOISE
        share = (self.one / one + self.other / other) / 2
        return np.asarray((self.both / np.sqrt(one * other) + STILL) / (share + STILL))

    def swapped(self) -> Energies:
        """With the clips exchanged."""
        return Energies(self.other, self.one, self.both)

    def __add__(self, other: Energies) -> Energies:
        return Energies(self.one + other.one, self.other + other.other, self.both + other.both)

    def where(self, mask: Bools, otherwise: Energies) -> Energies:
        """These where the mask holds, and `otherwise` elsewhere."""
        pairs = zip(vars(self).values(), vars(otherwise).values(), strict=True)
        return Energies(*(np.where(mask, one, other) for one, other in pairs))

    def minus_means(self, mean: Floats, other_mean: Floats) -> Energies:
        """Energies of the deviations from the clips' mean frames [..., 77]."""
        return Energies(
            self.one - np.square(mean).sum(axis=-1),
            self.other - np.square(other_mean).sum(axis=-1),
            self.both - (mean * other_mean).sum(axis=-1),
        )


def footage_similarity(one: Floats, other: Floats, overlap: Bools) -> tuple[Floats, Floats]:
    """Look and motion [p] of aligned frames [p, n, 77], without a logo and outlier frames.

    `overlap` [p, n] says which frames of the two lie on each other.
    """
    inliers = _without_outliers(one, other, overlap)
    count = inliers.sum(axis=1)
    one, other = one * inliers[..., None], other * inliers[..., None]
    mean, other_mean = (frames.sum(axis=1) / count[:, None] for frames in (one, other))
    sums = Energies.of(one, other, "pnk,pnk->p")
    total = Energies(sums.one / count, sums.other / count, sums.both / count)
    moving = total.minus_means(mean, other_mean)
    total = trimmed_energies(inverse_dct(mean), inverse_dct(other_mean)) + moving
    return total.look, moving.motion(total)


def _without_outliers(one: Floats, other: Floats, overlap: Bools) -> Bools:
    """The overlapping frames [p, n] without the fifth whose changes differ most."""
    count = overlap.sum(axis=1)
    changes, other_changes = (
        frames - (frames * overlap[..., None]).sum(axis=1, keepdims=True) / count[:, None, None]
        for frames in (one, other)
    )
    distance = np.where(overlap, np.square(changes - other_changes).sum(axis=2), np.inf)
    ranks = np.argsort(np.argsort(distance, axis=1, kind="stable"), axis=1)
    return np.asarray(ranks < (count - (_OUTLIER_FRAMES * count).astype(np.int64))[:, None])


def trimmed_energies(one: Floats, other: Floats) -> Energies:
    """Energies of pictures [p, k] without the tenth that differs most, at best contrast.

    Of the whole pictures, if that tenth is more than half of either. A logo on either picture may
    distort the contrast, so the better of the fits in both directions counts.
    """
    forward, backward = _trimmed(one, other), _trimmed(other, one).swapped()
    is_better = (backward.both > 0) & (
        backward.both**2 * forward.one * forward.other
        > forward.both**2 * backward.one * backward.other
    )
    return backward.where(is_better, forward)


def _trimmed(one: Floats, other: Floats) -> Energies:
    """The same, with the first picture's contrast fitted to the other's."""
    last = int((1 - _LOGO_AREA) * (one.shape[1] - 1))
    total = rest = Energies.of(one, other, "pk,pk->p")
    for _ in range(2):
        gain = rest.both / np.maximum(rest.one, 1e-9)
        difference = np.abs(gain[:, None] * one - other)
        inside = difference <= np.partition(difference, last, axis=1)[:, last, None]
        rest = Energies.of(one * inside, other * inside, "pk,pk->p")
    share = np.maximum(
        rest.one / np.maximum(total.one, 1e-9), rest.other / np.maximum(total.other, 1e-9)
    )
    return total.where(share < _MIN_REST_ENERGY, rest)
