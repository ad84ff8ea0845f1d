"""Device settings of a network, and running it on windows in batches of one fixed shape.

A convolution's last bits depend on the shape of its batch, so a network only ever sees batches of
`DeviceConfig.batch` windows of one shape: windows are grouped by shape, cut into batches, and the
last batch of each shape is filled up with black windows whose results are dropped. That makes a
window's tokens independent of batch composition. Pixels cross to the device as uint8; on CUDA they
are copied from pinned memory while the previous batch is still being computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from curation.errors import ReelmillError

if TYPE_CHECKING:
    from torch import Tensor

Array = npt.NDArray[Any]
Precision = Literal["fp32", "bf16"]


class DeviceError(ReelmillError, ValueError):
    """A device, precision or batch that cannot be used."""


@dataclass(frozen=True, slots=True)
class DeviceConfig:
    """Where and how a network computes. Raises `DeviceError` for settings that cannot be used."""

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
            raise DeviceError(f"a batch holds at least one window, not {self.batch}")
        if self.precision not in ("fp32", "bf16"):
            raise DeviceError(f"precision {self.precision!r} is neither fp32 nor bf16")

    def check(self) -> None:
        """Raises `DeviceError` if torch cannot compute on the device."""
        import torch

        kind = self.device.partition(":")[0]
        if kind == "cuda" and not torch.cuda.is_available():
            raise DeviceError(
                f"device {self.device} is unavailable: torch {torch.__version__} sees no CUDA"
                " device; use device: cpu, or install a CUDA build of torch"
            )
        if kind not in ("cpu", "cuda"):
            raise DeviceError(f"device {self.device!r} is neither cpu nor cuda")


def run_batched(
    function: Callable[[Tensor], tuple[Tensor, ...]],
    windows: Sequence[Array],
    device_config: DeviceConfig,
) -> list[tuple[Array, ...]]:
    """Applies `function` to windows in batches of a fixed shape; results in the windows' order.

    `function` takes a tensor [batch, …] on the device, of the windows' dtype, and returns tensors
    [batch, …]; each window's results are numpy arrays without the batch axis.
    """
    import torch

    is_cuda = torch.device(device_config.device).type == "cuda"
    results: list[tuple[Array, ...]] = [()] * len(windows)
    pending: tuple[list[int], tuple[Tensor, ...]] | None = None
    with torch.inference_mode():
        for indices, batch in _batches(windows, device_config.batch):
            tensor = torch.from_numpy(batch)
            if is_cuda:
                tensor = tensor.pin_memory()
            outputs = function(tensor.to(device_config.device, non_blocking=True))
            if pending is not None:
                _collect(*pending, results)
            pending = (indices, outputs)
        if pending is not None:
            _collect(*pending, results)
    return results


def _batches(windows: Sequence[Array], size: int) -> Iterator[tuple[list[int], Array]]:
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for index, window in enumerate(windows):
        by_shape.setdefault(window.shape, []).append(index)
    for shape, indices in by_shape.items():
        for start in range(0, len(indices), size):
            members = indices[start : start + size]
            batch = np.zeros((size, *shape), windows[members[0]].dtype)
            for slot, index in enumerate(members):
                batch[slot] = windows[index]
            yield members, batch


def _collect(
    indices: list[int], outputs: tuple[Tensor, ...], results: list[tuple[Array, ...]]
) -> None:
    arrays = [output.cpu().numpy() for output in outputs]
    for slot, index in enumerate(indices):
        results[index] = tuple(array[slot] for array in arrays)
