"""What is done to each sample of a batch by itself: its name, its random numbers, its crop."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import Tensor

Batch = dict[str, Any]
"""What the feed gives: tensors whose first dimension is the sample, and lists of text."""


def names(batch: Batch) -> list[str]:
    """What names each sample of the batch: clip, window, and latent frame to begin with."""
    firsts = batch["first_latent"].tolist()
    told = zip(batch["clip_id"], batch["window"].tolist(), firsts, strict=True)
    return [f"{clip}/{window}+{first}" for clip, window, first in told]


def draws(batch: Batch, seed: int) -> list[torch.Generator]:
    """For each sample a source of random numbers that is its own in each epoch."""
    keys = zip(names(batch), batch["epoch"].tolist(), strict=True)
    texts = [f"{seed}/{epoch}/{name}" for name, epoch in keys]
    digests = [hashlib.blake2b(text.encode(), digest_size=7).digest() for text in texts]
    return [torch.Generator().manual_seed(int.from_bytes(each, "big")) for each in digests]


def crops(tokens: Tensor, side: int, random: list[torch.Generator]) -> Tensor:
    """A square of each sample: [n, ..., H, W] to [n, ..., side, side]."""
    squares = tokens.new_empty((*tokens.shape[:-2], side, side))
    for square, sample, generator in zip(squares, tokens, random, strict=True):
        spare = [size - side + 1 for size in tokens.shape[-2:]]
        top, left = (int(torch.randint(n, (), generator=generator)) for n in spare)
        square.copy_(sample[..., top : top + side, left : left + side])
    return squares


def conditions(batch: Batch, columns: list[str]) -> Tensor:
    """The conditions of each sample, float32 [n, 1 + columns].

    First whether its first latent stands for one frame alone, then the columns of actions; 0 where
    a clip has no value.
    """
    known = [batch["is_causal_first"], *(batch[name] for name in columns)]
    return torch.stack([each.float() for each in known], -1).nan_to_num()
