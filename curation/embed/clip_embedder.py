"""OpenClip: clips by meaning, with a model that sees words and pictures alike.

CLIP (Radford et al., 2021) learned from captioned pictures to give a picture and its caption nearly
the same vector. A clip's vector is the mean of its frames' unit vectors, of unit length again, as
in CLIP4Clip's parameter-free pooling (Luo et al., 2021). It knows what is seen, not in which order.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from curation.embed.base import Vector
from curation.embed.open_clip import Checkpoint, Features, Model, Precision, find
from curation.errors import InfrastructureError
from curation.scores.frame import AnalysisFrame, Floats

TABLES = "open-clip-"
"""How the names of its tables begin, before the model's digest."""


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
    """What it computes in; another one fills another table."""
    batch: int = 32
    """Frames that go through the model at once."""
    gpu_share: float = 0.25
    """Share of a GPU that a worker reserves where the model runs on one."""

    @functools.cached_property
    def checkpoint(self) -> Checkpoint:
        """The model's weights as the process that started the run found them; see `find`."""
        return find(self.model)

    @property
    def name(self) -> str:
        """Ends in the model's digest, and in settings that move vectors where they are changed."""
        every = f"-every{self.every}" if self.every != 2 else ""
        precision = f"-{self.precision}" if self.precision != "fp32" else ""
        return f"{TABLES}{self.checkpoint.digest}{every}{precision}"

    @property
    def dim(self) -> int:
        """Length of the vector."""
        return self.checkpoint.dim

    @property
    def gpus(self) -> float:
        """None on a CPU."""
        return 0.0 if self.device == "cpu" else self.gpu_share

    def load(self) -> Callable[[], ClipWatcher]:
        """Loads the model, and returns what makes a watcher for one source.

        Raises as `find` does, and `EnvironmentFaultError` where another machine holds other weights
        under the name than the one that started the run.
        """
        found = find(self.model)
        if found.digest != self.checkpoint.digest:
            raise InfrastructureError(
                f"{found.weights} holds other weights here ({found.digest}) than where the run "
                f"was started ({self.checkpoint.digest}); copy the same file to every machine"
            )
        model = Model(found, self.device, self.precision)
        return lambda: ClipWatcher(model, self.every, self.batch)


@dataclass
class ClipWatcher:
    """Keeps the vectors of every so many frames, and a batch of frames at most."""

    model: Model
    every: int
    batch: int
    _seen: int = 0
    _waiting: list[Any] = field(default_factory=list)
    _parts: list[Features] = field(default_factory=list)

    def see(self, look: AnalysisFrame) -> None:
        """Takes the next analysis frame."""
        if self._seen % self.every == 0:
            self._waiting.append(self.model.prepared(look.rgb))
        self._seen += 1
        if len(self._waiting) == self.batch:
            self._run()

    def vector(self, first: int, last: int, times_s: Floats, span_s: tuple[float, float]) -> bytes:
        """See `EmbeddingWatcher`; zeros for a clip too short to hold one of its frames."""
        self._run()
        frames = self._parts[0] if self._parts else np.zeros((0, self.model.dim), np.float32)
        own = frames[-(-first // self.every) : -(-last // self.every)]
        return pooled(own).astype("<f2").tobytes()

    def _run(self) -> None:
        """Runs what waits, and joins what was run."""
        if self._waiting:
            self._parts.append(self.model.pictures(self._waiting))
            self._waiting.clear()
        if len(self._parts) > 1:
            self._parts[:] = [np.concatenate(self._parts)]


def pooled(frames: Features) -> Vector:
    """The mean of unit vectors [n, dim] as a unit vector; zeros where there are none."""
    if not len(frames):
        return np.zeros(frames.shape[1], np.float32)
    mean = frames.mean(axis=0)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-6), np.float32)
