"""Lets torchvision be imported beside any torch.

torchvision's wheel on PyPI is linked against CUDA. Beside a CPU build of torch its library does not
load, its operators are then undeclared, and the import fails with `operator torchvision::nms does
not exist`; so do open_clip, timm, and most of transformers and diffusers once torchvision is merely
installed. None of what Reelmill calls in them uses those operators, so that declaring them without
an implementation is enough. Call `mend_torchvision` before the first import of such a library.
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
_declared: list[Any] = []
"""Declarations live as long as the object that made them."""


@functools.cache
def mend_torchvision() -> None:
    """Declares the operators that torchvision lacks here, if it is installed and lacks them."""
    if importlib.util.find_spec("torchvision") is None:
        return
    try:
        import torchvision
    except RuntimeError as error:
        if _UNDECLARED not in str(error):
            raise
        _declare()
        import torchvision  # noqa: F401


def _declare() -> None:
    import torch

    library: Any = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for operator in _OPERATORS:
        library.define(operator)
    _declared.append(library)
