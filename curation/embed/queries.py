"""Encoders of queries: words and pictures as vectors like those of one table."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from curation.dataset import Dataset
from curation.embed.base import Embedder, Picture, QueryEncoder, QueryError, Vector, table_name
from curation.embed.clip_embedder import TABLE_PREFIX, OpenClip, mean_pool
from curation.embed.descriptor import FrameDct
from curation.embed.open_clip import ClipModel
from curation.embed.sentence import CAPTION_VECTORS, CaptionQueryEncoder
from curation.embed.things import TABLE_PREFIX as THINGS
from curation.embed.things import MissingClassifierError, Things, ThingsQueryEncoder
from curation.scores.base import AnalysisFrame, Float64Array

THINGS_PREFIX = f"embeddings/{THINGS}"
"""Prefix of the table of `Things`."""


def things_table() -> str | None:
    """The table that `Things` fills with the weights that are installed; None without them."""
    try:
        return table_name(Things())
    except MissingClassifierError:
        return None


def query_encoder(table: str, model: str | None = None) -> QueryEncoder:
    """The encoder of queries for a table `embeddings/<name>`.

    A table of `OpenClip` needs the model's name as its configuration does; see `recorded_model`.
    Raises `QueryError` for a table of no known embedder, and where the model's vectors are not
    those of the table or its weights are unavailable.
    """
    if table == table_name(FrameDct()):
        return PictureQueryEncoder(FrameDct())
    if table.startswith(CAPTION_VECTORS):
        return CaptionQueryEncoder()
    if table.startswith(THINGS_PREFIX):
        things = ThingsQueryEncoder()
        if table != f"{THINGS_PREFIX}{things.digest}":
            raise QueryError(f"{table} was made by other weights than those that are installed")
        return things
    prefix = f"embeddings/{TABLE_PREFIX}"
    if not table.startswith(prefix):
        raise QueryError(f"{table}: no embedder of this version makes a table of that name")
    if model is None:
        raise QueryError(f"{table} was made by a model of open_clip: name it")
    encoder = OpenClipQueryEncoder(model)
    if encoder.digest != table.removeprefix(prefix).partition("-")[0]:
        raise QueryError(
            f"{table} was made by other weights than those of {model}, whose vectors are in "
            f"{prefix}{encoder.digest}; name the model that made it"
        )
    return encoder


def recorded_model(dataset: Dataset, table: str) -> str | None:
    """The name of the model that filled a table, from the newest run that recorded it, or None.

    A path counts only if the weights are still there.
    """
    for config in reversed(dataset.runs()["config"].to_pylist()):
        for embedder in _recorded_embedders(json.loads(config)):
            try:
                if table_name(embedder) == table:
                    return embedder.model
            except ValueError:
                continue
    return None


def _recorded_embedders(config: Mapping[str, Any]) -> Iterable[OpenClip]:
    """The `OpenClip` embedders of a run's resolved configuration."""
    fields = {field.name for field in dataclasses.fields(OpenClip)}
    for embedder in config.get("scan", {}).get("embedders") or ():
        settings = embedder.get("OpenClip") if isinstance(embedder, Mapping) else None
        if settings:
            yield OpenClip(**{key: settings[key] for key in settings.keys() & fields})


@dataclass(frozen=True)
class PictureQueryEncoder:
    """A `QueryEncoder` of an embedder without a text model."""

    embedder: Embedder

    @property
    def dim(self) -> int:
        """Length of the vector."""
        return self.embedder.dim

    @property
    def digest(self) -> str:
        """The embedder's name: it has no weights."""
        return self.embedder.name

    def encode_text(self, words: str) -> Vector:
        """Always raises `QueryError`."""
        raise QueryError(
            f"{self.embedder.name} knows pictures, not words: search by example, by caption, or "
            "embed with OpenClip (docs/embedders.md)"
        )

    def encode_frames(
        self, rgb: Iterable[Picture], times_s: Float64Array, span_s: tuple[float, float]
    ) -> Vector:
        """See `QueryEncoder`."""
        collector, count = self.embedder.load()(), 0
        for picture in rgb:
            collector.add(AnalysisFrame.from_rgb(picture))
            count += 1
        if not count:
            raise QueryError("an example needs at least one frame")
        packed = collector.vector(0, count, np.asarray(times_s, np.float64), span_s)
        return np.frombuffer(packed, "<f2").astype(np.float32)


@dataclass(frozen=True)
class OpenClipQueryEncoder:
    """A `QueryEncoder` of a model of open_clip, loaded when it is first needed, on the CPU."""

    model: str
    """As `OpenClip` names it."""

    @functools.cached_property
    def _embedder(self) -> OpenClip:
        return OpenClip(self.model)

    @functools.cached_property
    def _model(self) -> ClipModel:
        return ClipModel(self._embedder.checkpoint, "cpu", "fp32")

    @property
    def dim(self) -> int:
        """Length of the vector."""
        return self._embedder.dim

    @property
    def digest(self) -> str:
        """The digest of the model's weights, as in its tables' names."""
        return self._embedder.checkpoint.digest

    def encode_text(self, words: str) -> Vector:
        """See `QueryEncoder`."""
        if not words.strip():
            raise QueryError("there are no words to look for")
        return np.asarray(self._model.encode_texts([words])[0], np.float32)

    def encode_frames(
        self, rgb: Iterable[Picture], times_s: Float64Array, span_s: tuple[float, float]
    ) -> Vector:
        """See `QueryEncoder`; uses all frames, regardless of `every`."""
        pictures = [self._model.preprocess(picture) for picture in rgb]
        if not pictures:
            raise QueryError("an example needs at least one frame")
        batches = [pictures[i : i + 32] for i in range(0, len(pictures), 32)]
        return mean_pool(np.concatenate([self._model.encode_images(batch) for batch in batches]))
