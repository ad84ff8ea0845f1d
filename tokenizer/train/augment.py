"""Augmentation: crops of mixed length, flipped, reversed, transposed and cut at random.

All crops of a batch are drawn at once, as indices of frames, rows and columns, and gathered in one
step, so that a GPU that holds the crops is not kept waiting for a thousand small copies.
"""

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
        count, stored, size = crops.shape[:3]
        longest = 1 + (stored - 1) // self.rate.time * self.rate.time
        lengths = (1, 1 + (longest - 1) // 2 // self.rate.time * self.rate.time, longest, longest)
        frames = lengths[int(torch.randint(len(lengths), (), generator=random))]
        batch = self.batch * min(4, longest // frames)

        def draw(limit: Tensor | int) -> Tensor:
            """Whole numbers below the limit, [batch, 1]; float64 never rounds up to it."""
            shares = torch.rand(batch, 1, generator=random, dtype=torch.float64)
            return (shares * limit).long()

        strides = 1 + draw(min(2, (stored - 1) // max(1, frames - 1)))
        times = draw(stored - (frames - 1) * strides) + strides * torch.arange(frames)
        rows, columns = (draw(size - self.side + 1) + torch.arange(self.side) for _ in range(2))
        turned = [
            torch.where(draw(2) > 0, places.flip(1), places) for places in (times, rows, columns)
        ]
        times, rows, columns = (places.to(crops.device) for places in turned)
        number, transposed = draw(count).to(crops.device), draw(2).to(crops.device).bool()
        down, across = rows[:, :, None], columns[:, None, :]
        # A transposed crop has the columns' places down and the rows' across.
        y = torch.where(transposed[..., None], rows[:, None, :], down)
        x = torch.where(transposed[..., None], columns[:, :, None], across)
        video = crops[number[:, :, None, None], times[:, :, None, None], y[:, None], x[:, None]]
        return video.float() / 127.5 - 1
