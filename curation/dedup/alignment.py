"""Whether two clips show the same footage: their frames compared where they agree best in time.

One clip is laid over the other at every shift and at speeds from 0.95 to 1.05, with at least three
fifths of the shorter one overlapping. There three things have to agree, and the least of them is
the similarity:

- the *look*: the cosine of all coarse coefficients of the frames that lie on each other;
- the *motion*: the same of what each frame has beyond the clip's mean, so that another event before
  the same camera is told apart, however alike the pictures are. Where nothing moves in either clip
  beyond coding noise, it agrees;
- the *detail* of what stands still, so that title cards are told apart. What moves has none.

Of what stands still the tenth of the picture that differs most is left out, which is where a logo
would be, unless that is most of what there is to see; of what moves an eighth of the frames. Each
frame is mixed with those beside it, since of fast motion four frames a second show chance moments.
Noise is added to every energy, so that frames without structure are evidence of nothing. Of clips
with black bars those framings are compared that may be the same. Cost: some milliseconds for two
clips of five seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from curation.dedup.signature import RATE, picture_basis, unpacked_rows
from curation.records import Signature

Floats = npt.NDArray[np.float64]

_SPEEDS = (1.0, 0.975, 1.025, 0.95, 1.05)
_NOISE = 1e4
"""Energy of a frame's coarse coefficients that may be noise."""
_STILL = 0.002
"""Share of a frame's energy by which coding moves what stands still."""
_MARK, _LEFT = 0.1, 0.5
"""Share of a picture that a mark may cover, and of its energy that has to lie beside the mark."""
_SLIP = 0.125
"""Share of the frames that may show something else."""
_STRICT = 1.5
"""How much more a difference in detail counts: copies hardly differ there."""
_OVERLAP = 0.6
"""Share of the shorter clip that has to lie on the other."""
_SAME_BARS = 0.004
"""Bars that differ by less, as shares of the picture, are the same."""
_WORTH = 0.4
"""Similarity from which the best place is looked for more closely."""


@dataclass(frozen=True)
class Framing:
    """A clip in one framing."""

    coarse: Floats
    """Shape [frames, 77], each mixed with those beside it."""
    fine: Floats
    """Unit vector [575]."""
    still: float
    """Share of the fine structure that stands still, 0–1."""


@dataclass(frozen=True)
class Shown:
    """A clip's signature, unpacked."""

    framings: list[Framing]
    """As it is, and without its bars if it has any."""
    bars: Floats
    """The bars: top, bottom, left, right, 0–1."""


def shown(signature: Signature) -> Shown:
    """Unpacks a signature of at least one frame."""
    count = signature.framings
    coarse = unpacked_rows(signature.scales, signature.coarse).astype(np.float64)
    fine = np.frombuffer(signature.fine, np.int8).astype(np.float64).reshape(count, -1)
    still = np.frombuffer(signature.still, "<f2").tolist()
    return Shown(
        [
            Framing(_mixed(each), mean / np.linalg.norm(mean), share)
            for each, mean, share in zip(np.split(coarse, count), fine, still, strict=True)
        ],
        np.frombuffer(signature.bars, "<f2").astype(np.float64),
    )


def _mixed(frames: Floats) -> Floats:
    beside = np.pad(frames, ((1, 1), (0, 0)), mode="edge")
    return (beside[:-2] + 2 * frames + beside[2:]) / 4


@dataclass(frozen=True)
class Aligned:
    """How two clips agree at their best."""

    similarity: float
    """0–1."""
    overlap_s: float
    """How long they show the same, in seconds of the first clip."""
    offset_s: float
    """Where the second clip starts, in seconds from the first one's start."""


def align(one: Shown, other: Shown) -> Aligned:
    """Lays clips of at least one frame over each other where they agree best."""
    found = [_align(a, b) for a, b in _framings(one, other)]
    return max(found, key=lambda aligned: aligned.similarity)


def _framings(one: Shown, other: Shown) -> list[tuple[Framing, Framing]]:
    """Framings that may be the same; of two clips with the same bars only those without them.

    The bars are no evidence, and would be most of it.
    """
    barred = len(one.framings) > 1 and len(other.framings) > 1
    if barred and np.abs(one.bars - other.bars).max() < _SAME_BARS:
        return [(one.framings[1], other.framings[1])]
    return [(a, b) for a in one.framings for b in other.framings]


@dataclass(frozen=True)
class _Place:
    """Frames `first` to `last` (exclusive) of one clip, and where they lie in the other."""

    first: int
    last: int
    centre: float
    """Place in the other clip of the middle of these frames."""
    speed: float
    """Frames of the other clip for one of this."""


def _align(one: Framing, other: Framing) -> Aligned:
    place = _coarsely(one.coarse, other.coarse)
    if _agreement(*_laid(one.coarse, other.coarse, place)) >= _WORTH:
        place = _refined(one.coarse, other.coarse, place)
    look, motion = _closely(*_laid(one.coarse, other.coarse, place))
    alike, mine, yours = trimmed(one.fine @ picture_basis(True), other.fine @ picture_basis(True))
    apart = 1 - alike / np.sqrt(max(mine * yours, 1e-12))
    detail = 1 - _STRICT * min(one.still, other.still) * apart
    begins = (place.first + place.last - 1) / 2 - place.centre / place.speed
    return Aligned(
        similarity=round(max(0.0, float(min(look, motion, detail))), 5),
        overlap_s=(place.last - place.first) / RATE,
        offset_s=round(float(begins) / RATE, 3),
    )


