"""Fréchet video distance: how far the statistics of reconstructed videos lie from the sources'.

A video network turns spans of 16 frames into vectors, and two sets of vectors are compared as if
each were Gaussian (Unterthiner et al., "Towards Accurate Generative Models of Video: A New Metric &
Challenges", 2018):

    d² = |m₁ - m₂|² + trace(C₁ + C₂ - 2 (C₁^½ C₂ C₁^½)^½)

The square roots come from eigenvalues of symmetric matrices, which stay right where a covariance is
singular, as it is with fewer vectors than dimensions. The figure falls with the number of spans:
compare only figures from the same clips.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from tokenizer.models.interface import Video

Features = npt.NDArray[np.float64]
"""One vector a span, [n, dimensions]."""

SPAN = 16
"""Frames that are looked at together."""
_SIDE = 224
_I3D = {"rescale": False, "resize": False, "return_features": True}
"""Options of the I3D network that figures are usually made with."""


def frechet_distance(some: Features, others: Features) -> float:
    """Squared Fréchet distance of two sets of vectors [n, d] and [m, d] taken as Gaussian.

    Raises `ValueError` for fewer than two vectors in a set, or numbers that are not finite.
    """
    if some.ndim != 2 or some.shape[1:] != others.shape[1:] or min(len(some), len(others)) < 2:
        raise ValueError(
            f"need two sets of at least two vectors of one length, got {list(some.shape)} and"
            f" {list(others.shape)}"
        )
    if not (np.isfinite(some).all() and np.isfinite(others).all()):
        raise ValueError("features that are no finite numbers")
    first, second = (np.atleast_2d(np.cov(vectors, rowvar=False)) for vectors in (some, others))
    root = _square_root(first)
    shared = np.linalg.eigvalsh(root @ second @ root)
    overlap = np.sqrt(np.maximum(shared, 0)).sum()
    means = np.square(some.mean(0) - others.mean(0)).sum()
    return max(0.0, float(means + np.trace(first) + np.trace(second) - 2 * overlap))


def _square_root(matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The symmetric root of a symmetric matrix without negative eigenvalues."""
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T)


class VideoFeatures:
    """A TorchScript network that makes a vector of a span.

    It takes float32 [n, 3, 16, 224, 224] in -1 to 1 and gives [n, dimensions]; the usual I3D file
    is asked for its features. TorchScript can run code: load only files that you trust.
    """

    def __init__(self, path: str | Path, device: str = "cpu") -> None:
        """Raises `FileNotFoundError`, and `ValueError` for a file that is no TorchScript."""
        if not Path(path).is_file():
            raise FileNotFoundError(f"no video network at {path}")
        try:
            network: Any = torch.jit.load(  # type: ignore[no-untyped-call]
                str(path), map_location=device
            )
        except RuntimeError as error:
            raise ValueError(f"{path} is no TorchScript: {str(error).splitlines()[0]}") from error
        self._network, self._path, self._device = network.eval(), path, device
        known = {argument.name for argument in self._network.forward.schema.arguments}
        self._options = _I3D if _I3D.keys() <= known else {}

    @torch.inference_mode()
    def __call__(self, video: Video) -> Features:
        """Vectors of the spans of 16 consecutive frames of a video; of none if it is shorter."""
        whole = len(video) // SPAN
        vectors = [self._vector(video[at * SPAN : (at + 1) * SPAN]) for at in range(whole)]
        return np.stack(vectors) if vectors else np.zeros((0, 0))

    def _vector(self, span: Video) -> npt.NDArray[np.float64]:
        pixels = torch.from_numpy(np.ascontiguousarray(span)).to(self._device)
        frames = pixels.movedim(-1, 1).float() / 127.5 - 1
        frames = F.interpolate(frames, (_SIDE, _SIDE), mode="bilinear", antialias=True)
        features: Tensor = self._network(frames.movedim(0, 1)[None], **self._options)
        if features.ndim != 2 or len(features) != 1:
            raise ValueError(
                f"{self._path} gave {list(features.shape)} for one span, not [1, dimensions]"
            )
        return np.asarray(features[0].double().cpu().numpy())


class SpanFeatures:
    """Vectors of the spans of a video that comes in parts of any length."""

    def __init__(self, network: VideoFeatures | None) -> None:
        """Without a network nothing is found."""
        self._network = network
        self._held: list[Video] = []
        self._found: list[Features] = []

    def add(self, video: Video) -> None:
        """The next frames."""
        if self._network is None:
            return
        frames = np.concatenate([*self._held, video])
        whole = len(frames) // SPAN * SPAN
        if whole:
            self._found.append(self._network(frames[:whole]))
        self._held = [frames[whole:]]

    def found(self) -> Features:
        """One vector for each whole span so far; [0, 0] for none."""
        return np.concatenate(self._found) if self._found else np.zeros((0, 0))
