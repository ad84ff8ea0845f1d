"""Embeddings of clips and captions, and queries as vectors of the same kind.

An embedder fills a table `embeddings/<name>` from the one decode of a scan; `query_encoder` returns
the encoder of queries for a table; `embed_captions` fills the table of captions. To add an
embedder: one file with a class as in `curation.embed.base`, a line in `EMBEDDERS`, and a branch in
`curation.embed.queries` if it is to be searched by.
"""

from typing import Any

from curation.embed.base import Embedder, EmbeddingCollector, QueryEncoder, table_name
from curation.embed.clip_embedder import OpenClip
from curation.embed.descriptor import FrameDct
from curation.embed.queries import query_encoder, recorded_model
from curation.embed.sentence import CAPTION_VECTORS, embed_captions
from curation.embed.things import Things

EMBEDDERS: dict[str, type[Any]] = {
    "FrameDct": FrameDct,
    "Things": Things,
    "OpenClip": OpenClip,
}
"""Embedders by the name that a configuration uses."""

__all__ = [
    "CAPTION_VECTORS",
    "EMBEDDERS",
    "Embedder",
    "EmbeddingCollector",
    "OpenClip",
    "QueryEncoder",
    "Things",
    "embed_captions",
    "query_encoder",
    "recorded_model",
    "table_name",
]
