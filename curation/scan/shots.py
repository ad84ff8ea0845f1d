"""Shot detection on frames at 48×27.

`TransNetV2` (Souček and Lokoč, 2020) is the default; `ContentChange` is a cheap difference
detector; `FixedWindows` ignores the picture. All of them read a stream once in constant memory and
give shots as half-open frame ranges. Frames inside a gradual transition belong to none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from curation.media.decode import Frames
from curation.media.timeline import Timeline
from curation.scan.prefilter import may_hold_transition
from curation.scan.transnet import Network, load_network

Shot = tuple[int, int]
"""First frame, and the frame after the last."""


class ShotFinder(Protocol):
    """Finds the shots of one source."""

    reads_frames: bool
    """Whether it is fed."""

    def feed(self, frames: Frames) -> None:
        """Takes the next frames, uint8 RGB of shape [n, 27, 48, 3]."""

    def finish(self, timeline: Timeline) -> list[Shot]:
        """The shots, in order, without overlap."""


class ShotDetector(Protocol):
    """A configured detector."""

    def load(self) -> Callable[[], ShotFinder]:
        """Loads the model, if there is one; returns a factory of finders, one for each source."""

    @property
    def backend(self) -> str:
        """All that decides the shots, as recorded with each source."""


@dataclass(frozen=True)
class TransNetV2:
    """The network of Souček and Lokoč (2020), with the weights that its package carries.

    It sees windows of 100 frames and classifies the middle 50. `curation.scan.prefilter` decides
    which ones; in one that is skipped there is no transition.
    """

    threshold: float = 0.3
    """A frame whose transition probability is above this belongs to a transition, 0–1."""
    prefilter: bool = True
    """Whether the network sees only windows in which something changes as in a transition. Without
    it, shot detection costs up to four times the CPU time."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where the network runs."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`auto` takes bf16 where the processor computes in it, which is twice as fast."""

    @property
    def backend(self) -> str:
        """Settings, device and precision: each may move a probability."""
        windows = "prefiltered" if self.prefilter else "all"
        precision = self._resolve_precision()
        return f"TransNetV2 {self.threshold:g} {windows} {self.device} {precision}"

    def _resolve_precision(self) -> str:
        import torch

        if self.precision != "auto":
            return self.precision
        native = self.device == "cpu" and torch.cpu._is_avx512_bf16_supported()
        return "bf16" if native else "fp32"

    def load(self) -> Callable[[], ShotFinder]:
        """Loads the network."""
        import torch

        precisions = {"fp32": torch.float32, "bf16": torch.bfloat16}
        network = load_network(self.device, precisions[self._resolve_precision()])
        return lambda: _TransNetFinder(network, self.threshold, prefilter=self.prefilter)


class _TransNetFinder:
    """Cuts the stream into windows of 100 frames, 50 apart, padded with the end frames."""

    reads_frames = True

    def __init__(self, network: Network, threshold: float, *, prefilter: bool) -> None:
        self._network = network
        self._threshold = threshold
        self._prefilter = prefilter
        self._pending: Frames = np.empty((0, 27, 48, 3), np.uint8)
        self._probabilities: list[npt.NDArray[np.float32]] = []

    def feed(self, frames: Frames) -> None:
        if not self._probabilities and not len(self._pending) and len(frames):
            frames = np.concatenate([np.repeat(frames[:1], 25, axis=0), frames])
        self._pending = np.concatenate([self._pending, frames])
        while len(self._pending) >= 100:
            self._probabilities.append(self._classify(self._pending[:100]))
            self._pending = self._pending[50:]

    def finish(self, timeline: Timeline) -> list[Shot]:
        missing = timeline.frames - 50 * len(self._probabilities)
        if missing > 0:
            needed = 50 * -(-missing // 50) + 50
            self.feed(np.repeat(self._pending[-1:], needed - len(self._pending), axis=0))
        probabilities = np.concatenate(self._probabilities)[: timeline.frames]
        return shots_from_transitions(probabilities > self._threshold)

    def _classify(self, window: Frames) -> npt.NDArray[np.float32]:
        if self._prefilter and not may_hold_transition(window):
            return np.zeros(50, np.float32)
        return self._network(np.ascontiguousarray(window))


def shots_from_transitions(transition: npt.NDArray[np.bool_]) -> list[Shot]:
    """Shots between transitions; a shot's last frame is the first that a transition marks.

    As the network's authors read its output: a hard cut marks the last frame of the old shot.
    """
    shots, start, previous = [], 0, False
    for index, current in enumerate(transition.tolist()):
        if previous and not current:
            start = index
        if current and not previous and index > 0:
            shots.append((start, index + 1))
        previous = current
    if not previous:
        shots.append((start, len(transition)))
    return shots or [(0, len(transition))]


@dataclass(frozen=True)
class ContentChange:
    """Hard cuts where a frame differs much from the one before, and more than its neighbours do."""

    threshold: float = 18.0
    """Least mean change between two frames, in levels of 255."""
    ratio: float = 3.0
    """How often it has to exceed the mean change of the two frames on either side."""

    @property
    def backend(self) -> str:
        """Its settings."""
        return f"ContentChange {self.threshold:g} {self.ratio:g}"

    def load(self) -> Callable[[], ShotFinder]:
        """Nothing to load."""
        return lambda: _DifferenceFinder(self.threshold, self.ratio)


class _DifferenceFinder:
    reads_frames = True

    def __init__(self, threshold: float, ratio: float) -> None:
        self._threshold = threshold
        self._ratio = ratio
        self._previous: Frames | None = None
        self._changes: list[float] = []

    def feed(self, frames: Frames) -> None:
        for frame in frames:
            previous = frame if self._previous is None else self._previous
            self._changes.append(float(np.abs(frame.astype(np.int16) - previous).mean()))
            self._previous = frame.copy()

    def finish(self, timeline: Timeline) -> list[Shot]:
        changes = np.array(self._changes)
        padded = np.pad(changes, 2, mode="edge")
        neighbours = (padded[:-4] + padded[1:-3] + padded[3:-1] + padded[4:]) / 4
        cut = (changes >= self._threshold) & (changes >= self._ratio * neighbours)
        starts = [0, *np.flatnonzero(cut).tolist(), timeline.frames]
        return [(a, b) for a, b in pairwise(starts) if b > a]


@dataclass(frozen=True)
class FixedWindows:
    """Windows of one length, independent of their content."""

    length_s: float = 10.0
    """Seconds of one window; the last may be shorter."""

    @property
    def backend(self) -> str:
        """Its settings."""
        return f"FixedWindows {self.length_s:g} s"

    def load(self) -> Callable[[], ShotFinder]:
        """Nothing to load."""
        return lambda: _FixedWindowFinder(self.length_s)


class _FixedWindowFinder:
    reads_frames = False

    def __init__(self, length_s: float) -> None:
        self._length_s = length_s

    def feed(self, frames: Frames) -> None:
        pass

    def finish(self, timeline: Timeline) -> list[Shot]:
        return split_into_windows((0, timeline.frames), timeline, self._length_s, equal=False)


def split_into_windows(
    shot: Shot, timeline: Timeline, length_s: float, *, equal: bool
) -> list[Shot]:
    """Cuts a shot into windows of at most `length_s` seconds, all of one length if `equal`.

    A window has at least one frame, however short it should be.
    """
    start, end = shot
    starts = timeline.starts_s
    duration = float(starts[end] - starts[start])
    wanted = max(1.0, np.ceil(duration / length_s - 1e-6))
    count = int(min(wanted, end - start))
    step = length_s if not equal and count == wanted else duration / count
    edges = starts[start] + step * np.arange(1, count)
    cuts = start + np.searchsorted(starts[start:end], edges - 1e-6)
    bounds = [start, *cuts.tolist(), end]
    return [(a, b) for a, b in pairwise(bounds) if b > a]


SHOT_DETECTORS: dict[str, type[Any]] = {
    "TransNetV2": TransNetV2,
    "ContentChange": ContentChange,
    "FixedWindows": FixedWindows,
}
"""Detectors by the name that a configuration uses."""
