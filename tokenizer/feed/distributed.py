"""Each consumer's part of a global step: all that depends on the number of consumers.

Each consumer gets an equal number of a step's positions, give or take one. They are assigned by
stream, so that a consumer reads its own streams and with them its own row groups: exactly if the
consumers divide the streams and the streams divide the batch, and roughly otherwise.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tokenizer.feed.errors import FeedError
from tokenizer.feed.steps import Draw


@dataclass(frozen=True)
class Consumer:
    """One of the processes that train together."""

    rank: int = 0
    world_size: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.world_size:
            raise FeedError(f"rank {self.rank} is not one of 0 … {self.world_size - 1}")

    @classmethod
    def from_environment(cls) -> Consumer:
        """This process by `torch.distributed`, else by `RANK` and `WORLD_SIZE`, else alone."""
        import torch.distributed as group

        if group.is_available() and group.is_initialized():
            return cls(group.get_rank(), group.get_world_size())
        return cls(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))


def local_draws(
    draws: Sequence[Draw], streams: Sequence[int], consumer: Consumer
) -> tuple[Draw, ...]:
    """The consumer's part of a step's draws, in their order; may be empty.

    `streams` is the number of streams of each draw's order.
    """
    if consumer.world_size == 1:
        return tuple(draws)
    fractions = [(d.positions % n + 0.5) / n for d, n in zip(draws, streams, strict=True)]
    fraction = np.concatenate(fractions)
    low, high = (len(fraction) * (consumer.rank + k) // consumer.world_size for k in (0, 1))
    mask = np.zeros(len(fraction), bool)
    mask[np.argsort(fraction, kind="stable")[low:high]] = True
    masks = np.split(mask, np.cumsum([len(f) for f in fractions])[:-1])
    return tuple(
        replace(d, positions=d.positions[m], padding=d.padding[m])
        for d, m in zip(draws, masks, strict=True)
    )
