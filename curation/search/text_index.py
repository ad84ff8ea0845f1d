"""Clips by the words about them: BM25 (Robertson and Zaragoza 2009), by tantivy.

Each version is a folder of its own. tantivy never changes a file that it has written, so the next
version starts as hard links to the one before, which its readers keep using.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tantivy

from curation.search.manifest import File, TextIndexFiles
from curation.search.mask import Mask
from curation.search.store import IndexStore
from curation.search.vector_index import Hits
from curation.storage import file_sha256

_HEAP_BYTES = 64 << 20
_MAX_ROW_TERMS = 10_000
"""A filter that leaves no more clips than this is made part of the query."""
_MAX_TERMS = 64
_REWRITTEN_FILES = ("meta.json", ".managed.json")
_STOP_WORDS = frozenset(
    [
        "a",
        "about",
        "an",
        "and",
        "are",
        "as",
        "at",
        "be",
        "been",
        "being",
        "but",
        "by",
        "can",
        "clip",
        "did",
        "do",
        "does",
        "for",
        "from",
        "had",
        "has",
        "have",
        "how",
        "i",
        "in",
        "into",
        "is",
        "it",
        "its",
        "my",
        "no",
        "not",
        "of",
        "off",
        "on",
        "or",
        "our",
        "over",
        "shows",
        "so",
        "some",
        "such",
        "that",
        "the",
        "their",
        "them",
        "then",
        "there",
        "these",
        "they",
        "this",
        "those",
        "through",
        "to",
        "under",
        "up",
        "video",
        "was",
        "we",
        "were",
        "what",
        "when",
        "where",
        "which",
        "while",
        "who",
        "with",
        "without",
        "you",
        "your",
    ]
)
"""Say nothing about what to find."""


def _schema() -> Any:
    builder = tantivy.SchemaBuilder()
    builder.add_integer_field("row", indexed=True, fast=True)
    builder.add_text_field("text", tokenizer_name="en_stem", index_option="freq")
    return builder.build()


def terms(text: str) -> list[str]:
    """The words of a query as tantivy's `en_stem` indexes them: lower case, stemmed, each once.

    Without stop words, unless there are no others.
    """
    filters = tantivy.Filter
    simple = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
    words = simple.filter(filters.remove_long(40)).filter(filters.lowercase()).build().analyze(text)
    words = [word for word in words if word not in _STOP_WORDS] or words
    raw = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.raw())
    stemmer = raw.filter(filters.stemmer("english")).build()
    return list(dict.fromkeys(stemmer.analyze(word)[0] for word in words))[:_MAX_TERMS]


def write_version(
    store: IndexStore, previous: TextIndexFiles | None, texts: Mapping[int, str], name: str
) -> TextIndexFiles:
    """A new version with further clips, by row; into a folder of that name."""
    folder = store.root / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    linked = {}
    if previous is not None:
        linked = {Path(file.name).name: file for file in previous.files}
        for file_name in linked:
            os.link(store.root / previous.folder / file_name, folder / file_name)
    index = tantivy.Index(_schema(), str(folder), reuse=True)
    writer = index.writer(heap_size=_HEAP_BYTES, num_threads=1)
    for row, text in texts.items():
        document = tantivy.Document()
        document.add_integer("row", row)
        document.add_text("text", text)
        writer.add_document(document)
    writer.commit()
    writer.wait_merging_threads()
    files = tuple(
        _file(path, name, linked)
        for path in sorted(folder.iterdir())
        if not path.name.endswith(".lock")
    )
    return TextIndexFiles(name, files, (previous.clips if previous else 0) + len(texts))


def _file(path: Path, folder: str, linked: Mapping[str, File]) -> File:
    """The manifest's entry of a file; only new and rewritten ones are read for their digest."""
    name = f"{folder}/{path.name}"
    same = linked.get(path.name)
    if same is not None and path.name not in _REWRITTEN_FILES:
        return File(name, same.sha256, same.size_bytes)
    return File(name, file_sha256(str(path)), path.stat().st_size)


class TextIndex:
    """One version of the text index, opened."""

    def __init__(self, files: TextIndexFiles, store: IndexStore) -> None:
        self.files = files
        self._index = tantivy.Index.open(str(store.root / files.folder))
        self._schema = self._index.schema
        self._searcher = self._index.searcher()

    def search(self, text: str, k: int, mask: Mask | None = None) -> Hits:
        """The `k` clips that fit the words best, or all that have any of them; scores are BM25.

        Clips of equal score come by row, so that the same query has the same answer.
        """
        any_term = [
            (tantivy.Occur.Should, tantivy.Query.term_query(self._schema, "text", term, "freq"))
            for term in terms(text)
        ]
        query = tantivy.Query.boolean_query(any_term)
        share = 1.0
        if mask is not None:
            if mask.count <= _MAX_ROW_TERMS:
                rows = tantivy.Query.term_set_query(self._schema, "row", mask.rows.tolist())
                unscored = tantivy.Query.const_score_query(rows, 0.0)
                must = tantivy.Occur.Must
                query = tantivy.Query.boolean_query([(must, query), (must, unscored)])
            else:
                share = mask.count / max(1, len(mask.allowed))
        limit = max(64, int(2 * k / share))
        while True:
            hits, is_all = self._search(query, limit, mask)
            if is_all or (len(hits.rows) > k and hits.scores[k - 1] > hits.scores[-1]):
                return Hits(hits.rows[:k], hits.scores[:k])
            limit *= 8

    def _search(self, query: Any, limit: int, mask: Mask | None) -> tuple[Hits, bool]:
        """The allowed among the first `limit` hits, and whether there are no others."""
        hits = self._searcher.search(query, limit, count=False).hits
        values = self._searcher.fast_field_values("row", [address for _, address in hits])
        rows = np.array(values, np.int64)
        scores = np.array([score for score, _ in hits], np.float32)
        if mask is not None and len(rows):
            is_allowed = rows < len(mask.allowed)
            is_allowed[is_allowed] = mask.allowed[rows[is_allowed]]
            rows, scores = rows[is_allowed], scores[is_allowed]
        order = np.lexsort((rows, -scores))
        return Hits(rows[order], scores[order]), len(hits) < limit
