"""Searching an output: by words, by example, by both, among the clips that a condition leaves.

    from curation.search import Search

    search = Search("out")      # makes the index, or brings it up to date
    hits = search.query("a dark clip with motion", where="duration_s > 3")
    more = search.query("a dark clip with motion", where="duration_s > 3", after=cursor(hits))

Hits are an Arrow table, best first. Embedding models do not understand "no": what must not be there
belongs into `where` or among the unwanted examples.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from curation import subset
from curation.dataset import Dataset
from curation.search.filters import LiveRows, RowFilters
from curation.search.index import Index, VerifiedFiles
from curation.search.query import (
    By,
    Cursor,
    CursorError,
    Example,
    Query,
    SearchError,
    as_tuple,
)
from curation.search.query_vector import (
    ExampleEncoder,
    QueryEncoders,
    choose_tables,
    combine,
    knows_words,
    searched_in,
)
from curation.search.ranking import Page, TopHits, fused_ranking, next_page
from curation.search.store import DamagedIndexError, IndexStore
from curation.search.text_index import TextIndex, terms
from curation.search.update import ProgressCallback, UpdateResult, update
from curation.search.vector_index import Hits

_COLUMNS = ("clip_id", "source_id", "uri", "start_s", "end_s", "caption", "verdict")
_MAX_TEXT_VERSIONS = 4


class Search:
    """An output's index, open. Threads may share it."""

    def __init__(
        self,
        output: str | os.PathLike[str],
        *,
        model: str | None = None,
        refresh: bool = True,
        on_progress: ProgressCallback = lambda _: None,
    ) -> None:
        """Opens the index and brings it up to date, or makes it.

        With `refresh` False an existing index is used as it is. `model` names the open_clip model
        that words and pictures are embedded by, where no run recorded it.
        """
        self.dataset = Dataset(output)
        """The output."""
        self._verified: VerifiedFiles = set()
        self._encoders = QueryEncoders(self.dataset, model)
        self._text_versions: dict[str, TextIndex] = {}
        self.last_update: UpdateResult | None = None
        """How the last update ended."""
        store = IndexStore.of(self.dataset.catalog.storage)
        index = None if refresh else self._open(store)
        if index is None:
            self.update(on_progress)
        else:
            self._use(index)

    def _open(self, store: IndexStore) -> Index | None:
        """The index as it is stored; None if there is none, or it is damaged."""
        try:
            return Index.open(store, self._verified)
        except DamagedIndexError:
            return None

    def update(self, on_progress: ProgressCallback = lambda _: None) -> UpdateResult:
        """Adds what came to the tables since; queries see it from then on."""
        index = getattr(self, "index", None)
        self.last_update = update(self.dataset, self._verified, on_progress, index)
        self._use(self.last_update.index)
        return self.last_update

    def _use(self, index: Index) -> None:
        self.index = index
        self._mtime = index.store.mtime
        self._filters = RowFilters(index, LiveRows(self.dataset, index))
        if index.text_index is not None:
            self._text_versions[index.text_index.files.folder] = index.text_index
            while len(self._text_versions) > _MAX_TEXT_VERSIONS:
                del self._text_versions[next(iter(self._text_versions))]

    def _reopen_if_published(self) -> None:
        """Opens what another process published."""
        if self.index.store.mtime != self._mtime:
            index = self._open(self.index.store)
            if index is None:
                self.update()
            else:
                self._use(index)

    @property
    def version(self) -> str:
        """Names the version of the index that queries see."""
        return f"{self.index.manifest.generation}/{self.index.manifest.version}"

    def query(
        self,
        text: str | None = None,
        *,
        like: Example | Sequence[Example] = (),
        minus: Example | Sequence[Example] = (),
        where: str | None = None,
        k: int = 20,
        after: str | None = None,
        min_score: float | None = None,
        by: By = "auto",
        embeddings: str | None = None,
        collapse: bool = True,
        columns: Sequence[str] = (),
    ) -> pa.Table:
        """The `k` clips that fit best, or all that fit if those are fewer.

        `text` is looked up in captions, file names, list columns, tags and things (BM25) and, where
        a table of embeddings knows words, among its vectors; `by` says in which. `like` and `minus`
        are wanted and unwanted examples. `where` is an SQL condition on the columns of clips,
        scores, sources and verdicts; alone it lists what it leaves. Several lists are fused by
        rank. Of near-duplicates the best hit represents all, unless `collapse` is False. `after` is
        the `cursor` of the page before.

        Columns: clip_id, score (a cosine; with words alone BM25; fused, a sum of 1/(60 + rank);
        null without words and examples), source_id, uri, start_s, end_s, caption, verdict where
        there is a selection, and `columns`. Raises `SearchError` that says what to change.
        """
        query = Query(
            text, as_tuple(like), as_tuple(minus), where, k, min_score, by, embeddings, collapse
        )
        self._reopen_if_published()
        index = self.index
        if not index.manifest.rows:
            root = self.dataset.catalog.storage.root
            raise SearchError(f"the index of {root} is empty: run `reelmill scan` first")
        available = index.metadata_with_verdicts.column_names
        if unknown := [name for name in columns if name not in available]:
            raise SearchError(f"no column {', '.join(unknown)}; there are {', '.join(available)}")
        cursor = self._decode_cursor(query, after)
        ranking, examples, searched = self._ranking(query, cursor)
        groups = self._filters.groups if collapse else None
        page = next_page(ranking, query, groups, cursor, examples)
        names = [name for name in dict.fromkeys((*_COLUMNS, *columns)) if name in available]
        return self._hits_table(query, page, cursor, names, searched)

    def export(self, name: str, hits: pa.Table) -> str:
        """Stores hits as a subset that `render`, `tokenize` and the feed take as a selection.

        In a file too if the name ends in `.parquet`. Returns the subset's id; `ValueError` for a
        name that is none, and without hits.
        """
        table_metadata = hits.schema.metadata or {}
        query = json.loads(table_metadata.get(b"question", b"{}"))
        version = table_metadata.get(b"index", b"").decode()
        return subset.export_subset(self.dataset.catalog, name, hits, query, version)

    def _decode_cursor(self, query: Query, after: str | None) -> Cursor | None:
        if after is None:
            return None
        cursor = Cursor.decode(after)
        if cursor.generation != self.index.manifest.generation:
            raise CursorError("the index was rebuilt since that page: query from the start")
        if cursor.query != query.digest:
            raise CursorError("the cursor belongs to another question: repeat it as it was")
        return cursor

    def _ranking(self, query: Query, cursor: Cursor | None) -> tuple[TopHits, list[int], list[str]]:
        """The ranking of hits, the rows of examples, and what was searched."""
        num_rows = None if cursor is None else cursor.num_rows
        if not query.is_ranked:
            mask = self._filters.mask(query.where, num_rows)
            rows = np.arange(self.index.manifest.rows) if mask is None else mask.rows
            return lambda k: Hits(rows[:k], np.zeros(len(rows[:k]), np.float32)), [], []
        examples: list[int] = []
        rankings: dict[str, TopHits] = {}
        if query.like or query.by != "words":
            for table in choose_tables(query, self.index.manifest):
                ranking, examples = self._vector_ranking(query, table, num_rows)
                if ranking is not None:
                    rankings[searched_in(table)] = ranking
        if query.text is not None and query.by != "vectors":
            by_text = self._text_ranking(query, query.text, cursor)
            if by_text is not None:
                rankings["words"] = by_text
        if not rankings:
            raise SearchError(
                "there is nothing to look words up in (docs/search.md): run `reelmill scan` first"
            )
        return fused_ranking(query, list(rankings.values())), examples, list(rankings)

    def _text_ranking(self, query: Query, text: str, cursor: Cursor | None) -> TopHits | None:
        """Hits by words; None if there are no words and `by` does not insist."""
        text_index = self.index.text_index
        if cursor is not None and cursor.text_index is not None:
            text_index = self._text_versions.get(cursor.text_index)
            if text_index is None:
                raise CursorError("the captions have changed since that page: query from the start")
        if text_index is None:
            if query.by in ("words", "both"):
                raise SearchError("there are no words about any clip: run `reelmill scan` first")
            return None
        if not terms(text):
            raise SearchError(f"there are no words in {text!r}")
        mask = self._filters.mask(query.where, None if cursor is None else cursor.num_rows)
        return lambda k: text_index.search(text, k, mask)

    def _vector_ranking(
        self, query: Query, table: str, num_rows: int | None
    ) -> tuple[TopHits | None, list[int]]:
        """Hits by a table's vectors, and the rows of examples; None for words that it ignores."""
        encoder = ExampleEncoder(self.index, table, lambda: self._encoders.load(table))
        positives = [encoder.encode(example) for example in query.like]
        if query.text is not None and query.by != "words" and knows_words(table):
            positives.append(self._encoders.encode_text(table, query.text))
        negatives = [encoder.encode(example) for example in query.minus]
        if not positives:
            return None, []
        vector = combine(positives, negatives)
        index = self.index.vector_index(table)
        mask = self._filters.mask(query.where, num_rows, table)
        has_text = query.text is not None
        return lambda k: index.search(vector, k, mask, out_of_distribution=has_text), encoder.rows

    def _hits_table(
        self, query: Query, page: Page, cursor: Cursor | None, names: list[str], searched: list[str]
    ) -> pa.Table:
        table = self.index.take(page.rows, names)
        scores = page.scores.astype(float) if query.is_ranked else [None] * len(page.rows)
        table = table.add_column(1, "score", pa.array(scores, pa.float64()))
        metadata = {"index": self.version, "question": json.dumps(query.as_json())}
        metadata["searched"] = json.dumps(searched)
        if not page.is_last:
            metadata["cursor"] = self._next_cursor(query, page, cursor, len(searched) > 1).encode()
        return table.replace_schema_metadata(metadata)

    def _next_cursor(
        self, query: Query, page: Page, previous: Cursor | None, is_fused: bool
    ) -> Cursor:
        manifest = self.index.manifest
        last = page.scores[-1]
        shown = page.rows if is_fused else page.rows[page.scores == last]
        shown_before = previous.shown if previous and (is_fused or previous.score == last) else ()
        text = manifest.text.folder if manifest.text else None
        return Cursor(
            generation=manifest.generation,
            num_rows=previous.num_rows if previous else manifest.rows,
            query=query.digest,
            text_index=previous.text_index if previous else text,
            score=float(last) if query.is_ranked else None,
            row=int(page.rows[-1]),
            shown=(*shown_before, *shown.tolist()) if query.is_ranked else (),
            is_fused=is_fused,
            count=(previous.count if previous else 0) + len(page.rows),
        )


def cursor(hits: pa.Table) -> str | None:
    """What `after` takes for the page after these hits; None if they are the last."""
    text = (hits.schema.metadata or {}).get(b"cursor")
    return None if text is None else text.decode()


def searched(hits: pa.Table) -> list[str]:
    """What these hits were found by: `words`, `things`, `pictures`, `captions by meaning`."""
    return [str(name) for name in json.loads((hits.schema.metadata or {}).get(b"searched", b"[]"))]
