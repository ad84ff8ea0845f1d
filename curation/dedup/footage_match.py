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
would be, unless that is most of what there is to see; of what moves a fifth of the frames. Noise is
added to every energy, so that frames without structure are evidence of nothing. Of clips with black
bars those framings are compared that may be the same.

Detail is looked at first, and a place between frames only where the clips agree somewhere, so that
what cannot be a copy costs little. Two clips of five seconds take some tenths of a millisecond.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from curation.dedup.energies import Floats
from curation.dedup.floors import COPIES_FLOOR
from curation.dedup.letterbox_variants import Framings
from curation.dedup.pairs import Rows
from curation.dedup.similarity import likeness, trimmed
from curation.dedup.temporal_alignment import Couples
from curation.embed.signature import RATE

_STRICT = 1.5
"""How much more a difference in detail counts: copies hardly differ there."""
_SAME_BARS = 0.004
"""Bars that differ by less, as shares of the picture, are the same."""
_WORTH = 0.4
"""Agreement on the grid from which the place is looked for more closely."""
_ALONGSIDE = 512
"""Pairs whose detail is compared at once."""
_ROOM = 1 << 18
"""Numbers that are held at once for pairs that are laid over each other."""


@dataclass(frozen=True)
class Aligned:
    """How pairs of clips agree at their best; each of shape [pairs]."""

    similarity: Floats
    """0–1; 0 for all that is below the floor of copies."""
    overlap_s: Floats
    """How long they show the same, in seconds of the first clip."""
    offset_s: Floats
    """Where the second clip starts, in seconds from the first one's start."""

    @classmethod
    def none(cls, count: int) -> Aligned:
        """Nothing that agrees."""
        return cls(*np.zeros((3, count)))

    def put(self, at: Rows, found: Aligned) -> None:
        """Takes what was found for some pairs."""
        self.similarity[at] = found.similarity
        self.overlap_s[at] = found.overlap_s
        self.offset_s[at] = found.offset_s


def align(framings: Framings, one: Rows, other: Rows) -> Aligned:
    """Lays clips over each other where they agree best; each shows something.

    What is found for a pair does not depend on which others are asked for. Runs on all cores.
    """
    pair, mine, yours = _compared(framings, one, other)
    tried = Aligned.none(len(pair))

    def detail(some: Rows) -> Floats:
        return _detail(framings, mine[some], yours[some])

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        parts = np.split(np.arange(len(pair)), np.arange(_ALONGSIDE, len(pair), _ALONGSIDE))
        may = np.concatenate(list(pool.map(detail, parts)))
        alike = np.flatnonzero(may >= COPIES_FLOOR)
        parts = list(_of_equal_lengths(framings, mine, yours, alike))

        def laid(some: Rows) -> Aligned:
            return _laid(framings, mine[some], yours[some], may[some])

        for some, found in zip(parts, pool.map(laid, parts), strict=True):
            tried.put(some, found)
    # Of a pair's framings the best, and of those the first.
    order = np.lexsort((-tried.similarity, pair))
    best = order[np.searchsorted(pair[order], np.arange(len(one)))]
    return Aligned(tried.similarity[best], tried.overlap_s[best], tried.offset_s[best])


def _compared(framings: Framings, one: Rows, other: Rows) -> tuple[Rows, Rows, Rows]:
    """Framings that may be the same, and the pair of clips that they belong to.

    Of two clips with the same bars only those without them: the bars are no evidence, and would be
    most of it. A guess at bars is not compared with another guess.
    """
    counts = framings.count(one), framings.count(other)
    apart = np.abs(framings.bars[one] - framings.bars[other]).max(axis=1)
    guessed = framings.guessed(one), framings.guessed(other)
    known = (counts[0] > 1) & (counts[1] > 1) & ~guessed[0] & ~guessed[1]
    same = known & (apart < _SAME_BARS)
    pair, mine, yours = [], [], []
    for a, b in ((0, 0), (0, 1), (1, 0), (1, 1)):
        there = (counts[0] > a) & (counts[1] > b)
        if a and b:
            there &= ~guessed[0] | ~guessed[1]
        else:
            there &= ~same
        has = np.flatnonzero(there)
        pair.append(has)
        mine.append(framings.bounds[one[has]] + a)
        yours.append(framings.bounds[other[has]] + b)
    return np.concatenate(pair), np.concatenate(mine), np.concatenate(yours)


def _detail(framings: Framings, mine: Rows, yours: Rows) -> Floats:
    alike = trimmed(framings.pictures(mine), framings.pictures(yours))
    still = np.minimum(framings.still[mine], framings.still[yours])
    return np.asarray(1 - _STRICT * still * (1 - alike.cosine))


def _of_equal_lengths(framings: Framings, mine: Rows, yours: Rows, asked: Rows) -> Iterator[Rows]:
    """Pairs that have the same numbers of frames, some at a time."""
    n, m = framings.frames[mine[asked]], framings.frames[yours[asked]]
    order = np.lexsort((asked, m, n))
    n, m = n[order], m[order]
    ends = np.flatnonzero(np.append((np.diff(n) != 0) | (np.diff(m) != 0), True)) + 1
    for group in np.split(asked[order], ends[:-1]):
        if len(group):
            frames = framings.frames[mine[group[0]]], framings.frames[yours[group[0]]]
            step = max(1, _ROOM // int(10 * frames[0] * sum(frames)))
            yield from np.split(group, np.arange(step, len(group), step))


def _laid(framings: Framings, mine: Rows, yours: Rows, detail: Floats) -> Aligned:
    """The same for framings with equal numbers of frames, whose detail may agree."""
    couples = Couples(framings.coarse(mine), framings.coarse(yours))
    places, agreed = couples.best()
    worth = np.flatnonzero(agreed >= _WORTH)
    places.put(worth, couples.at(worth).refined(places.at(worth)))
    similarity = np.minimum(detail, np.minimum(*likeness(couples, places))).round(5)
    begins = (places.first + places.last - 1) / 2 - places.centre / places.speed
    aligned = Aligned(similarity, places.count / RATE, (begins / RATE).round(3))
    is_copy = similarity >= COPIES_FLOOR
    return Aligned(*(np.where(is_copy, each, 0) for each in vars(aligned).values()))
