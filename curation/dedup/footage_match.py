"""Whether two clips show the same footage: their frames compared where they agree best in time.

One clip is shifted over the other, at speeds from 0.95 to 1.05, with at least three fifths of the
shorter one overlapping. There three things have to agree, and the least of them is the similarity:

- the *look*: the cosine of all coarse coefficients of the frames that lie on each other;
- the *motion*: the same of each frame's deviation from the clip's mean, which distinguishes another
  event before the same camera, however alike the pictures are. Where nothing moves in either clip
  beyond coding noise, it agrees;
- the *detail* of what stands still, which distinguishes title cards. What moves has none.

Of what stands still the tenth of the picture that differs most is left out, which is where a logo
would be, unless that is most of what there is to see; of what moves a fifth of the frames. Noise is
added to every energy, so that frames without structure are evidence of nothing. Of clips with black
bars those letterbox variants are compared that may be the same.

Detail is compared first, and an alignment between frames is refined only where the clips agree
roughly, so that what cannot be a copy costs little. Two clips of five seconds take some tenths of a
millisecond.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from curation.dedup.letterbox_variants import LetterboxVariants
from curation.dedup.pairs import NEAR_DUPLICATE_FLOOR
from curation.dedup.similarity import Floats, footage_similarity, trimmed_energies
from curation.dedup.temporal_alignment import ClipPairs
from curation.dedup.vectors import Rows
from curation.embed.signature import SIGNATURE_FPS

_DETAIL_WEIGHT = 1.5
"""How much more a difference in detail counts: copies hardly differ there."""
_SAME_BARS = 0.004
"""Bars that differ by less, as shares of the picture, are the same."""
_WORTH_REFINING = 0.4
"""Agreement on the grid from which the alignment is refined."""
_DETAIL_BATCH = 512
"""Pairs whose detail is compared at once."""
_ALIGNMENT_NUMBERS = 1 << 18
"""Numbers that are held at once for pairs that are being aligned."""


@dataclass(frozen=True)
class FootageMatch:
    """How pairs of clips agree at their best; each of shape [pairs]."""

    similarity: Floats
    """0–1; 0 for all that is below the floor of near-duplicates."""
    overlap_s: Floats
    """How long they show the same, in seconds of the first clip."""
    offset_s: Floats
    """Where the second clip starts, in seconds from the first one's start."""

    def put(self, index: Rows, matches: FootageMatch) -> None:
        """Replaces the matches of some pairs."""
        for name, values in vars(matches).items():
            getattr(self, name)[index] = values


def match_footage(
    variants: LetterboxVariants, one: Rows, other: Rows, threads: int = 0
) -> FootageMatch:
    """Aligns pairs of clips, by their rows [pairs], where they agree best; each shows something.

    The result for a pair is independent of batch composition. Runs on all cores, or on so many.
    """
    pair, first, second = _variant_pairs(variants, one, other)
    matches = FootageMatch(*np.zeros((3, len(pair))))

    def detail_of(batch: Rows) -> Floats:
        one, other = first[batch], second[batch]
        energies = trimmed_energies(variants.pictures(one), variants.pictures(other))
        still = np.minimum(variants.still[one], variants.still[other])
        return np.asarray(1 - _DETAIL_WEIGHT * still * (1 - energies.cosine))

    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        batches = np.split(np.arange(len(pair)), np.arange(_DETAIL_BATCH, len(pair), _DETAIL_BATCH))
        detail = np.concatenate(list(pool.map(detail_of, batches)))
        candidates = np.flatnonzero(detail >= NEAR_DUPLICATE_FLOOR)
        batches = list(_equal_length_batches(variants, first, second, candidates))

        def match_of(batch: Rows) -> FootageMatch:
            return _match(variants, first[batch], second[batch], detail[batch])

        for batch, match in zip(batches, pool.map(match_of, batches), strict=True):
            matches.put(batch, match)
    # Of a pair's variants the best, and of those the first.
    order = np.lexsort((-matches.similarity, pair))
    best = order[np.searchsorted(pair[order], np.arange(len(one)))]
    return FootageMatch(*(values[best] for values in vars(matches).values()))


def _variant_pairs(variants: LetterboxVariants, one: Rows, other: Rows) -> tuple[Rows, Rows, Rows]:
    """The index of a pair of clips, and two of their variants that may be the same.

    Of two clips with the same bars only those without them: the bars are no evidence, and would be
    most of it. A guess at bars is not compared with another guess.
    """
    counts = variants.count(one), variants.count(other)
    difference = np.abs(variants.bars[one] - variants.bars[other]).max(axis=1)
    is_guess = variants.has_guessed_bars(one), variants.has_guessed_bars(other)
    has_bars = (counts[0] > 1) & (counts[1] > 1) & ~is_guess[0] & ~is_guess[1]
    has_same_bars = has_bars & (difference < _SAME_BARS)
    pair, first, second = [], [], []
    for a, b in ((0, 0), (0, 1), (1, 0), (1, 1)):
        is_compared = (counts[0] > a) & (counts[1] > b)
        is_compared &= ~is_guess[0] | ~is_guess[1] if a and b else ~has_same_bars
        index = np.flatnonzero(is_compared)
        pair.append(index)
        first.append(variants.bounds[one[index]] + a)
        second.append(variants.bounds[other[index]] + b)
    return np.concatenate(pair), np.concatenate(first), np.concatenate(second)


def _equal_length_batches(
    variants: LetterboxVariants, first: Rows, second: Rows, pairs: Rows
) -> Iterator[Rows]:
    """Batches of pairs that have equal numbers of frames."""
    n, m = variants.frames[first[pairs]], variants.frames[second[pairs]]
    order = np.lexsort((pairs, m, n))
    n, m = n[order], m[order]
    ends = np.flatnonzero(np.append((np.diff(n) != 0) | (np.diff(m) != 0), True)) + 1
    for group in np.split(pairs[order], ends[:-1]):
        if len(group):
            frames = variants.frames[first[group[0]]], variants.frames[second[group[0]]]
            step = max(1, _ALIGNMENT_NUMBERS // int(10 * frames[0] * sum(frames)))
            yield from np.split(group, np.arange(step, len(group), step))


def _match(variants: LetterboxVariants, first: Rows, second: Rows, detail: Floats) -> FootageMatch:
    """Matches of variants with equal numbers of frames, given how well their detail agrees."""
    pairs = ClipPairs(variants.coarse(first), variants.coarse(second))
    alignment, agreement = pairs.best_on_grid()
    index = np.flatnonzero(agreement >= _WORTH_REFINING)
    alignment.put(index, pairs.take(index).refine(alignment.take(index)))
    one, other = pairs.aligned(alignment)
    look, motion = footage_similarity(one, other, alignment.mask(one.shape[1]))
    similarity = np.minimum(detail, np.minimum(look, motion)).round(5)
    middle = (alignment.first + alignment.last - 1) / 2
    offset_s = (middle - alignment.centre / alignment.speed) / SIGNATURE_FPS
    match = FootageMatch(similarity, alignment.overlap / SIGNATURE_FPS, offset_s.round(3))
    is_copy = similarity >= NEAR_DUPLICATE_FLOOR
    return FootageMatch(*(np.where(is_copy, values, 0) for values in vars(match).values()))
