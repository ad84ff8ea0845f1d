"""Clips by the words of their captions: BM25 (Robertson and Zaragoza 2009), by tantivy.

Each version is a folder of its own. tantivy never changes a file that it has written, so the next
version starts as hard links to the one before, and whoever reads that goes on undisturbed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tantivy

from curation.search.manifest import File, Words
from curation.search.mask import Mask
from curation.search.store import Folder
from curation.search.vector_index import Near
from curation.storage import file_sha256

_HEAP_BYTES = 64 << 20
_LISTED = 10_000
"""A filter that leaves no more clips than this is made part of the query."""
_MOST_TERMS = 64
_UNWRITTEN = (".lock", ".managed.json")


def _schema() -> Any:
    fields = tantivy.SchemaBuilder()
    fields.add_integer_field("row", indexed=True, fast=True)
    fields.add_text_field("text", tokenizer_name="en_stem", index_option="freq")
    return fields.build()


def _analyzer() -> Any:
    """What tantivy calls `en_stem`."""
    built = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
    kinds = tantivy.Filter
    for each in (kinds.remove_long(40), kinds.lowercase(), kinds.stemmer("english")):
        built = built.filter(each)
    return built.build()


def terms(text: str) -> list[str]:
    """The words of a text as they are looked up: lower case, stemmed, each once."""
    return list(dict.fromkeys(_analyzer().analyze(text)))[:_MOST_TERMS]


def written(folder: Folder, before: Words | None, texts: Mapping[int, str], name: str) -> Words:
    """A new version with further clips, by row; into a folder of that name."""
    place = folder.root / name
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    known = {}
    if before is not None:
        known = {Path(file.name).name: file for file in before.files}
        for old in known:
            os.link(folder.root / before.folder / old, place / old)
    index = tantivy.Index(_schema(), str(place), reuse=True)
    writer = index.writer(heap_size=_HEAP_BYTES, num_threads=1)
    for row, text in texts.items():
        document = tantivy.Document()
        document.add_integer("row", row)
        document.add_text("text", text)
        writer.add_document(document)
    writer.commit()
    writer.wait_merging_threads()
    files = tuple(_file(path, name, known) for path in sorted(place.iterdir()) if _counts(path))
    return Words(name, files, (before.clips if before else 0) + len(texts))


def _counts(path: Path) -> bool:
    return not path.name.endswith(_UNWRITTEN)


def _file(path: Path, folder: str, known: Mapping[str, File]) -> File:
    name = f"{folder}/{path.name}"
    old = known.get(path.name)
    if old is not None and path.name != "meta.json":
        return File(name, old.sha256, old.size_bytes)
    return File(name, file_sha256(str(path)), path.stat().st_size)


class WordIndex:
    """The words of one version, opened."""

    def __init__(self, said: Words, folder: Folder) -> None:
        self.said = said
        self._index = tantivy.Index.open(str(folder.root / said.folder))
        self._schema = self._index.schema
        self._searcher = self._index.searcher()

    def search(self, text: str, k: int, mask: Mask | None = None) -> Near:
        """The `k` clips that fit the words best, or all that have any of them; scores are BM25.

        Clips of equal score come by row, so that the same question has the same answer.
        """
        either = [
            (tantivy.Occur.Should, tantivy.Query.term_query(self._schema, "text", term, "freq"))
            for term in terms(text)
        ]
        query = tantivy.Query.boolean_query(either)
        share = 1.0
        if mask is not None:
            if mask.count <= _LISTED:
                query = self._among(query, mask)
            else:
                share = mask.count / max(1, len(mask.allowed))
        limit = max(64, int(2 * k / share))
        while True:
            found, is_all = self._found(query, limit, mask)
            if is_all or (len(found.rows) > k and found.scores[k - 1] > found.scores[-1]):
                return Near(found.rows[:k], found.scores[:k])
            limit *= 8

    def _among(self, query: Any, mask: Mask) -> Any:
        rows = tantivy.Query.term_set_query(self._schema, "row", mask.rows.tolist())
        silent = tantivy.Query.const_score_query(rows, 0.0)
        must = tantivy.Occur.Must
        return tantivy.Query.boolean_query([(must, query), (must, silent)])

    def _found(self, query: Any, limit: int, mask: Mask | None) -> tuple[Near, bool]:
        """The allowed among the first `limit` hits, and whether there are no others."""
        hits = self._searcher.search(query, limit, count=False).hits
        at = self._searcher.fast_field_values("row", [address for _, address in hits])
        rows = np.array(at, np.int64)
        scores = np.array([score for score, _ in hits], np.float32)
        if mask is not None and len(rows):
            inside = rows < len(mask.allowed)
            inside[inside] = mask.allowed[rows[inside]]
            rows, scores = rows[inside], scores[inside]
        order = np.lexsort((rows, -scores))
        return Near(rows[order], scores[order]), len(hits) < limit
