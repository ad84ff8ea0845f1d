"""Fréchet video distance: how far the statistics of reconstructed videos are from the sources'.

A video network turns spans of 16 frames into vectors, and two sets of vectors are compared as if
each were Gaussian (Unterthiner et al., "Towards Accurate Generative Models of Video: A New Metric &
Challenges", 2018):

    d² = |m₁ - m₂|² + trace(C₁ + C₂ - 2 (C₁^½ C₂ C₁^½)^½)

The square roots come from eigenvalues of symmetric matrices, which stay accurate for a singular
covariance, as with fewer vectors than dimensions. The distance falls with the number of spans:
compare only distances of the same clips.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from tokenizer.evaluate.errors import EvaluationError
from tokenizer.models.interface import Video

Features = npt.NDArray[np.float64]
"""One vector a span, [n, dimensions]."""

SPAN = 16
"""Frames of a span."""
_SIDE = 224
_I3D = {"rescale": False, "resize": False, "return_features": True}
"""Options of the I3D network that most published distances use."""


def frechet_distance(first: Features, second: Features) -> float:
    """Squared Fréchet distance of two sets of vectors [n, d] and [m, d] taken as Gaussian.

    Raises `EvaluationError` for fewer than two vectors in a set, or numbers that are not finite.
    """
    if first.ndim != 2 or first.shape[1:] != second.shape[1:] or min(len(first), len(second)) < 2:
        raise EvaluationError(
            f"need two sets of at least two vectors of one length, got {list(first.shape)} and"
            f" {list(second.shape)}"
        )
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise EvaluationError("features that are no finite numbers")
    first_covariance, second_covariance = (
        np.atleast_2d(np.cov(vectors, rowvar=False)) for vectors in (first, second)
    )
    values, vectors = np.linalg.eigh(first_covariance)
    root = np.asarray((vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T)
    eigenvalues = np.linalg.eigvalsh(root @ second_covariance @ root)
    overlap = np.sqrt(np.maximum(eigenvalues, 0)).sum()
    means = np.square(first.mean(0) - second.mean(0)).sum()
    variances = means + np.trace(first_covariance) + np.trace(second_covariance)
    return max(0.0, float(variances - 2 * overlap))


class VideoFeatures:
    """A TorchScript network that makes a vector of a span.

    It takes float32 [n, 3, 16, 224, 224] in -1 to 1 and gives [n, dimensions]; the usual I3D file
    returns its features. TorchScript can run code: load only files that you trust.
    """

    def __init__(self, path: str | Path, device: str = "cpu") -> None:
        """Raises `FileNotFoundError`, and `EvaluationError` for a file that is no TorchScript."""
        if not Path(path).is_file():
            raise FileNotFoundError(f"no video network at {path}")
        try:
            network: Any = torch.jit.load(  # type: ignore[no-untyped-call]
                str(path), map_location=device
            )
        except RuntimeError as error:
            message = str(error).splitlines()[0]
            raise EvaluationError(f"{path} is no TorchScript: {message}") from error
        self._network, self._path, self._device = network.eval(), path, device
        arguments = {argument.name for argument in self._network.forward.schema.arguments}
        self._options = _I3D if _I3D.keys() <= arguments else {}

    @torch.inference_mode()
    def __call__(self, video: Video) -> Features:
        """Vectors of the spans of 16 consecutive frames of a video; none if it is shorter."""
        spans = len(video) // SPAN
        vectors = [self._vector(video[i * SPAN : (i + 1) * SPAN]) for i in range(spans)]
        return np.stack(vectors) if vectors else np.zeros((0, 0))

    def _vector(self, span: Video) -> npt.NDArray[np.float64]:
        pixels = torch.from_numpy(np.ascontiguousarray(span)).to(self._device)
        frames = pixels.movedim(-1, 1).float() / 127.5 - 1
        frames = F.interpolate(frames, (_SIDE, _SIDE), mode="bilinear", antialias=True)
        features: Tensor = self._network(frames.movedim(0, 1)[None], **self._options)
        if features.ndim != 2 or len(features) != 1:
            raise EvaluationError(
                f"{self._path} gave {list(features.shape)} for one span, not [1, dimensions]"
            )
        return np.asarray(features[0].double().cpu().numpy())


class SpanFeatures:
    """Vectors of the spans of a video that comes in parts of any length."""

    def __init__(self, network: VideoFeatures | None) -> None:
        """Without a network there are no vectors."""
        self._network = network
        self._pending: list[Video] = []
        self._features: list[Features] = []

    def add(self, video: Video) -> None:
        """The next frames."""
        if self._network is None:
            return
        frames = np.concatenate([*self._pending, video])
        stop = len(frames) // SPAN * SPAN
        if stop:
            self._features.append(self._network(frames[:stop]))
        self._pending = [frames[stop:]]

    def features(self) -> Features:
        """One vector for each complete span so far; [0, 0] for none."""
        return np.concatenate(self._features) if self._features else np.zeros((0, 0))
