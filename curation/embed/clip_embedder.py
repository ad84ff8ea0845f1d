"""OpenClip: clips by meaning, with a model of words and pictures.

CLIP (Radford et al., 2021) learned from captioned pictures to give a picture and its caption nearly
the same vector. A clip's vector is the mean of its frames' unit vectors, of unit length again, as
in CLIP4Clip's parameter-free pooling (Luo et al., 2021). It is independent of their order.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from curation.embed.base import Vector
from curation.embed.open_clip import Checkpoint, ClipModel, Features, Precision, find_checkpoint
from curation.errors import InfrastructureError
from curation.scores.base import AnalysisFrame, Float64Array

TABLE_PREFIX = "open-clip-"
"""Prefix of the names of its tables, before the model's digest."""


@dataclass(frozen=True)
class OpenClip:
    """Any model of open_clip, by name or local path."""

    model: str
    """As `curation.embed.open_clip` names it, such as `ViT-B-32:laion2b_s34b_b79k` or a folder."""
    every: int = 2
    """Takes every so many analysis frames: 2 is two a second where four are analysed."""
    device: str = "cpu"
    """Where the model runs: `cpu`, `cuda`, or one of several such as `cuda:1`."""
    precision: Precision = "fp32"
    """Number format of the computation; another one fills another table."""
    batch: int = 32
    """Frames that go through the model at once."""
    gpu_share: float = 0.25
    """Share of a GPU that a worker reserves where the model runs on one."""

    num_frames: ClassVar[int] = 0

    @functools.cached_property
    def checkpoint(self) -> Checkpoint:
        """The model's weights where the run was started; see `find_checkpoint`."""
        return find_checkpoint(self.model)

    @property
    def name(self) -> str:
        """Ends in the model's digest, and in settings that move vectors where they are changed."""
        every = f"-every{self.every}" if self.every != 2 else ""
        precision = f"-{self.precision}" if self.precision != "fp32" else ""
        return f"{TABLE_PREFIX}{self.checkpoint.digest}{every}{precision}"

    @property
    def dim(self) -> int:
        """Length of the vector."""
        return self.checkpoint.dim

    @property
    def gpus(self) -> float:
        """None on a CPU."""
        return 0.0 if self.device == "cpu" else self.gpu_share

    def load(self) -> Callable[[], OpenClipCollector]:
        """Loads the model, and returns a factory of collectors.

        Raises as `find_checkpoint` does, and `InfrastructureError` where this machine has other
        weights under the name than the one that started the run.
        """
        checkpoint = find_checkpoint(self.model)
        if checkpoint.digest != self.checkpoint.digest:
            raise InfrastructureError(
                f"{checkpoint.weights} holds other weights here ({checkpoint.digest}) than where "
                f"the run was started ({self.checkpoint.digest}); copy the same file to every "
                "machine"
            )
        model = ClipModel(checkpoint, self.device, self.precision)
        return lambda: OpenClipCollector(model, self.every, self.batch)


@dataclass
class OpenClipCollector:
    """Collects the vectors of every so many frames; buffers one batch of frames at most."""

    model: ClipModel
    every: int
    batch: int
    _num_frames: int = 0
    _pending: list[Any] = field(default_factory=list)
    _parts: list[Features] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, frame: AnalysisFrame) -> None:
        """Takes the next analysis frame."""
        if self._num_frames % self.every == 0:
            self._pending.append(self.model.preprocess(frame.rgb))
        self._num_frames += 1
        if len(self._pending) == self.batch:
            self._encode_pending()

    def vector(
        self, first: int, last: int, times_s: Float64Array, span_s: tuple[float, float]
    ) -> bytes:
        """See `EmbeddingCollector`; zeros for a clip too short to hold one of its frames."""
        self._encode_pending()
        features = self._parts[0] if self._parts else np.zeros((0, self.model.dim), np.float32)
        inside = slice(-(-first // self.every), -(-last // self.every))
        return mean_pool(features[inside]).astype("<f2").tobytes()

    def _encode_pending(self) -> None:
        with self._lock:
            if self._pending:
                self._parts.append(self.model.encode_images(self._pending))
                self._pending.clear()
            if len(self._parts) > 1:
                self._parts[:] = [np.concatenate(self._parts)]


def mean_pool(frames: Features) -> Vector:
    """The mean of unit vectors [n, dim] as a unit vector; zeros where there are none."""
    if not len(frames):
        return np.zeros(frames.shape[1], np.float32)
    mean = frames.mean(axis=0)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-6), np.float32)
