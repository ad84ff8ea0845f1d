"""SSIM and LPIPS: how similar two videos look, frame by frame.

SSIM is that of Wang, Bovik, Sheikh and Simoncelli, "Image Quality Assessment: From Error Visibility
to Structural Similarity" (2004), with the constants of their code: luma (BT.601 weights), a
Gaussian window of 11 × 11 pixels and standard deviation 1.5, K1 = 0.01, K2 = 0.03, range 255, mean
over the positions where the window fits. The window is separable, so that a frame costs 22
multiply-adds for each of five maps: about 4 ms for 256 × 455 pixels on one core. It agrees with
`structural_similarity` of scikit-image (`gaussian_weights=True, sigma=1.5,
use_sample_covariance=False`) to 1e-6.

LPIPS is that of Zhang, Isola, Efros, Shechtman and Wang, "The Unreasonable Effectiveness of Deep
Features as a Perceptual Metric" (2018). The network is an ONNX file that takes a source and a
distorted picture, float32 [1, 3, H, W] normalised as for ImageNet, and gives one distance: 0 for
equal pictures. With SqueezeNet a pair of 256 × 455 pixels costs about 50 ms on one core, so every
fifth frame is measured; five is coprime to the usual rates, so all positions in a latent occur.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from curation.extras import install_command
from tokenizer.evaluate.errors import EvaluationError
from tokenizer.models.interface import Video
from tokenizer.tokenize.psnr import PerFrame, check_same_shape

_WINDOW, _SIGMA = 11, 1.5
_LUMA = (0.299, 0.587, 0.114)
_OFFSET = 128.0
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_FRAMES_AT_ONCE = 8

LPIPS_STRIDE = 5
"""Every n-th frame is measured."""
_MEAN = np.asarray((0.485, 0.456, 0.406), np.float32) * 255
_STD = np.asarray((0.229, 0.224, 0.225), np.float32) * 255


def ssim(video: Video, other: Video, device: str = "cpu") -> PerFrame:
    """Structural similarity of each frame, float64 [T], at most 1.

    Computed on `device` in fp32. Raises `ValueError` for other shapes, and for a side under 11.
    """
    check_same_shape(video, other)
    if min(video.shape[1:3]) < _WINDOW:
        raise EvaluationError(f"SSIM needs {_WINDOW} pixels a side, got {list(video.shape)}")
    starts = range(0, len(video), _FRAMES_AT_ONCE)
    with torch.inference_mode():
        values = [
            _ssim(*(_luma(v[start : start + _FRAMES_AT_ONCE], device) for v in (video, other)))
            for start in starts
        ]
        return np.asarray(torch.cat(values).double().cpu().numpy(), np.float64)


def _luma(video: Video, device: str) -> Tensor:
    """[T, H, W] around 0: variances of small numbers lose less in fp32."""
    pixels = torch.from_numpy(np.ascontiguousarray(video)).to(device)
    return pixels.float() @ torch.tensor(_LUMA, device=device) - _OFFSET


def _ssim(x: Tensor, y: Tensor) -> Tensor:
    mean_x, mean_y, xx, yy, xy = _blur(torch.stack([x, y, x * x, y * y, x * y]))
    variances = xx - mean_x**2 + yy - mean_y**2
    covariance = xy - mean_x * mean_y
    mean_x, mean_y = mean_x + _OFFSET, mean_y + _OFFSET
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    similarity: Tensor = luminance * (2 * covariance + _C2) / (variances + _C2)
    return similarity.mean((1, 2))


def _blur(maps: Tensor) -> Tensor:
    """Gaussian means along the last two axes, where the window fits.

    Sums of shifted maps in place are several times faster than a convolution of one channel.
    """
    offsets = np.arange(_WINDOW) - _WINDOW // 2
    weights = np.exp(-(offsets**2) / (2 * _SIGMA**2))
    for axis in (3, 2):
        length = maps.shape[axis] - _WINDOW + 1
        total = maps.narrow(axis, 0, length) * 0
        for start, weight in enumerate(weights / weights.sum()):
            total.add_(maps.narrow(axis, start, length), alpha=float(weight))
        maps = total
    return maps


class Lpips:
    """The LPIPS distance; runs on CUDA if onnxruntime can."""

    def __init__(self, path: str | Path) -> None:
        """Raises `FileNotFoundError`; `EvaluationError` for other files or without onnxruntime."""
        try:
            import onnxruntime
        except ImportError as error:
            raise EvaluationError(
                f"LPIPS needs onnxruntime: {install_command('perceptual')}"
            ) from error
        if not Path(path).is_file():
            raise FileNotFoundError(f"no LPIPS network at {path}")
        available = onnxruntime.get_available_providers()
        preferred = ("CUDAExecutionProvider", "CPUExecutionProvider")
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), providers=[name for name in preferred if name in available]
            )
        except Exception as error:
            raise EvaluationError(f"{path} cannot be read as ONNX: {error}") from error
        self._inputs = [node.name for node in self._session.get_inputs()]
        outputs = self._session.get_outputs()
        if len(self._inputs) != 2 or len(outputs) != 1:
            raise EvaluationError(
                f"{path} takes {len(self._inputs)} pictures and gives {len(outputs)} results; LPIPS"
                " takes a source and a distorted picture and gives one distance"
            )

    def __call__(self, video: Video, other: Video) -> npt.NDArray[np.float64]:
        """The distance of each pair of frames, float64 [T]."""
        distances = []
        for pair in zip(video, other, strict=True):
            inputs = (_normalize(picture) for picture in pair)
            [distance] = self._session.run(None, dict(zip(self._inputs, inputs, strict=True)))
            distances.append(float(np.asarray(distance).reshape(-1)[0]))
        return np.asarray(distances, np.float64)


def _normalize(picture: Video) -> npt.NDArray[np.float32]:
    pixels = (picture.astype(np.float32) - _MEAN) / _STD
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])
