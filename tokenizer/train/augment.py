"""Augmentation: crops of mixed length, flipped, reversed, transposed and cut at random."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tokenizer.models.interface import Compression


@dataclass(frozen=True, slots=True)
class Augment:
    """Draws a batch from the stored crops, on their device."""

    rate: Compression
    """Decides the lengths: one frame, and two whole numbers of latents."""
    side: int
    """Height and width of a cut in pixels."""
    batch: int
    """Crops of full length; more of shorter ones, so that a step costs about the same."""

    def __call__(self, crops: Tensor, random: torch.Generator) -> Tensor:
        """A batch float32 [B, T, side, side, 3] in -1 to 1 from uint8 [N, frames, S, S, 3]."""
        longest = 1 + (crops.shape[1] - 1) // self.rate.time * self.rate.time
        lengths = (1, 1 + (longest - 1) // 2 // self.rate.time * self.rate.time, longest, longest)
        frames = lengths[self._draw(len(lengths), random)]
        count = self.batch * min(4, longest // frames)
        videos = [self._cut(crops, frames, random) for _ in range(count)]
        return torch.stack(videos).float() / 127.5 - 1

    def _cut(self, crops: Tensor, frames: int, random: torch.Generator) -> Tensor:
        crop = crops[self._draw(len(crops), random)]
        stride = 1 + self._draw(min(2, (crop.shape[0] - 1) // max(1, frames - 1)), random)
        start = self._draw(crop.shape[0] - (frames - 1) * stride, random)
        y, x = (self._draw(crop.shape[1] - self.side + 1, random) for _ in range(2))
        video = crop[start : start + (frames - 1) * stride + 1 : stride]
        video = video[:, y : y + self.side, x : x + self.side]
        flips = [axis for axis in (0, 1, 2) if self._draw(2, random)]
        if self._draw(2, random):
            video = video.transpose(1, 2)
        return video.flip(flips)

    @staticmethod
    def _draw(limit: int, random: torch.Generator) -> int:
        return int(torch.randint(limit, (), generator=random))
