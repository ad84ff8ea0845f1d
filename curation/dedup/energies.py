"""How much of what frames or pictures show agrees, as energies of their coefficients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

NOISE = 1e4
"""Energy of a frame's coarse coefficients that may be noise."""
STILL = 0.002
"""Share of a frame's energy by which coding moves what stands still."""


@dataclass(frozen=True)
class Energies:
    """Mean over the frames of what one clip, the other, and both together have."""

    one: Floats
    other: Floats
    both: Floats

    @property
    def look(self) -> Floats:
        """The cosine, where noise counts as what is not alike."""
        return np.asarray(self.both / np.sqrt((self.one + NOISE) * (self.other + NOISE)))

    @property
    def cosine(self) -> Floats:
        """The cosine alone."""
        return np.asarray(self.both / np.sqrt(np.maximum(self.one * self.other, 1e-12)))

    def turned(self) -> Energies:
        """With the clips' places changed."""
        return Energies(self.other, self.one, self.both)

    def plus(self, other: Energies) -> Energies:
        """Of both together."""
        return Energies(self.one + other.one, self.other + other.other, self.both + other.both)

    def where(self, these: Mask, others: Energies) -> Energies:
        """These where it is so, and elsewhere others."""
        pairs = zip(vars(self).values(), vars(others).values(), strict=True)
        return Energies(*(np.where(these, mine, yours) for mine, yours in pairs))

    def beyond(self, mean: Floats, beside: Floats) -> Energies:
        """What each frame has beyond the clips' means [..., 77]."""
        return Energies(
            self.one - np.square(mean).sum(axis=-1),
            self.other - np.square(beside).sum(axis=-1),
            self.both - (mean * beside).sum(axis=-1),
        )

    def motion(self, whole: Energies) -> Floats:
        """How well these changes agree, given the energies of all that the clips show."""
        mine, yours = whole.one + NOISE, whole.other + NOISE
        share = (self.one / mine + self.other / yours) / 2
        return np.asarray((self.both / np.sqrt(mine * yours) + STILL) / (share + STILL))
