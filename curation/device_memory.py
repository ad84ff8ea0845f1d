"""A GPU whose memory does not suffice: a batch is halved, and what does not fit alone is named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from curation.errors import InfrastructureError, MediaError

T = TypeVar("T")
R = TypeVar("R")
_OUT_OF_MEMORY = "OutOfMemoryError"
"""torch's, which is compared by name so that torch need not be loaded."""


class DeviceMemory:
    """What is known of a worker's device: whether anything has fitted into its memory."""

    def __init__(self) -> None:
        self._has_fitted = False

    def run(self, work: Callable[[Sequence[T]], list[R]], items: Sequence[T]) -> list[R]:
        """The results of some items: of all together, or of halves where memory runs out.

        Raises `MediaError` (`device_memory`) for one that does not fit alone where others have
        fitted, and `InfrastructureError` where nothing has: that is not the item's fault.
        """
        try:
            results = work(items)
        except Exception as error:
            if type(error).__name__ != _OUT_OF_MEMORY:
                raise
            if len(items) == 1:
                raise self._refusal(error) from error
        else:
            self._has_fitted = True
            return results
        middle = len(items) // 2
        return [*self.run(work, items[:middle]), *self.run(work, items[middle:])]

    def _refusal(self, error: Exception) -> Exception:
        first_line = str(error).strip().partition("\n")[0]
        if self._has_fitted:
            return MediaError("device_memory", first_line)
        return InfrastructureError(
            f"{first_line}; nothing has fitted into the device's memory yet: lower the batch, the"
            " size or the number of frames"
        )
