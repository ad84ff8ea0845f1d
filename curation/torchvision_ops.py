"""Makes torchvision importable with any build of torch.

torchvision's wheel on PyPI is linked against CUDA. With a CPU build of torch its library does not
load, its operators are undeclared, and the import fails with `operator torchvision::nms does not
exist`; so do open_clip, timm, and most of transformers and diffusers where torchvision is only
installed. Reelmill uses none of these operators, so declaring them without an implementation is
enough. Call `declare_missing_ops` before the first import of such a library.
"""

from __future__ import annotations

import functools
import importlib.util
from typing import Any

_UNDECLARED = "operator torchvision::nms does not exist"
_OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_libraries: list[Any] = []
"""Declarations live as long as their library object."""


@functools.cache
def declare_missing_ops() -> None:
    """Declares the operators of torchvision if it is installed and cannot load them."""
    if importlib.util.find_spec("torchvision") is None:
        return
    try:
        import torchvision
    except RuntimeError as error:
        if _UNDECLARED not in str(error):
            raise
        import torch

        library: Any = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
        for operator in _OPERATORS:
            library.define(operator)
        _libraries.append(library)
        import torchvision  # noqa: F401
