"""Where in time two clips agree best: every shift, and speeds from 0.95 to 1.05.

First on a grid: the products of all frames of one clip with all of the other, summed along the
diagonals that shifts and speeds make of them. Then within a quarter of a frame around the best.
Many pairs of clips with the same numbers of frames are looked at together. Each pair's products
are computed on their own, so that what is found does not depend on which others there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from curation.dedup.energies import NOISE, STILL, Energies, Floats

Ints = npt.NDArray[np.int64]

_SPEEDS = (1.0, 0.975, 1.025, 0.95, 1.05)
_OVERLAP = 0.6
"""Share of the shorter clip that has to lie on the other."""
_DIGITS = 9
"""To which agreement counts, so that of places that agree alike the first is taken."""


@dataclass(frozen=True)
class Places:
    """Frames `first` to `last` (exclusive) of one clip, and where they lie in the other.

    All of the same shape: one place or several of each pair.
    """

    first: Ints
    last: Ints
    centre: Floats
    """Place in the other clip of the middle of these frames."""
    speed: Floats
    """Frames of the other clip for one of this."""

    def at(self, *index: Ints | slice) -> Places:
        """Some of them."""
        return Places(self.first[index], self.last[index], self.centre[index], self.speed[index])

    def put(self, at: Ints, others: Places) -> None:
        """Takes the places of some pairs."""
        for name, values in vars(others).items():
            getattr(self, name)[at] = values

    @property
    def count(self) -> Ints:
        """How many frames lie on each other."""
        return self.last - self.first

    def inside(self, frames: int) -> npt.NDArray[np.bool_]:
        """Which of a clip's frames they are, shape [..., frames]."""
        at = np.arange(frames)
        return np.asarray((at >= self.first[..., None]) & (at < self.last[..., None]))

    def weights(self, frames: int, others: int) -> Floats:
        """How much of each frame of the other clip lies on each of this: [..., frames, others].

        A frame lies between two of the other clip, or on its first or last one.
        """
        middle = (self.first + self.last - 1) / 2
        lies = self.centre[..., None] + self.speed[..., None] * (
            np.arange(frames) - middle[..., None]
        )
        found = _between(np.clip(lies, 0, others - 1), others)
        found *= self.inside(frames)[..., None]
        return found


def _between(places: Floats, frames: int) -> Floats:
    """Weights of the frames before and after each place, shape [..., frames]."""
    return np.asarray(np.maximum(0.0, 1 - np.abs(places[..., None] - np.arange(frames))))


@dataclass(frozen=True)
class Couples:
    """Pairs of clips of n and of m frames."""

    one: Floats
    """Shape [p, n, 77]."""
    other: Floats
    """Shape [p, m, 77]."""

    def __len__(self) -> int:
        return len(self.one)

    def at(self, pairs: Ints) -> Couples:
        """Some of the pairs."""
        return Couples(self.one[pairs], self.other[pairs])

    @cached_property
    def products(self) -> Floats:
        """Of each frame with each of the other clip, shape [p, n, m]."""
        return np.asarray(self.one @ self.other.transpose(0, 2, 1))

    @cached_property
    def moving(self) -> Couples:
        """What each frame has beyond the clip's mean."""
        return Couples(*(f - f.mean(axis=1, keepdims=True) for f in (self.one, self.other)))

    def best(self) -> tuple[Places, Floats]:
        """Where each pair agrees best on the grid, and how well, at most 1."""
        n, m = self.one.shape[1], self.other.shape[1]
        grid = _grid(n, m)
        counts = grid.last - grid.first
        sums = self._summed(grid), self.moving._summed(grid)
        mine, yours = (energy + NOISE * counts + 1e-9 for energy in sums[0][:2])
        whole = np.sqrt(mine * yours)
        look = sums[0][2] / whole
        share = (sums[1][0] / mine + sums[1][1] / yours) / 2
        motion = (sums[1][2] / whole + STILL) / (share + STILL)
        agreed = np.where(grid.enough, (look + motion) / 2, -np.inf).reshape(len(self), -1)
        best = agreed.round(_DIGITS).argmax(axis=1)
        return grid.places().at(best), agreed[np.arange(len(self)), best]

    def _summed(self, grid: _Grid) -> tuple[Floats, Floats, Floats]:
        """Energies of the one, of the other, and of both, where the grid lays them."""
        own = np.square(self.one).sum(axis=2)
        mine = np.pad(own.cumsum(axis=1), ((0, 0), (1, 0)))
        own, beside = _energies(self.other)
        lies = own[:, None] @ grid.mixing.squares.T + beside[:, None] @ grid.mixing.beside.T
        yours = lies.reshape(len(self), *grid.mixing.shape).cumsum(axis=2)
        yours = np.pad(yours, ((0, 0), (0, 0), (1, 0)))
        variant = np.arange(len(grid.last))[:, None]
        over = (yours[:, variant, grid.last - grid.shifts]
                - yours[:, variant, grid.first - grid.shifts])  # fmt: skip
        mixed = self.products @ grid.mixing.weights.T
        return mine[:, grid.last] - mine[:, grid.first], over, _diagonals(mixed, grid.mixing.shape)

    def agreement(self, places: Places) -> Floats:
        """How well look and motion agree at some places [p, k], on average, at most 1."""
        n, m = self.one.shape[1], self.other.shape[1]
        weights = places.weights(n, m)
        count = places.count.astype(np.float64)
        inside = places.inside(n).astype(np.float64)
        own, beside = _energies(self.other)
        mine = (inside @ np.square(self.one).sum(axis=2)[..., None])[..., 0] / count
        yours = (np.square(weights).sum(axis=2) @ own[..., None])[..., 0] / count
        between = (weights[..., :-1] * weights[..., 1:]).sum(axis=2)
        yours = yours + (between @ beside[..., None])[..., 0] / count
        both = (weights * self.products[:, None]).sum(axis=(2, 3)) / count
        mean = inside @ self.one / count[..., None]
        beyond = weights.sum(axis=2) @ self.other / count[..., None]
        whole = Energies(mine, yours, both)
        return (whole.look + whole.beyond(mean, beyond).motion(whole)) / 2

    def refined(self, places: Places) -> Places:
        """The best places [p] within a quarter of a frame and a little faster or slower."""
        shift, faster = (each.ravel() for each in np.mgrid[-1:2, -1:2].astype(np.float64))
        order = np.argsort(np.abs(shift) + np.abs(faster), kind="stable")
        for step in (0.25, 0.125):
            near = Places(
                np.repeat(places.first[:, None], 9, axis=1),
                np.repeat(places.last[:, None], 9, axis=1),
                places.centre[:, None] + step * shift[order],
                places.speed[:, None] + step / 20 * faster[order],
            )
            best = self.agreement(near).round(_DIGITS).argmax(axis=1)
            places = near.at(np.arange(len(self)), best)
        return places


