"""How well clips agree where they lie on each other, whatever a mark or a short slip may cover."""

from __future__ import annotations

import numpy as np

from curation.dedup.energies import Energies, Floats, Mask
from curation.dedup.temporal_alignment import Couples, Places
from curation.embed.signature import pictures

_MARK, _LEFT = 0.1, 0.5
"""Share of a picture that a mark may cover, and of its energy that has to lie beside the mark."""
_SLIP = 0.2
"""Share of the frames that may show something else."""


def likeness(couples: Couples, places: Places) -> tuple[Floats, Floats]:
    """Look and motion [p] at places [p], without what a mark or a short slip would cover."""
    one, n = couples.one, couples.one.shape[1]
    other = places.weights(n, couples.other.shape[1]) @ couples.other
    kept = _settled(one, other, places.inside(n))
    count = kept.sum(axis=1)
    one, other = one * kept[..., None], other * kept[..., None]
    mean, beside = (frames.sum(axis=1) / count[:, None] for frames in (one, other))
    both = ((one, one), (other, other), (one, other))
    whole = Energies(*(np.einsum("pnk,pnk->p", *each) / count for each in both))
    moving = whole.beyond(mean, beside)
    still = trimmed(pictures(mean), pictures(beside))
    whole = still.plus(moving)
    return whole.look, moving.motion(whole)


def _settled(one: Floats, other: Floats, inside: Mask) -> Mask:
    """Those of the frames [p, n] without the fifth whose changes differ most."""
    count = inside.sum(axis=1)
    ours, theirs = (
        frames - (frames * inside[..., None]).sum(axis=1, keepdims=True) / count[:, None, None]
        for frames in (one, other)
    )
    differs = np.where(inside, np.square(ours - theirs).sum(axis=2), np.inf)
    ranks = np.argsort(np.argsort(differs, axis=1, kind="stable"), axis=1)
    return np.asarray(ranks < (count - (_SLIP * count).astype(np.int64))[:, None])


def trimmed(one: Floats, other: Floats) -> Energies:
    """Energies of pictures [p, k] without the tenth that differs most, at best contrast.

    Of the whole pictures, if that tenth is more than half of either. Either picture may be the one
    with a mark that hides what the contrast is, so the better of both fits counts.
    """
    found, turned = _trimmed(one, other), _trimmed(other, one).turned()
    better = (turned.both > 0) & (
        turned.both**2 * found.one * found.other > found.both**2 * turned.one * turned.other
    )
    return turned.where(better, found)


def _trimmed(one: Floats, other: Floats) -> Energies:
    """The same, with the first picture's contrast fitted to the other's."""
    most = int((1 - _MARK) * (one.shape[1] - 1))
    whole = part = _summed(one, other)
    for _ in range(2):
        gain = part.both / np.maximum(part.one, 1e-9)
        differs = np.abs(gain[:, None] * one - other)
        inside = differs <= np.partition(differs, most, axis=1)[:, most, None]
        part = _summed(one * inside, other * inside)
    left = np.maximum(
        part.one / np.maximum(whole.one, 1e-9), part.other / np.maximum(whole.other, 1e-9)
    )
    return whole.where(left < _LEFT, part)


def _summed(one: Floats, other: Floats) -> Energies:
    """Of pictures [p, k]."""
    both = ((one, one), (other, other), (one, other))
    return Energies(*(np.einsum("pk,pk->p", *each) for each in both))
