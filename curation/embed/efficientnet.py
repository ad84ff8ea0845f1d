"""EfficientNet-Lite0: which of ImageNet's thousand classes a picture shows.

Inverted residual blocks (Sandler et al. 2018) scaled as EfficientNet (Tan and Le 2019), with ReLU6
and without squeeze-and-excitation. A package carries Google's weights (Apache-2.0; trained on
ImageNet-1k, 75 % of whose validation pictures it names rightly), and nothing is fetched. Batch
normalisation is folded into the convolutions when it is loaded. 0.4 billion multiplications and
additions a picture of 224×224: 15 to 30 ms on one core.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

NUM_CLASSES = 1000
_SIDE = 224
_STAGES = ((1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (4, 2), (1, 1))
"""Blocks of each stage, and the stride of its first."""
_BATCH_NORM_EPSILON = 1e-3


class EfficientNetLite0(nn.Module):
    """The network, for inference on the CPU."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.stem = _Convolution(weights, "_conv_stem", "_bn0", stride=2)
        strides = [stride if at == 0 else 1 for count, stride in _STAGES for at in range(count)]
        self.blocks = nn.Sequential(*(
            _MBConv(weights, f"_blocks.{number}", stride) for number, stride in enumerate(strides)
        ))  # fmt: skip
        self.head = _Convolution(weights, "_conv_head", "_bn1")
        self.classes = nn.Linear(1280, NUM_CLASSES)
        self.classes.load_state_dict({"weight": weights["_fc.weight"], "bias": weights["_fc.bias"]})
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @classmethod
    def load(cls, path: Path) -> EfficientNetLite0:
        """The network with the weights of a file."""
        return cls(torch.load(path, weights_only=True, map_location="cpu")).eval()

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits [n, 1000] of pictures [n, 3, 224, 224] with values from −1 to 1."""
        features: Tensor = self.head(self.blocks(self.stem(pictures)))
        logits: Tensor = self.classes(features.mean((2, 3)))
        return logits

    def probabilities(self, pictures: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[np.float32]:
        """How likely each class is, [n, 1000], of RGB pictures [height, width, 3] of any size."""
        with torch.inference_mode():
            batch = torch.from_numpy(np.stack([_middle_square(rgb) for rgb in pictures]))
            planes = ((batch.float() - 127) / 128).permute(0, 3, 1, 2)
            return np.asarray(self(planes).softmax(1).numpy(), np.float32)


class _Convolution(nn.Module):
    """A convolution with batch normalisation folded in, padded as TensorFlow does."""

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        name: str,
        normalisation: str,
        stride: int = 1,
        *,
        is_linear: bool = False,
    ) -> None:
        super().__init__()
        variance = weights[f"{normalisation}.running_var"] + _BATCH_NORM_EPSILON
        scale = weights[f"{normalisation}.weight"] / variance.sqrt()
        kernel = weights[f"{name}.weight"] * scale[:, None, None, None]
        shift = weights[f"{normalisation}.bias"] - weights[f"{normalisation}.running_mean"] * scale
        self.kernel = nn.Parameter(kernel, requires_grad=False)
        self.shift = nn.Parameter(shift, requires_grad=False)
        self.stride, self.is_linear = stride, is_linear
        self.groups = kernel.shape[0] if kernel.shape[1] == 1 else 1

    def forward(self, x: Tensor) -> Tensor:
        side = self.kernel.shape[-1]
        padding = side // 2
        if self.stride > 1:
            x, padding = functional.pad(x, self._edges(x.shape[3], x.shape[2])), 0
        x = functional.conv2d(
            x, self.kernel, self.shift, self.stride, padding, groups=self.groups
        )  # fmt: skip
        return x if self.is_linear else x.clamp_(0, 6)

    def _edges(self, *lengths: int) -> list[int]:
        """Zeros before and after each of these lengths, the odd one after."""
        side = self.kernel.shape[-1]
        totals = [
            max((math.ceil(n / self.stride) - 1) * self.stride + side - n, 0) for n in lengths
        ]
        return [edge for total in totals for edge in (total // 2, total - total // 2)]


class _MBConv(nn.Module):
    """An inverted residual block (MBConv): expand, filter each channel, project."""

    def __init__(self, weights: Mapping[str, Tensor], name: str, stride: int) -> None:
        super().__init__()
        parts = []
        if f"{name}._expand_conv.weight" in weights:
            parts.append(_Convolution(weights, f"{name}._expand_conv", f"{name}._bn0"))
        parts.append(_Convolution(weights, f"{name}._depthwise_conv", f"{name}._bn1", stride))
        parts.append(_Convolution(weights, f"{name}._project_conv", f"{name}._bn2", is_linear=True))
        self.parts = nn.Sequential(*parts)
        channels_in = parts[0].kernel.shape[1] if len(parts) > 2 else parts[0].kernel.shape[0]
        self.is_residual = stride == 1 and channels_in == parts[-1].kernel.shape[0]

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.parts(x)
        return x + y if self.is_residual else y


def _middle_square(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The middle of a picture as a square of 224 pixels, [224, 224, 3]."""
    height, width = rgb.shape[:2]
    side = min(height, width)
    left, top = (width - side) / 2, (height - side) / 2
    picture = Image.fromarray(rgb).resize(
        (_SIDE, _SIDE), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side)
    )
    return np.asarray(picture)