def _energies(frames: Floats) -> tuple[Floats, Floats]:
    """Squared lengths of frames [p, m, 77], and twice the products with the next one [p, m − 1]."""
    return np.square(frames).sum(axis=2), 2 * (frames[:, :-1] * frames[:, 1:]).sum(axis=2)


@dataclass(frozen=True)
class _Mixing:
    """A clip's frames at every speed, from the first one and from half a frame later.

    It has a place for each frame that a clip as slow as can be would have: [variants, places].
    """

    shape: tuple[int, int]
    """Variants and places."""
    counts: Ints
    """How many places of each variant lie in the clip, shape [variants, 1]."""
    begins: Floats
    """Where each variant begins, in frames, shape [variants, 1]."""
    speeds: Floats
    """Frames of the clip from one place to the next, shape [variants, 1]."""
    weights: Floats
    """How much of each frame is in each place, 0 after the end: [variants · places, frames]."""

    @cached_property
    def squares(self) -> Floats:
        """Of how much of each frame is in each place."""
        return np.square(self.weights)

    @cached_property
    def beside(self) -> Floats:
        """How much of each frame is there times how much of the next."""
        return self.weights[:, :-1] * self.weights[:, 1:]


@lru_cache(maxsize=16)
def _mixing(frames: int) -> _Mixing:
    variants = [(s, b) for s in _SPEEDS for b in (0.0, 0.5)] if frames > 1 else [(1.0, 0.0)]
    speeds, begins = (np.array(each)[:, None] for each in zip(*variants, strict=True))
    longest = int((frames - 1) / speeds.min() + 1e-6) + 1
    lies = begins + speeds * np.arange(longest)
    there = lies <= frames - 1 + 1e-6
    counts = there.sum(axis=1, keepdims=True)
    weights = _between(np.minimum(lies, frames - 1), frames) * there[..., None]
    shape = (len(variants), longest)
    return _Mixing(shape, counts, begins, speeds, weights.reshape(-1, frames))


@dataclass(frozen=True)
class _Grid:
    """Every shift of one clip over every variant of the other."""

    mixing: _Mixing
    shifts: Ints
    """Frames of this clip before the other begins, negative for those of the other: [shifts]."""
    first: Ints
    """First frame that lies on the other, shape [1, shifts]."""
    last: Ints
    """Frame after the last one, shape [variants, shifts]."""
    enough: npt.NDArray[np.bool_]
    """Whether so much overlaps that it counts, shape [variants, shifts]."""

    def places(self) -> Places:
        """All of them, shape [variants · shifts]."""
        middle = (self.first + self.last - 1) / 2 - self.shifts
        every = np.zeros_like(self.last)
        return Places(
            (every + self.first).ravel(),
            self.last.ravel(),
            (self.mixing.begins + self.mixing.speeds * middle).ravel(),
            (every + self.mixing.speeds).ravel(),
        )


@lru_cache(maxsize=64)
def _grid(frames: int, others: int) -> _Grid:
    mixing = _mixing(others)
    shifts = np.arange(1 - mixing.shape[1], frames)
    first = np.maximum(shifts, 0)[None]
    last = np.maximum(np.minimum(frames, shifts + mixing.counts), first)
    enough = last - first >= np.maximum(1, _OVERLAP * np.minimum(frames, mixing.counts))
    return _Grid(mixing, shifts, first, last, enough)


def _diagonals(products: Floats, shape: tuple[int, int]) -> Floats:
    """Sums along the diagonals of [p, n, variants · m], by shift from 1 − m to n − 1."""
    (count, n, _), (variants, m) = products.shape, shape
    skewed = np.zeros((count, variants, n, m + n))
    skewed[..., :m] = products.reshape(count, n, variants, m).transpose(0, 2, 1, 3)[..., ::-1]
    flat = skewed.reshape(count, variants, -1)[..., : n * (m + n - 1)]
    return np.asarray(flat.reshape(count, variants, n, m + n - 1).sum(axis=2))
