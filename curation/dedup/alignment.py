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
would be, unless that is most of what there is to see; of what moves a fifth of the frames. Each
frame is mixed with those beside it, since of fast motion four frames a second show chance moments.
Noise is added to every energy, so that frames without structure are evidence of nothing. Of clips
with black bars those framings are compared that may be the same. Cost: some milliseconds for two
clips of five seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from curation.dedup.place import NOISE, Floats, best_place, energies, laid
from curation.dedup.signature import RATE, picture_basis, unpacked_rows
from curation.records import Signature

_MARK, _LEFT = 0.1, 0.5
"""Share of a picture that a mark may cover, and of its energy that has to lie beside the mark."""
_SLIP = 0.2
"""Share of the frames that may show something else."""
_STRICT = 1.5
"""How much more a difference in detail counts: copies hardly differ there."""
_SAME_BARS = 0.004
"""Bars that differ by less, as shares of the picture, are the same."""


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


def _align(one: Framing, other: Framing) -> Aligned:
    place = best_place(one.coarse, other.coarse)
    look, moves = _closely(*laid(one.coarse, other.coarse, place))
    alike, mine, yours = trimmed(one.fine @ picture_basis(True), other.fine @ picture_basis(True))
    apart = 1 - alike / np.sqrt(max(mine * yours, 1e-12))
    detail = 1 - _STRICT * min(one.still, other.still) * apart
    begins = (place.first + place.last - 1) / 2 - place.centre / place.speed
    return Aligned(
        similarity=round(max(0.0, float(min(look, moves, detail))), 5),
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
    inside, most = np.ones(len(one), bool), int((1 - _MARK) * (len(one) - 1))
    for _ in range(2):
        a, b = one[inside], other[inside]
        gain = float(a @ b) / max(float(a @ a), 1e-9)
        differs = np.abs(gain * one - other)
        inside = differs <= np.partition(differs, most)[most]
    a, b = one[inside], other[inside]
    mine, yours = float(a @ a), float(b @ b)
    if max(mine / max(whole[1], 1e-9), yours / max(whole[2], 1e-9)) < _LEFT:
        return whole
    return float(a @ b), mine, yours


def _closely(one: Floats, other: Floats) -> tuple[float, float]:
    """Look and motion of frames [n, 77], without what a mark or a short slip would cover."""
    one, other = _settled(one, other)
    basis = picture_basis(False)
    alike, mine, yours = trimmed(one.mean(axis=0) @ basis, other.mean(axis=0) @ basis)
    _, moving = energies(one, other)
    mine, yours = mine + moving.one + NOISE, yours + moving.other + NOISE
    return (alike + moving.both) / math.sqrt(mine * yours), moving.motion(mine, yours)


def _settled(one: Floats, other: Floats) -> tuple[Floats, Floats]:
    """The frames without the fifth whose changes differ most."""
    ours, theirs = one - one.mean(axis=0), other - other.mean(axis=0)
    differs = np.square(ours - theirs).sum(axis=1)
    kept = np.sort(np.argsort(differs, kind="stable")[: len(one) - int(_SLIP * len(one))])
    return one[kept], other[kept]
