"""A tokenizer under evaluation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tokenizer.models.inference import Placement
from tokenizer.models.interface import Codes, Head, Latents, Tokenizer, Tokens
from tokenizer.models.load import load
from tokenizer.models.pca import PcaTokenizer


@dataclass(frozen=True, slots=True)
class Subject:
    """A tokenizer under evaluation, and where it computes."""

    tokenizer: Tokenizer
    device: str
    precision: str

    @classmethod
    def load(cls, name: str, placement: Placement) -> Subject:
        """The tokenizer of a name, as in `tokenizer.models.load`; PCA heeds no placement."""
        tokenizer = load(name, placement)
        if isinstance(tokenizer, PcaTokenizer):
            return cls(tokenizer, "cpu", "fp64")
        return cls(tokenizer, placement.device, placement.precision)

    @property
    def codebook(self) -> int:
        """Entries in its codebook; 1 without a discrete head."""
        return math.prod(self.tokenizer.levels)

    def bits(self, head: Head, tokens: Sequence[Tokens]) -> float:
        """What one head's tokens take: log2 of the codebook's size for a code, 16 for a number of a
        latent. Tokens of padding count, as they have to be stored."""
        if head == "codes":
            return math.log2(self.codebook) * sum(_size(window.codes) for window in tokens)
        return 16.0 * sum(_size(window.latents) for window in tokens)


def _size(values: Codes | Latents | None) -> int:
    return 0 if values is None else values.size
