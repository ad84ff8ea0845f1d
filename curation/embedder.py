"""Embedders: each turns the analysis frames of a clip into one vector, in a table of its own.

An embedder is a frozen dataclass whose fields are its settings. `load` runs once in each worker and
may load a model; what it returns makes a watcher for one source. A watcher sees every analysis
frame once, in order and before the clips are known, and keeps little of each. To add an embedder:
one file with such a class, and a line in `EMBEDDERS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from curation.descriptor import FrameDct
from curation.scores.look import Floats, Look


class EmbeddingWatcher(Protocol):
    """Takes the analysis frames of one source."""

    def see(self, look: Look) -> None:
        """Takes the next frame."""

    def vector(self, first: int, last: int, times_s: Floats, span_s: tuple[float, float]) -> bytes:
        """The vector of the clip whose analysis frames are `first` to `last` (exclusive).

        `times_s` are those frames' times, `span_s` the clip's start and end. Little-endian
        float16 of unit length, or zeros where there is nothing to see.
        """


class Embedder(Protocol):
    """One way to embed clips."""

    @property
    def name(self) -> str:
        """Names the table `embeddings/<name>`; another name wherever vectors would differ."""

    @property
    def dim(self) -> int:
        """Length of the vector."""

    @property
    def gpus(self) -> float:
        """Share of a GPU that a worker reserves for it."""

    def load(self) -> Callable[[], EmbeddingWatcher]:
        """Loads what it needs, and returns what makes a watcher for one source."""


EMBEDDERS: dict[str, type[Any]] = {"FrameDct": FrameDct}
"""Embedders by the name that a configuration uses."""


def table_name(embedder: Embedder) -> str:
    """Where an embedder's vectors lie."""
    return f"embeddings/{embedder.name}"
