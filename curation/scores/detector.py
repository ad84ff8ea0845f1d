"""Running a detector in ONNX form: loading it once a process, and thinning out its boxes."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from curation.errors import InfrastructureError

Boxes = npt.NDArray[np.float32]
"""Left, top, right and bottom of each box, as shares of the picture's width and height; [n, 4]."""


def check(weights: str) -> None:
    """`ValueError` if the file of weights or the package that runs it is not here."""
    if importlib.util.find_spec("onnxruntime") is None:
        raise ValueError("onnxruntime is not installed: pip install 'reelmill[detect]'")
    if not Path(weights).expanduser().is_file():
        raise ValueError(
            f"there are no weights at {weights!r}; docs/scores.md says where to get them"
        )


@cache
def session(weights: str) -> Any:
    """The loaded model, on one thread; `EnvironmentFaultError` where this machine has it not."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    path = str(Path(weights).expanduser())
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # of a class that onnxruntime keeps to itself
        words = " ".join(str(error).split())[:300]
        raise InfrastructureError(f"{weights} cannot be loaded: {words}") from error


def run(weights: str, planes: npt.NDArray[np.float32]) -> list[npt.NDArray[np.float32]]:
    """All outputs for one input of shape [1, 3, height, width]."""
    model = session(weights)
    outputs: list[npt.NDArray[np.float32]] = model.run(None, {model.get_inputs()[0].name: planes})
    return outputs


def thinned(boxes: Boxes, scores: npt.NDArray[np.float32], overlap: float = 0.45) -> list[int]:
    """Indices of the boxes to keep, best first: none covers a better one by more than `overlap`.

    Overlap is area in common over area together, 0–1 (greedy non-maximum suppression).
    """
    kept: list[int] = []
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    for index in np.argsort(-scores, kind="stable").tolist():
        low = np.maximum(boxes[index, :2], boxes[kept, :2])
        high = np.minimum(boxes[index, 2:], boxes[kept, 2:])
        shared = np.prod(np.maximum(high - low, 0), axis=1)
        if not (shared > overlap * (areas[index] + areas[kept] - shared)).any():
            kept.append(index)
    return kept
