"""Where in time two clips agree best: every shift, and speeds from 0.95 to 1.05.

First on a grid: the products of all frames of one clip with all of the other, summed along the
diagonals that shifts and speeds make of them. Then within a quarter of a frame around the best.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

NOISE = 1e4
"""Energy of a frame's coarse coefficients that may be noise."""
_SPEEDS = (1.0, 0.975, 1.025, 0.95, 1.05)
_STILL = 0.002
"""Share of a frame's energy by which coding moves what stands still."""
_OVERLAP = 0.6
"""Share of the shorter clip that has to lie on the other."""
_WORTH = 0.4
"""Agreement from which the best place is looked for more closely."""


@dataclass(frozen=True)
class Place:
    """Frames `first` to `last` (exclusive) of one clip, and where they lie in the other."""

    first: int
    last: int
    centre: float
    """Place in the other clip of the middle of these frames."""
    speed: float
    """Frames of the other clip for one of this."""


def best_place(one: Floats, other: Floats) -> Place:
    """Where frames [n, 77] and [m, 77] agree best, in look and in motion."""
    place = _coarsely(one, other)
    if _agreement(*laid(one, other, place)) >= _WORTH:
        place = _refined(one, other, place)
    return place


def laid(one: Floats, other: Floats, place: Place) -> tuple[Floats, Floats]:
    """The frames of one clip at a place, and those of the other that lie on them."""
    middle = (place.last - 1 - place.first) / 2
    places = place.centre + place.speed * (np.arange(place.last - place.first) - middle)
    places = np.clip(places, 0, len(other) - 1)
    low = np.minimum(places.astype(np.int64), max(len(other) - 2, 0))
    weight = (places - low)[:, None]
    theirs = other[low] * (1 - weight) + other[np.minimum(low + 1, len(other) - 1)] * weight
    return one[place.first : place.last], theirs


@dataclass(frozen=True)
class Energies:
    """Mean over the frames of what one clip, the other, and both together have."""

    one: float
    other: float
    both: float

    def motion(self, mine: float, yours: float) -> float:
        """How well these changes agree, given the energies of all that the clips show."""
        share = (self.one / mine + self.other / yours) / 2
        return (self.both / math.sqrt(mine * yours) + _STILL) / (share + _STILL)


def energies(one: Floats, other: Floats) -> tuple[Energies, Energies]:
    """Of frames [n, 77], and of what each frame has beyond the clip's mean."""
    mean, beside = one.sum(axis=0) / len(one), other.sum(axis=0) / len(other)
    whole = [float(np.vdot(a, b)) / len(one) for a, b in ((one, one), (other, other), (one, other))]
    still = [float(a @ b) for a, b in ((mean, mean), (beside, beside), (mean, beside))]
    return Energies(*whole), Energies(*(w - s for w, s in zip(whole, still, strict=True)))


@dataclass(frozen=True)
class _Grid:
    """A clip's frames at every speed, from the first frame and from half a frame later."""

    low: npt.NDArray[np.int64]
    """The frame before each place, shape [variants, places]."""
    weight: Floats
    """How much of the frame after it is in it."""
    counts: npt.NDArray[np.int64]
    """How many places of each variant lie in the clip; those after are the last frame."""

    def mixed(self, values: Floats) -> Floats:
        """Values [n, frames] at the places, shape [variants, n, places]; 0 after the end."""
        high = np.minimum(self.low + 1, values.shape[1] - 1)
        found = values[:, self.low] * (1 - self.weight) + values[:, high] * self.weight
        inside = np.arange(self.low.shape[1]) < self.counts[:, None]
        return np.asarray((found * inside).transpose(1, 0, 2))

    def squares(self, frames: Floats) -> Floats:
        """Squared lengths of the frames at the places, up to each: [variants, places + 1]."""
        own = np.square(frames).sum(axis=1)
        beside = np.append((frames[:-1] * frames[1:]).sum(axis=1), 0.0)
        high = np.minimum(self.low + 1, len(frames) - 1)
        w, rest = self.weight, 1 - self.weight
        at = rest**2 * own[self.low] + w**2 * own[high] + 2 * w * rest * beside[self.low]
        return np.pad(at.cumsum(axis=1), ((0, 0), (1, 0)))


