"""Tokenizers for frames of any number and size."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from tokenizer.models.interface import Tokenizer, Tokens, decode_windows
from tokenizer.models.load import load
from tokenizer.tokenize.windows import pad_video

Frames = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class FrameTokenizer:
    """A tokenizer of videos of any length and size: pads to its rate, and crops after decoding.

    `tokenizer` is the one underneath, which takes windows in batches.

        tokenizer = reelmill.load_tokenizer("pca-8x8x8")
        frames = np.zeros((10, 48, 64, 3), np.uint8)
        tokens = tokenizer.encode(frames)
        tokenizer.decode(tokens, shape=frames.shape[:3]).shape  # (10, 48, 64, 3)
    """

    tokenizer: Tokenizer
    """The tokenizer itself, whose `encode` takes windows of exact sizes in batches."""

    def encode(self, frames: Frames) -> Tokens:
        """The tokens of uint8 RGB frames [T, H, W, 3].

        `codes` is int32 [T', H', W'] and `latents` float32 [channels, T', H', W'], None for a head
        that the tokenizer lacks. T' = 1 + ⌈(T − 1) / time⌉, H' = ⌈H / space⌉, W' = ⌈W / space⌉.
        """
        rate = self.tokenizer.rate
        count, height, width, _ = frames.shape
        bottom, right = -height % rate.space, -width % rate.space
        video = pad_video(frames, -(count - 1) % rate.time, bottom, right)
        return self.tokenizer.encode([video])[0]

    def decode(
        self,
        tokens: Tokens,
        head: Literal["codes", "latents"] = "codes",
        shape: tuple[int, int, int] | None = None,
    ) -> Frames:
        """The uint8 RGB frames [T, H, W, 3] of one head; cropped to `shape` (T, H, W) if given.

        Raises `ShapeError` for tokens without this head, of another shape or type, beyond the
        codebook, or not finite.
        """
        (video,) = decode_windows([tokens], self.tokenizer, head)
        if shape is None:
            return video
        count, height, width = shape
        return video[:count, :height, :width]


def load_tokenizer(name: str | os.PathLike[str]) -> FrameTokenizer:
    """A tokenizer by name: a shipped one, a file of weights, `cosmos:FOLDER` or `diffusers:ID`.

        tokenizer = reelmill.load_tokenizer("causal-8x8x8")
        tokenizer.encode(np.zeros((9, 64, 64, 3), np.uint8)).codes.shape  # (2, 8, 8)

    Raises `ReelmillError` for an unknown name or weights that cannot be used, and
    `FileNotFoundError` for a path without a file.
    """
    return FrameTokenizer(load(os.fspath(name)))
