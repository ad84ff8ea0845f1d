"""Vectors of stored captions, for text search without a model of pictures.

MiniLM (`curation.embed.minilm`) gives sentences of like meaning like vectors: 384 numbers, some
hundred short captions a second on one core.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation import records
from curation.dataset import Dataset
from curation.embed import minilm
from curation.embed.base import Picture, QueryError, Vector
from curation.lineage import resolve_table
from curation.records import Embedding
from curation.scores.base import Float64Array

CAPTION_VECTORS = "embeddings/captions-minilm"
"""Prefix of the names of its tables, before the name of the captions."""
_BATCH_ROWS = 4096


def embed_captions(dataset: Dataset, captions: str | None = None) -> str:
    """Embeds the captions of one table that have no vector yet; returns the vectors' table.

    `captions` names the table, such as `facts-1a2b3c4d`; the one that was filled last if None. A
    clip of several windows has one vector, of all its captions. Raises `LineageError`
    without captions, and `MissingTextModelError` where the package with the model is not installed.
    """
    dataset = dataset.snapshot()
    source = resolve_table(dataset.catalog, "captions", captions, dataset.latest_selection())
    table = f"{CAPTION_VECTORS}-{source.removeprefix('captions/')}"
    rows = dataset.captions(source).select(["clip_id", "source_id", "text"])
    done = dataset.catalog.values(table, Embedding, "clip_id")
    rows = rows.filter(pc.invert(pc.is_in(rows["clip_id"], pa.array(sorted(done), pa.string()))))
    if rows.num_rows:
        with dataset.catalog.writer("embed", {table: Embedding}) as writer:
            for start in range(0, rows.num_rows, _BATCH_ROWS):
                writer.append(table, _embed(rows.slice(start, _BATCH_ROWS)))
    return table


def _embed(captions: pa.Table) -> pa.Table:
    """Rows of vectors; equal captions, as generated facts often are, are encoded once."""
    texts = captions["text"].to_pylist()
    distinct = list(dict.fromkeys(texts))
    vectors = dict(zip(distinct, minilm.encode_sentences(distinct).astype("<f2"), strict=True))
    columns = (captions["clip_id"].to_pylist(), captions["source_id"].to_pylist(), texts)
    return records.to_table(
        Embedding,
        [Embedding(clip, source, minilm.DIM, vectors[text].tobytes())
         for clip, source, text in zip(*columns, strict=True)],
    )  # fmt: skip


@dataclass(frozen=True)
class CaptionQueryEncoder:
    """A `QueryEncoder` for the tables of captions."""

    dim: int = minilm.DIM

    @property
    def digest(self) -> str:
        """The digest of the model's weights."""
        return minilm.digest()

    def encode_text(self, words: str) -> Vector:
        """See `QueryEncoder`."""
        if not words.strip():
            raise QueryError("there are no words to look for")
        return np.asarray(minilm.encode_sentences([words])[0], np.float32)

    def encode_frames(
        self, rgb: Iterable[Picture], times_s: Float64Array, span_s: tuple[float, float]
    ) -> Vector:
        """Always raises `QueryError`."""
        raise QueryError("vectors of captions know words, not pictures: search by text")
