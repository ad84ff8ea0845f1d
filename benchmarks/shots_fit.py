"""Fits the prefilter of shot detection to the network's own output; `shots.py --fit` calls it.

Windows of real videos and of composed transitions pass through the network; one with a probability
above 0.3 has to pass. The weights maximise the likelihood of a logistic rule on each window's
highest score, to which windows with a probability of 0.1 to 0.3 contribute less. The limit is the
lowest score of a window that has to pass, less a margin.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from curation.media.decode import Frames
from curation.scan import prefilter
from curation.scan.transnet import Network
from transitions import KINDS, compose

FITTED = (
    "animal_bumblebee_meadow.webm", "bottles.mp4", "cars_topdown.mp4", "chaplin_bw.mp4",
    "flower_bloom.mp4", "flower_bloom.webm", "insect_bw.mp4", "object_elf_figure.mp4",
    "object_monster_figure.mp4", "object_pig_figure.mp4", "object_rabbit_figure.mp4",
    "science_electron_beam.webm", "science_laminar_flow.webm", "sign_again.mkv", "sign_book.mkv",
    "sign_sister.mkv", "sintel_trailer.mp4",
)  # fmt: skip
"""Files whose licences permit it (CC BY, CC0, public domain) and that share no recording with the
others; those are held out."""
MARGIN = 0.1
"""How far the limit lies below the lowest score of a window that has to pass."""
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Labelled:
    """Windows, what the prefilter measures in them, and the network's output."""

    measures: Floats
    """[windows, 50, measures]"""
    probability: Floats
    """The highest of each window."""

    @classmethod
    def of(cls, windows: Iterable[Frames], network: Network) -> Labelled:
        rows = [(prefilter.log_measures(window), network(window).max()) for window in windows]
        return cls(np.array([row[0] for row in rows]), np.array([row[1] for row in rows]))

    def __add__(self, other: Labelled) -> Labelled:
        return Labelled(*(np.concatenate([a, b]) for a, b in
                          zip(vars(self).values(), vars(other).values(), strict=True)))  # fmt: skip

    def scores(self, weights: Floats) -> Floats:
        """The highest weighted sum of each window."""
        return np.asarray((self.measures @ weights).max(axis=1))


def windows_of(frames: Frames) -> Iterator[Frames]:
    """The windows that the network sees of a video."""
    end = 25 + 50 - (len(frames) % 50 or 50)
    padded = np.pad(frames, ((25, end), *[(0, 0)] * 3), mode="edge")
    for start in range(0, len(padded) - 99, 50):
        yield padded[start : start + 100]


def composed(sources: Sequence[Frames], count: int) -> Iterator[Frames]:
    """Windows of every kind of transition but frozen ones; every fourth round is of dark scenes."""
    kinds = [kind for kind in KINDS if kind != "frozen"]
    for number in range(count):
        rng = np.random.default_rng([1, number])
        kind, dark = kinds[number % len(kinds)], number // len(kinds) % 4 == 0
        yield compose(kind, rng, sources, 100, dark=dark, margin=20).frames


def fit(labelled: Labelled) -> tuple[Floats, float]:
    """Weights and limit."""
    mean, scale = labelled.measures.mean((0, 1)), labelled.measures.std((0, 1))
    inputs = torch.tensor((labelled.measures - mean) / scale)
    target = torch.tensor((labelled.probability > 0.1) * 1.0)
    doubt = torch.tensor((labelled.probability > 0.1) & (labelled.probability <= 0.3))
    weight = torch.where(doubt, 0.3, 1.0)
    weights = torch.full((inputs.shape[2],), 0.3, dtype=torch.float64, requires_grad=True)
    bias = torch.tensor(-2.0, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights, bias], max_iter=400, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        scores = (inputs @ weights).amax(1) + bias
        value = torch.nn.functional.binary_cross_entropy_with_logits(scores, target, weight)
        value.backward()
        return value

    optimizer.step(loss)
    result = weights.detach().numpy() / scale
    return result, float(labelled.scores(result)[labelled.probability > 0.3].min()) - MARGIN


def report(name: str, labelled: Labelled, weights: Floats, limit: float) -> None:
    """Prints how many windows pass, and which of those that have to do not."""
    scores, probability = labelled.scores(weights), labelled.probability
    print(f"{name}: {len(scores)} windows, {np.mean(scores >= limit):.1%} pass; missed", end=" ")
    for level in (0.3, 0.1):
        needed = probability > level
        print(f"{np.sum(needed & (scores < limit))} of {needed.sum()} above {level}", end="; ")
    print()


def fit_and_report(sources: dict[str, Frames], network: Network, count: int) -> None:
    """Prints weights and limit, and what they let through on either part of the videos."""
    fitted = [sources[name] for name in sources if name in FITTED]
    real = Labelled.of((w for frames in fitted for w in windows_of(frames)), network)
    made = Labelled.of(composed(fitted, count), network)
    weights, limit = fit(real + made)
    print(f"WEIGHTS = np.array({np.round(weights, 2).tolist()})\nLIMIT = {limit:.2f}")
    report("fitted, real", real, weights, limit)
    report("fitted, composed", made, weights, limit)
    others = [sources[name] for name in sources if name not in FITTED]
    held_out = Labelled.of((w for frames in others for w in windows_of(frames)), network)
    report("held out, real", held_out, weights, limit)