def trimmed(one: Floats, other: Floats) -> tuple[float, float, float]:
    """Product and energies of two pictures without the tenth that differs most, at best contrast.

    Of the whole pictures, if that tenth is more than half of each. Either picture may be the one
    with a mark that hides what the contrast is, so the better of both fits counts.
    """
    alike, mine, yours = _trimmed(one, other)
    turned, yours_turned, mine_turned = _trimmed(other, one)
    if turned**2 * mine * yours > alike**2 * mine_turned * yours_turned and turned > 0:
        return turned, mine_turned, yours_turned
    return alike, mine, yours


def _trimmed(one: Floats, other: Floats) -> tuple[float, float, float]:
    """The same, with the first picture's contrast fitted to the other's."""
    whole = (float(one @ other), float(one @ one), float(other @ other))
    inside = np.ones(len(one), bool)
    for _ in range(2):
        a, b = one[inside], other[inside]
        gain = float(a @ b) / max(float(a @ a), 1e-9)
        differs = np.abs(gain * one - other)
        inside = differs <= np.quantile(differs, 1 - _MARK)
    a, b = one[inside], other[inside]
    mine, yours = float(a @ a), float(b @ b)
    if max(mine / max(whole[1], 1e-9), yours / max(whole[2], 1e-9)) < _LEFT:
        return whole
    return float(a @ b), mine, yours


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


def _coarsely(one: Floats, other: Floats) -> _Place:
    """The best place on the grid."""
    n, m = len(one), len(other)
    grid = _grid(m)
    shifts = np.arange(1 - grid.low.shape[1], n)
    first = np.maximum(shifts, 0)[None]
    last = np.maximum(np.minimum(n, shifts + grid.counts[:, None]), first)
    counts = last - first
    ours, theirs = one - one.mean(axis=0), other - other.mean(axis=0)
    noise = _NOISE * counts + 1e-9

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
    return _Place(begin, end, speed * middle + 0.5 * (variant % 2), speed)


def _diagonals(products: Floats) -> Floats:
    """Sums along the diagonals of [variants, n, m], by shift from 1 − m to n − 1."""
    variants, n, m = products.shape
    skewed = np.zeros((variants, n, m + n))
    skewed[:, :, :m] = products[:, :, ::-1]
    flat = skewed.reshape(variants, -1)[:, : n * (m + n - 1)]
    return np.asarray(flat.reshape(variants, n, m + n - 1).sum(axis=1))


def _laid(one: Floats, other: Floats, place: _Place) -> tuple[Floats, Floats]:
    """The frames of one clip at a place, and those of the other that lie on them."""
    middle = (place.last - 1 - place.first) / 2
    places = place.centre + place.speed * (np.arange(place.last - place.first) - middle)
    places = np.clip(places, 0, len(other) - 1)
    low = np.minimum(places.astype(np.int64), max(len(other) - 2, 0))
    weight = (places - low)[:, None]
    theirs = other[low] * (1 - weight) + other[np.minimum(low + 1, len(other) - 1)] * weight
    return one[place.first : place.last], theirs


def _agreement(one: Floats, other: Floats) -> float:
    """How well look and motion of frames [n, 77] agree, on average."""
    mine, yours = (float(np.square(x).mean(axis=0).sum()) + _NOISE for x in (one, other))
    ours, theirs = one - one.mean(axis=0), other - other.mean(axis=0)
    whole = np.sqrt(mine * yours)
    look = float((one * other).mean(axis=0).sum()) / whole
    return float((look + _motion(ours, theirs, mine, yours)) / 2)


def _settled(one: Floats, other: Floats) -> tuple[Floats, Floats]:
    """The frames without the eighth whose changes differ most."""
    ours, theirs = one - one.mean(axis=0), other - other.mean(axis=0)
    differs = np.square(ours - theirs).sum(axis=1)
    kept = np.sort(np.argsort(differs, kind="stable")[: len(one) - int(_SLIP * len(one))])
    return one[kept], other[kept]


def _motion(ours: Floats, theirs: Floats, mine: float, yours: float) -> float:
    """How well two clips' changes agree, given the energies of all that the clips show."""
    together = float((ours * theirs).mean(axis=0).sum()) / float(np.sqrt(mine * yours))
    moving, moved = (float(np.square(x).mean(axis=0).sum()) for x in (ours, theirs))
    return float((together + _STILL) / ((moving / mine + moved / yours) / 2 + _STILL))


def _closely(one: Floats, other: Floats) -> tuple[float, float]:
    """Look and motion of frames [n, 77], without what a mark or a short slip would cover."""
    one, other = _settled(one, other)
    means = one.mean(axis=0), other.mean(axis=0)
    ours, theirs = one - means[0], other - means[1]
    basis = picture_basis(False)
    alike, mine, yours = trimmed(means[0] @ basis, means[1] @ basis)
    moving, moved = (float(np.square(x).mean(axis=0).sum()) for x in (ours, theirs))
    mine, yours = mine + moving + _NOISE, yours + moved + _NOISE
    together = float((ours * theirs).mean(axis=0).sum())
    look = (alike + together) / float(np.sqrt(mine * yours))
    return look, _motion(ours, theirs, mine, yours)


def _refined(one: Floats, other: Floats, place: _Place) -> _Place:
    """The best place within a quarter of a frame and a little faster or slower."""
    best, most = place, _agreement(*_laid(one, other, place))
    for step in (0.25, 0.125):
        near = [
            replace(best, centre=best.centre + shift, speed=best.speed + faster)
            for shift in (-step, 0.0, step)
            for faster in (-step / 20, 0.0, step / 20)
            if shift or faster
        ]
        found = [_agreement(*_laid(one, other, each)) for each in near]
        if max(found) > most:
            best, most = near[int(np.argmax(found))], max(found)
    return best
