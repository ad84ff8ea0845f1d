"""Who reads what of a global step: all that the number of consumers decides.

Each consumer gets an equal number of a step's positions, give or take one. They are dealt by lane,
so that a consumer keeps to its part of the lanes and reads its part of the row groups: exactly if
the consumers divide the lanes and the lanes divide the batch, and roughly otherwise.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tokenizer.feed.steps import Cursor, Draw, Step, Steps


@dataclass(frozen=True)
class Consumer:
    """One of the processes that train together."""

    rank: int = 0
    """Which one, from 0."""
    world: int = 1
    """How many there are."""

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.world:
            raise ValueError(f"rank {self.rank} is not one of 0 … {self.world - 1}")

    @classmethod
    def here(cls) -> Consumer:
        """The one that `torch.distributed` says, else `RANK` of `WORLD_SIZE`, else the only one."""
        import torch.distributed as group

        if group.is_available() and group.is_initialized():
            return cls(group.get_rank(), group.get_world_size())
        return cls(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))


def share(draws: Sequence[Draw], lanes: Sequence[int], consumer: Consumer) -> tuple[Draw, ...]:
    """The consumer's part of a step's draws, in their order; may be empty.

    `lanes` says how many the order of each draw has.
    """
    if consumer.world == 1:
        return tuple(draws)
    ways = [(d.positions % n + 0.5) / n for d, n in zip(draws, lanes, strict=True)]
    way = np.concatenate(ways)
    low, high = (len(way) * (consumer.rank + k) // consumer.world for k in (0, 1))
    mine = np.zeros(len(way), bool)
    mine[np.argsort(way, kind="stable")[low:high]] = True
    parts = np.split(mine, np.cumsum([len(each) for each in ways])[:-1])
    return tuple(
        replace(d, positions=d.positions[own], padding=d.padding[own])
        for d, own in zip(draws, parts, strict=True)
    )


def walk(steps: Steps, at: Cursor, worker: int = 0, workers: int = 1) -> Iterator[Step]:
    """The steps from a cursor on; of several workers that take turns, those of one."""
    number = 0
    while (step := steps.step(at)) is not None:
        if number % workers == worker:
            yield step
        at, number = step.after, number + 1