@lru_cache(maxsize=512)
def _grid(count: int) -> _Grid:
    starts = [(s, b) for s in _SPEEDS for b in (0.0, 0.5)] if count > 1 else [(1.0, 0.0)]
    longest = int((count - 1) / min(_SPEEDS) + 1e-6) + 1
    places = np.array([begin + speed * np.arange(longest) for speed, begin in starts])
    counts = (places <= count - 1 + 1e-6).sum(axis=1)
    places = np.minimum(places, count - 1)
    low = np.minimum(places.astype(np.int64), max(count - 2, 0))
    return _Grid(low, places - low, counts)


def _coarsely(one: Floats, other: Floats) -> Place:
    """The best place on the grid."""
    n, m = len(one), len(other)
    grid = _grid(m)
    shifts = np.arange(1 - grid.low.shape[1], n)
    first = np.maximum(shifts, 0)[None]
    last = np.maximum(np.minimum(n, shifts + grid.counts[:, None]), first)
    counts = last - first
    ours, theirs = one - one.mean(axis=0), other - other.mean(axis=0)
    noise = NOISE * counts + 1e-9

    def energies(a: Floats, b: Floats) -> tuple[Floats, Floats]:
        sums = np.append(0.0, np.square(a).sum(axis=1).cumsum())
        variant = np.arange(len(grid.counts))[:, None]
        squares = grid.squares(b)
        over = squares[variant, last - shifts] - squares[variant, np.maximum(first - shifts, 0)]
        return sums[last] - sums[first], over

    mine, yours = (energy + noise for energy in energies(one, other))
    moving, moved = energies(ours, theirs)
    whole = np.sqrt(mine * yours)
    look = _diagonals(grid.mixed(one @ other.T)) / whole
    share = (moving / mine + moved / yours) / 2
    motion = (_diagonals(grid.mixed(ours @ theirs.T)) / whole + _STILL) / (share + _STILL)
    enough = counts >= np.maximum(1, _OVERLAP * np.minimum(n, grid.counts)[:, None])
    agreed = np.where(enough, (look + motion) / 2, -np.inf)
    variant, column = np.unravel_index(int(agreed.argmax()), agreed.shape)
    begin, end = int(first[0, column]), int(last[variant, column])
    speed = _SPEEDS[variant // 2] if m > 1 else 1.0
    middle = (begin + end - 1) / 2 - int(shifts[column])
    return Place(begin, end, speed * middle + 0.5 * (variant % 2), speed)


def _diagonals(products: Floats) -> Floats:
    """Sums along the diagonals of [variants, n, m], by shift from 1 − m to n − 1."""
    variants, n, m = products.shape
    skewed = np.zeros((variants, n, m + n))
    skewed[:, :, :m] = products[:, :, ::-1]
    flat = skewed.reshape(variants, -1)[:, : n * (m + n - 1)]
    return np.asarray(flat.reshape(variants, n, m + n - 1).sum(axis=1))


def _agreement(one: Floats, other: Floats) -> float:
    """How well look and motion of frames [n, 77] agree, on average."""
    whole, moving = energies(one, other)
    mine, yours = whole.one + NOISE, whole.other + NOISE
    return (whole.both / math.sqrt(mine * yours) + moving.motion(mine, yours)) / 2


def _refined(one: Floats, other: Floats, place: Place) -> Place:
    """The best place within a quarter of a frame and a little faster or slower."""
    best, most = place, _agreement(*laid(one, other, place))
    for step in (0.25, 0.125):
        near = [
            replace(best, centre=best.centre + shift, speed=best.speed + faster)
            for shift in (-step, 0.0, step)
            for faster in (-step / 20, 0.0, step / 20)
            if shift or faster
        ]
        found = [_agreement(*laid(one, other, each)) for each in near]
        if max(found) > most:
            best, most = near[int(np.argmax(found))], max(found)
    return best
