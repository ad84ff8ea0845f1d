"""Cutting video into space-time patches, their Haar transform, and linear maps to and from them.

A patch of time × height × width × 3 numbers is transformed along each of its three axes with the
orthonormal Haar wavelet of full depth (Haar, 1910). Flat, still regions, which most of a video is,
become one large number and many near zero. The transform is linear, and every layer that reads or
writes a patch begins or ends with a linear map: the two are multiplied once, so it costs nothing to
run.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from tokenizer.models.interface import ShapeError


def haar(size: int) -> np.ndarray:
    """The orthonormal Haar matrix, float64 [size, size], rows from coarse to fine.

    Raises `ShapeError` unless `size` is a power of two.
    """
    if size < 1 or size & (size - 1):
        raise ShapeError(f"the Haar transform takes a power of two, not {size}")
    matrix = np.ones((1, 1))
    while len(matrix) < size:
        coarse = np.kron(matrix, [1, 1])
        fine = np.kron(np.eye(len(matrix)), [1, -1])
        matrix = np.concatenate([coarse, fine]) / np.sqrt(2)
    return matrix


def haar3d(time: int, space: int) -> Tensor:
    """The transform of a patch, float32 [D, D], D = time · space² · 3, colours left alone."""
    spatial = np.kron(haar(space), haar(space))
    matrix = np.kron(np.kron(haar(time), spatial), np.eye(3))
    return torch.from_numpy(matrix.astype(np.float32))


def to_patches(x: Tensor, time: int, space: int) -> Tensor:
    """[B, T, H, W, C] to [B, T / time, H / space, W / space, time · space² · C]."""
    b, t, h, w, c = x.shape
    blocks = x.reshape(b, t // time, time, h // space, space, w // space, space, c)
    return blocks.permute(0, 1, 3, 5, 2, 4, 6, 7).flatten(4)


def from_patches(x: Tensor, time: int, space: int) -> Tensor:
    """The inverse of `to_patches`."""
    b, t, h, w, d = x.shape
    channels = d // (time * space * space)
    blocks = x.reshape(b, t, h, w, time, space, space, channels)
    return blocks.permute(0, 1, 4, 2, 5, 3, 6, 7).reshape(
        b, t * time, h * space, w * space, channels
    )


class FirstAndLater(nn.Module):
    """One linear map for a stream's first frame and another for all that follows."""

    haar_first: Tensor | None
    haar_later: Tensor | None

    def __init__(self, sizes: tuple[int, int, int, int], time: int, space: int, haar: bool) -> None:
        super().__init__()
        first, later, out_first, out_later = sizes
        self.first = nn.Linear(first, out_first)
        self.later = nn.Linear(later, out_later)
        self.time, self.space = time, space
        for name, frames in (("haar_first", 1), ("haar_later", time)):
            transform = haar3d(frames, space) if haar else None
            self.register_buffer(name, transform, persistent=False)


class Stem(FirstAndLater):
    """Patches of pixels or features to channels; [B, T, H, W, C] to [B, 1 + k, h, w, out]."""

    def __init__(self, time: int, space: int, channels: int, out: int, haar: bool = False) -> None:
        area = space**2 * channels
        super().__init__((area, time * area, out, out), time, space, haar)

    def forward(self, x: Tensor, start: bool) -> Tensor:
        """`start` says that x begins with a stream's first frame."""
        outputs = []
        if start:
            patches = to_patches(x[:, :1], 1, self.space)
            outputs.append(_haar_linear(patches, self.first, self.haar_first))
            x = x[:, 1:]
        if x.shape[1]:
            patches = to_patches(x, self.time, self.space)
            outputs.append(_haar_linear(patches, self.later, self.haar_later))
        return torch.cat(outputs, dim=1) if len(outputs) > 1 else outputs[0]


class Unstem(FirstAndLater):
    """Channels back to patches; [B, 1 + k, h, w, C] to [B, T, H, W, out]."""

    def __init__(self, time: int, space: int, channels: int, out: int, haar: bool = False) -> None:
        area = space**2 * out
        super().__init__((channels, channels, area, time * area), time, space, haar)

    def forward(self, x: Tensor, start: bool) -> Tensor:
        """`start` says that x begins with a stream's first latent frame."""
        outputs = []
        if start:
            patches = _linear_inverse_haar(x[:, :1], self.first, self.haar_first)
            outputs.append(from_patches(patches, 1, self.space))
            x = x[:, 1:]
        if x.shape[1]:
            patches = _linear_inverse_haar(x, self.later, self.haar_later)
            outputs.append(from_patches(patches, self.time, self.space))
        return torch.cat(outputs, dim=1) if len(outputs) > 1 else outputs[0]


def _haar_linear(patches: Tensor, linear: nn.Linear, transform: Tensor | None) -> Tensor:
    weight: Tensor = linear.weight
    if transform is not None:
        with torch.autocast(weight.device.type, enabled=False):
            weight = weight @ transform
    return F.linear(patches, weight, linear.bias)


def _linear_inverse_haar(x: Tensor, linear: nn.Linear, transform: Tensor | None) -> Tensor:
    weight: Tensor = linear.weight
    bias: Tensor = linear.bias
    if transform is not None:
        with torch.autocast(weight.device.type, enabled=False):
            weight, bias = transform.T @ weight, transform.T @ bias
    return F.linear(x, weight, bias)
