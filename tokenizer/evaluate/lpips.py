"""LPIPS: how different two pictures look to a network trained to recognise things.

Zhang, Isola, Efros, Shechtman and Wang, "The Unreasonable Effectiveness of Deep Features as a
Perceptual Metric" (2018). The network is an ONNX file that takes a source and a distorted picture,
float32 [1, 3, H, W] normalised as for ImageNet, and gives one distance: 0 for equal pictures. With
SqueezeNet a pair of 256 × 455 pixels costs about 50 ms on one core, so every fifth frame is looked
at; five is prime to the usual rates, so all places inside a latent come up.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from tokenizer.models.interface import Video

STRIDE = 5
"""Of so many frames one is looked at."""
_MEAN = np.asarray((0.485, 0.456, 0.406), np.float32) * 255
_STD = np.asarray((0.229, 0.224, 0.225), np.float32) * 255


class Lpips:
    """The distance, loaded; runs on CUDA where onnxruntime can."""

    def __init__(self, path: str | Path) -> None:
        """Raises `FileNotFoundError`; `ValueError` for other files, and without onnxruntime."""
        try:
            import onnxruntime
        except ImportError as error:
            raise ValueError(
                "LPIPS needs onnxruntime: pip install 'reelmill[perceptual]'"
            ) from error
        if not Path(path).is_file():
            raise FileNotFoundError(f"no LPIPS network at {path}")
        wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
        there = onnxruntime.get_available_providers()
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), providers=[name for name in wanted if name in there]
            )
        except Exception as error:
            raise ValueError(f"{path} cannot be read as ONNX: {error}") from error
        self._inputs = [node.name for node in self._session.get_inputs()]
        outputs = self._session.get_outputs()
        if len(self._inputs) != 2 or len(outputs) != 1:
            raise ValueError(
                f"{path} takes {len(self._inputs)} pictures and gives {len(outputs)} results; LPIPS"
                " takes a source and a distorted picture and gives one distance"
            )

    def __call__(self, video: Video, other: Video) -> npt.NDArray[np.float64]:
        """The distance of each pair of frames, float64 [T]."""
        pairs = zip(video, other, strict=True)
        return np.asarray([self._distance(a, b) for a, b in pairs], np.float64)

    def _distance(self, picture: Video, other: Video) -> float:
        feed = dict(zip(self._inputs, (_normalised(picture), _normalised(other)), strict=True))
        [distance] = self._session.run(None, feed)
        return float(np.asarray(distance).reshape(-1)[0])


def _normalised(picture: Video) -> npt.NDArray[np.float32]:
    pixels = (picture.astype(np.float32) - _MEAN) / _STD
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])
