"""Detectors in ONNX form: loading one once a process, running it, and suppressing overlaps."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from curation.errors import InfrastructureError, ReelmillError
from curation.extras import install_command

Boxes = npt.NDArray[np.float32]
"""Left, top, right and bottom of each box, as shares of the picture's width and height; [n, 4]."""


class MissingModelError(ReelmillError, ValueError):
    """A score's package or file of weights is not installed here."""


def check_weights(weights: str) -> None:
    """Raises `MissingModelError` without the file of weights or the package that runs it."""
    if importlib.util.find_spec("onnxruntime") is None:
        raise MissingModelError(f"onnxruntime is not installed: {install_command('detect')}")
    if not Path(weights).expanduser().is_file():
        raise MissingModelError(
            f"there are no weights at {weights!r}; docs/scores.md says where to get them"
        )


@cache
def session(weights: str) -> Any:
    """The loaded model, on one thread; `InfrastructureError` where it cannot be loaded."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    path = str(Path(weights).expanduser())
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # of a class that is private to onnxruntime
        message = " ".join(str(error).split())[:300]
        raise InfrastructureError(f"{weights} cannot be loaded: {message}") from error


def run(weights: str, planes: npt.NDArray[np.float32]) -> list[npt.NDArray[np.float32]]:
    """All outputs for one input of shape [1, 3, height, width]."""
    model = session(weights)
    outputs: list[npt.NDArray[np.float32]] = model.run(None, {model.get_inputs()[0].name: planes})
    return outputs


def non_max_suppression(
    boxes: Boxes, scores: npt.NDArray[np.float32], max_iou: float = 0.45
) -> list[int]:
    """Indices of the boxes to keep, by falling score (greedy non-maximum suppression).

    A box is dropped if its intersection over union with a better one exceeds `max_iou`, 0–1.
    """
    kept: list[int] = []
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    for index in np.argsort(-scores, kind="stable").tolist():
        low = np.maximum(boxes[index, :2], boxes[kept, :2])
        high = np.minimum(boxes[index, 2:], boxes[kept, 2:])
        intersection = np.prod(np.maximum(high - low, 0), axis=1)
        union = areas[index] + areas[kept] - intersection
        if not (intersection > max_iou * union).any():
            kept.append(index)
    return kept
