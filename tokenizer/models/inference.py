"""Where and how a network computes, and feeding it windows in batches of one fixed shape.

A convolution's last bits depend on the shape of the batch that it is given, so a network never sees
another batch than `Placement.batch` windows of one shape: a list of windows is sorted by shape, cut
into batches, and the last batch of each shape is filled up with black windows that nobody reads.
That makes a window's tokens the same in any company. Pixels cross to the device as uint8; on CUDA
they are copied from pinned memory while the batch before is still being computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

Array = npt.NDArray[Any]
Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True, slots=True)
class Placement:
    """Where and how a network computes."""

    device: str = "cpu"
    """`cpu`, `cuda` or `cuda:1`."""
    precision: Precision = "fp32"
    """What convolutions compute in; quantising is always fp32."""
    batch: int = 1
    """Windows that are computed at once."""
    compile: bool = False
    """Whether `torch.compile` fuses the network: pays on a GPU, after a minute of warm-up."""

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise ValueError(f"a batch holds at least one window, not {self.batch}")
        if self.precision not in ("fp32", "bf16"):
            raise ValueError(f"precision {self.precision!r} is neither fp32 nor bf16")

    def check(self) -> None:
        """Raises `ValueError` if torch cannot compute on the device."""
        import torch

        kind = self.device.partition(":")[0]
        if kind == "cuda" and not torch.cuda.is_available():
            raise ValueError(
                f"device {self.device} is not there: torch {torch.__version__} sees no CUDA device;"
                " use device: cpu, or install a CUDA build of torch"
            )
        if kind not in ("cpu", "cuda"):
            raise ValueError(f"device {self.device!r} is neither cpu nor cuda")


def run_batched(
    function: Callable[[Tensor], tuple[Tensor, ...]],
    windows: Sequence[Array],
    placement: Placement,
) -> list[tuple[Array, ...]]:
    """Applies `function` to windows in batches of a fixed shape; results in the windows' order.

    `function` takes a tensor [batch, …] on the device, of the windows' dtype, and gives tensors
    [batch, …]; each window's results come back as numpy arrays without the batch axis.
    """
    import torch

    results: list[tuple[Array, ...]] = [()] * len(windows)
    pending: tuple[list[int], tuple[Tensor, ...]] | None = None
    with torch.inference_mode():
        for places, batch in _batches(windows, placement.batch):
            outputs = function(_sent(batch, placement.device))
            if pending is not None:
                _collect(*pending, results)
            pending = (places, outputs)
        if pending is not None:
            _collect(*pending, results)
    return results


def _batches(windows: Sequence[Array], size: int) -> Iterator[tuple[list[int], Array]]:
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for place, window in enumerate(windows):
        by_shape.setdefault(window.shape, []).append(place)
    for shape, places in by_shape.items():
        for at in range(0, len(places), size):
            chosen = places[at : at + size]
            batch = np.zeros((size, *shape), windows[chosen[0]].dtype)
            for slot, place in enumerate(chosen):
                batch[slot] = windows[place]
            yield chosen, batch


def _sent(batch: Array, device: str) -> Tensor:
    import torch

    tensor = torch.from_numpy(batch)
    if torch.device(device).type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def _collect(
    places: list[int], outputs: tuple[Tensor, ...], results: list[tuple[Array, ...]]
) -> None:
    arrays = [output.cpu().numpy() for output in outputs]
    for slot, place in enumerate(places):
        results[place] = tuple(array[slot] for array in arrays)
