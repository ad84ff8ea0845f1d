"""A tokenizer under evaluation, and what it makes of windows of any size."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from curation.reasons import EnvironmentFaultError, MediaError
from tokenizer.encode import check_finite
from tokenizer.heads import heads_of
from tokenizer.interface import Head, Tokenizer, Tokens, Video
from tokenizer.load import load
from tokenizer.pca import PcaTokenizer
from tokenizer.placement import Placement
from tokenizer.windows import padded


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """Windows as one head keeps them."""

    videos: list[Video]
    """In the windows' order and of their shapes: padding is cut off again."""
    bits: float
    """What their tokens take: log2 of the codebook's size for a code, 16 for a number of a latent.
    Tokens of padding count, as they have to be stored."""
    decode_s: float
    """Seconds to decode all of them."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What a tokenizer made of some windows."""

    tokens: list[Tokens]
    encode_s: float
    """Seconds to encode all of them."""
    heads: dict[Head, Rebuilt]
    """By head, those that the tokenizer has."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A tokenizer under evaluation, and where it computes."""

    tokenizer: Tokenizer
    device: str
    precision: str

    @classmethod
    def load(cls, name: str, placement: Placement) -> Subject:
        """The tokenizer of a name, as in `tokenizer.load`; PCA heeds no placement."""
        tokenizer = load(name, placement)
        if isinstance(tokenizer, PcaTokenizer):
            return cls(tokenizer, "cpu", "fp64")
        return cls(tokenizer, placement.device, placement.precision)

    @property
    def codebook(self) -> int:
        """Entries in its codebook; 1 without a discrete head."""
        return math.prod(self.tokenizer.levels)

    def try_on(self, windows: Sequence[Video]) -> Trial:
        """Encodes and decodes windows uint8 [T, H, W, 3] of any length and size.

        Raises `MediaError` for windows that the tokenizer refuses or makes NaN of, and
        `EnvironmentFaultError` where the device runs out of memory.
        """
        rate = self.tokenizer.rate
        fitted = [
            padded(
                video, -(len(video) - 1) % rate.time, *(-s % rate.space for s in video.shape[1:3])
            )
            for video in windows
        ]
        try:
            start = time.perf_counter()
            tokens = self.tokenizer.encode(fitted)
            encode_s = time.perf_counter() - start
            for place, window in enumerate(tokens):
                check_finite(window, place)
            heads = {
                head: self._rebuilt(head, tokens, windows) for head in heads_of(self.tokenizer)
            }
        except ValueError as error:
            raise MediaError("no_tokens", f"{self.tokenizer.name}: {error}") from error
        except torch.OutOfMemoryError as error:
            words = str(error).strip().partition("\n")[0]
            raise EnvironmentFaultError(f"{words}; lower the batch or the short side") from error
        return Trial(tokens, encode_s, heads)

    def _rebuilt(self, head: Head, tokens: Sequence[Tokens], windows: Sequence[Video]) -> Rebuilt:
        start = time.perf_counter()
        if head == "codes":
            codes = [window.codes for window in tokens if window.codes is not None]
            videos = self.tokenizer.decode_codes(codes)
            bits = math.log2(self.codebook) * sum(window.size for window in codes)
        else:
            latents = [window.latents for window in tokens if window.latents is not None]
            videos = self.tokenizer.decode_latents(latents)
            bits = 16.0 * sum(window.size for window in latents)
        decode_s = time.perf_counter() - start
        real = [
            made[: len(video), : video.shape[1], : video.shape[2]]
            for made, video in zip(videos, windows, strict=True)
        ]
        return Rebuilt(real, bits, decode_s)
