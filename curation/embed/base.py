"""The contract of embedders: each turns the analysis frames of a clip into one vector.

An embedder is a frozen dataclass whose fields are its settings. `load` runs once in each worker and
may load a model; it returns a factory of collectors, one for each source. A collector gets every
analysis frame once, in order and before the clips are known, and keeps little of each. A slow model
has a collector for each clip instead, which gets a few of its frames once the clips are known.
Threads ask for the vectors of several clips at a time. A query encoder makes vectors of the same
kind from words or pictures, for search.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

import numpy as np
import numpy.typing as npt

from curation.errors import ReelmillError
from curation.scores.base import AnalysisFrame, Float64Array

Vector = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]
"""RGB, shape [height, width, 3]."""


class QueryError(ReelmillError, ValueError):
    """A query that the table's encoder cannot encode."""


class EmbeddingCollector(Protocol):
    """Collects analysis frames of one source, or of one clip."""

    def add(self, frame: AnalysisFrame) -> None:
        """Takes the next frame."""

    def vector(
        self, first: int, last: int, times_s: Float64Array, span_s: tuple[float, float]
    ) -> bytes:
        """The vector of the clip whose frames are `first` to `last` (exclusive) of those added.

        `times_s` are those frames' times, `span_s` the clip's start and end. Little-endian
        float16 of unit length, or zeros where there is nothing to embed.
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

    @property
    def num_frames(self) -> int:
        """Most frames of a clip that it sees, decoded from JPEG just before `vector`; 0 for all."""

    def load(self) -> Callable[[], EmbeddingCollector]:
        """Loads what it needs, and returns a factory of collectors."""


class QueryEncoder(Protocol):
    """Encodes queries as vectors that can be compared with those of one table."""

    @property
    def dim(self) -> int:
        """Length of the vector."""

    @property
    def digest(self) -> str:
        """Names the model; vectors of two models that differ in it must not be compared."""

    def encode_text(self, words: str) -> Vector:
        """The words as float32 [dim] of unit length.

        `QueryError` where the model does not encode words, and without words.
        """

    def encode_frames(
        self, rgb: Iterable[Picture], times_s: Float64Array, span_s: tuple[float, float]
    ) -> Vector:
        """A clip's frames as float32 [dim], of unit length, or zeros where they show nothing.

        `times_s` are the frames' times, `span_s` the clip's start and end. `QueryError` where the
        model does not encode pictures, and without a frame.
        """


def table_name(embedder: Embedder) -> str:
    """The table of an embedder's vectors."""
    return f"embeddings/{embedder.name}"
