"""Words and pictures as vectors that can be compared with those of one table."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from curation.dataset import Dataset
from curation.embed.base import Embedder, Picture, QueryEncoder, Vector, table_name
from curation.embed.clip_embedder import TABLES, OpenClip, pooled
from curation.embed.descriptor import FrameDct
from curation.embed.open_clip import Features, Model
from curation.embed.sentence import CAPTION_VECTORS, CaptionQueries
from curation.scores.frame import AnalysisFrame, Floats


def query_encoder(table: str, model: str | None = None) -> QueryEncoder:
    """What makes vectors like those of a table `embeddings/<name>`.

    A table of `OpenClip` needs the model's name, as its configuration does; `recorded_model` knows
    it where a run was recorded. Raises `ValueError` where the model's vectors are not those of the
    table, or its weights are not to be had.
    """
    if table == table_name(FrameDct()):
        return PictureQueries(FrameDct())
    if table.startswith(CAPTION_VECTORS):
        return CaptionQueries()
    if table.startswith(f"embeddings/{TABLES}"):
        if model is None:
            raise ValueError(f"{table} was made by a model of open_clip: name it")
        return _clip_queries(table, model)
    raise ValueError(f"{table}: no embedder of this version makes a table of that name")


def _clip_queries(table: str, model: str) -> ClipQueries:
    queries = ClipQueries(model)
    if queries.digest != table.removeprefix(f"embeddings/{TABLES}").partition("-")[0]:
        raise ValueError(
            f"{table} was made by other weights than those of {model}, whose vectors lie in "
            f"embeddings/{TABLES}{queries.digest}; name the model that made it"
        )
    return queries


def recorded_model(dataset: Dataset, table: str) -> str | None:
    """The name of the model that filled a table, from the newest run that says so, or None.

    A path counts only if the weights still lie there.
    """
    for config in reversed(dataset.runs()["config"].to_pylist()):
        for embedder in _recorded(json.loads(config)):
            try:
                if table_name(embedder) == table:
                    return embedder.model
            except ValueError:
                continue
    return None


def _recorded(config: Mapping[str, Any]) -> Iterable[OpenClip]:
    """The `OpenClip` embedders of a run's resolved configuration."""
    known = {each.name for each in dataclasses.fields(OpenClip)}
    for given in config.get("scan", {}).get("embedders") or ():
        settings = given.get("OpenClip") if isinstance(given, Mapping) else None
        if settings:
            yield OpenClip(**{key: settings[key] for key in settings.keys() & known})


@dataclass(frozen=True)
class PictureQueries:
    """A `QueryEncoder` of an embedder that knows pictures alone."""

    embedder: Embedder

    @property
    def dim(self) -> int:
        """Length of the vector."""
        return self.embedder.dim

    @property
    def digest(self) -> str:
        """The embedder's name: it has no weights."""
        return self.embedder.name

    def text(self, words: str) -> Vector:
        """Always raises `ValueError`."""
        raise ValueError(
            f"{self.embedder.name} knows pictures, not words: search by example, by caption, or "
            "embed with OpenClip (docs/embedders.md)"
        )

    def frames(
        self, rgb: Iterable[Picture], times_s: Floats, span_s: tuple[float, float]
    ) -> Vector:
        """See `QueryEncoder`."""
        watcher, count = self.embedder.load()(), 0
        for picture in rgb:
            watcher.see(AnalysisFrame.at(picture))
            count += 1
        if not count:
            raise ValueError("an example needs at least one frame")
        packed = watcher.vector(0, count, np.asarray(times_s, np.float64), span_s)
        return np.frombuffer(packed, "<f2").astype(np.float32)


@dataclass(frozen=True)
class ClipQueries:
    """A `QueryEncoder` of a model of open_clip, loaded when it is first needed, on the CPU."""

    model: str
    """As `OpenClip` names it."""

    @functools.cached_property
    def _embedder(self) -> OpenClip:
        return OpenClip(self.model)

    @functools.cached_property
    def _loaded(self) -> Model:
        return Model(self._embedder.checkpoint, "cpu", "fp32")

    @property
    def dim(self) -> int:
        """Length of the vector."""
        return self._embedder.dim

    @property
    def digest(self) -> str:
        """The digest of the model's weights, as in its tables' names."""
        return self._embedder.checkpoint.digest

    def text(self, words: str) -> Vector:
        """See `QueryEncoder`."""
        return np.asarray(self.texts([words])[0], np.float32)

    def texts(self, words: Iterable[str]) -> Features:
        """Several texts at once, float32 [n, dim]."""
        listed = list(words)
        if not all(text.strip() for text in listed):
            raise ValueError("there are no words to look for")
        return self._loaded.texts(listed)

    def frames(
        self, rgb: Iterable[Picture], times_s: Floats, span_s: tuple[float, float]
    ) -> Vector:
        """See `QueryEncoder`; every frame that is given counts."""
        prepared = [self._loaded.prepared(picture) for picture in rgb]
        if not prepared:
            raise ValueError("an example needs at least one frame")
        batches = [prepared[i : i + 32] for i in range(0, len(prepared), 32)]
        return pooled(np.concatenate([self._loaded.pictures(batch) for batch in batches]))
