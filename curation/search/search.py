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
from curation.search import cursor as cursors
from curation.search.cursor import Cursor
from curation.search.encoders import Encoders, chosen, knows_words
from curation.search.errors import CursorError, SearchError
from curation.search.examples import Example, Examples, combined
from curation.search.filters import Masks
from curation.search.index import Checked, Index
from curation.search.mask import Ints
from curation.search.query import By, Question, listed
from curation.search.ranking import Page, Ranked, page, together
from curation.search.store import DamagedIndexError, Folder
from curation.search.text_index import WordIndex, terms
from curation.search.tombstones import Present
from curation.search.update import Updated, Watch, update
from curation.search.vector_index import Near

_SHOWN = ("clip_id", "source_id", "uri", "start_s", "end_s", "caption")
_MASKS = 16
_VERSIONS = 4


class Search:
    """An output's index, open. Threads may share it."""

    def __init__(
        self,
        place: str | os.PathLike[str],
        *,
        model: str | None = None,
        refresh: bool = True,
        watch: Watch = lambda _: None,
    ) -> None:
        """Opens the index and brings it up to date, or makes it.

        With `refresh` False an index that is there is taken as it is. `model` names the open_clip
        model that words and pictures are embedded by, where no run recorded it.
        """
        self.dataset = Dataset(place)
        """The output."""
        self._checked: Checked = set()
        self._encoders = Encoders(self.dataset, model)
        self._words: dict[str, WordIndex] = {}
        self.updated: Updated | None = None
        """What the last update did."""
        found = None if refresh else self._opened(Folder.of(self.dataset.catalog.storage))
        if found is None:
            self.update(watch)
        else:
            self._adopt(found)

    def _opened(self, folder: Folder) -> Index | None:
        """The index as it lies there; None if there is none, or it is damaged."""
        try:
            return Index.open(folder, self._checked)
        except DamagedIndexError:
            return None

    def update(self, watch: Watch = lambda _: None) -> Updated:
        """Takes in what came to the tables since; queries see it from then on."""
        before = getattr(self, "index", None)
        self.updated = update(self.dataset, self._checked, watch, before)
        self._adopt(self.updated.index)
        return self.updated

    def _adopt(self, index: Index) -> None:
        self.index = index
        self._stamp = index.folder.stamp
        self._masks = Masks(index, Present(self.dataset, index))
        if index.words is not None:
            self._words[index.words.said.folder] = index.words
            while len(self._words) > _VERSIONS:
                del self._words[next(iter(self._words))]

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

        `text` is looked up in captions (BM25) and, where a table of embeddings knows words, among
        its vectors; `by` says in which. `like` and `minus` are wanted and unwanted examples.
        `where` is an SQL condition on the columns of clips, scores, sources and verdicts; alone it
        lists what it leaves. Several lists are fused by rank. Of near-duplicates the best hit
        stands for all, unless `collapse` is False. `after` is the `cursor` of the page before.

        Columns: clip_id, score (a cosine; with words alone BM25; fused, a sum of 1/(60 + rank);
        null without words and examples), source_id, uri, start_s, end_s, caption, verdict where
        there is a selection, and `columns`. Raises `SearchError` that says what to change.
        """
        question = Question(
            text, listed(like), listed(minus), where, k, min_score, by, embeddings, collapse
        )
        self._follow()
        index = self.index
        if not index.manifest.rows:
            place = self.dataset.catalog.storage.root
            raise SearchError(f"the index of {place} is empty: run `reelmill scan` first")
        known = index.judged.column_names
        if unknown := [name for name in columns if name not in known]:
            raise SearchError(f"no column {', '.join(unknown)}; there are {', '.join(known)}")
        start = self._started(question, after)
        ranked, own, is_fused = self._ranked(question, start)
        groups = self._masks.groups if collapse else None
        found = page(ranked, question, groups, start, own)
        shown = [name for name in (*_SHOWN, "verdict", *columns) if name in known]
        return self._table(question, found, start, list(dict.fromkeys(shown)), is_fused)

    def export(self, name: str, hits: pa.Table) -> str:
        """Keeps hits as a subset that `render`, `tokenize` and the feed take as a selection.

        In a file too if the name ends in `.parquet`. Returns the subset's id; `ValueError` for a
        name that is none, and without hits.
        """
        said = hits.schema.metadata or {}
        question, index = json.loads(said.get(b"question", b"{}")), said.get(b"index", b"")
        return subset.export(self.dataset.catalog, name, hits, question, index.decode())

    def _follow(self) -> None:
        """Takes up what another process published."""
        if self.index.folder.stamp != self._stamp:
            found = self._opened(self.index.folder)
            if found is None:
                self.update()
            else:
                self._adopt(found)

    def _started(self, question: Question, after: str | None) -> Cursor | None:
        if after is None:
            return None
        found = cursors.read(after)
        if found.generation != self.index.manifest.generation:
            raise CursorError("the index was made anew since that page: ask from the start")
        if found.query != question.digest:
            raise CursorError("the cursor belongs to another question: repeat it as it was")
        return found

    def _ranked(self, question: Question, start: Cursor | None) -> tuple[Ranked, list[int], bool]:
        """The list of hits, rows that are no hits (the examples), and whether it is fused."""
        if question.text is None and not question.like:
            mask = self._masks.of(question.where, _rows(start))
            rows = np.arange(self.index.manifest.rows) if mask is None else mask.rows
            return lambda depth: _unranked(rows[:depth]), [], False
        parts: list[Ranked] = []
        own: list[int] = []
        if question.like or question.by != "words":
            part, own = self._near(question, start)
            parts += [part] if part else []
        if question.text is not None and question.by != "vectors":
            part = self._worded(question, start)
            parts += [part] if part else []
        if not parts:
            raise SearchError(
                "there is nothing to look words up in: no captions (`reelmill caption` writes them)"
                " and no vectors that know words (docs/search.md)"
            )
        return together(question, parts), own, len(parts) > 1

    def _worded(self, question: Question, start: Cursor | None) -> Ranked | None:
        """Hits by caption; None if there are no captions and `by` does not insist."""
        words = self.index.words
        if start is not None and start.words is not None:
            words = self._words.get(start.words)
            if words is None:
                raise CursorError("the captions have changed since that page: ask from the start")
        if words is None:
            if question.by in ("words", "both"):
                raise SearchError("no clip has a caption yet: run `reelmill caption` first")
            return None
        text = question.text or ""
        if not terms(text):
            raise SearchError(f"there are no words in {text!r}")
        mask = self._masks.of(question.where, _rows(start))
        return lambda depth: words.search(text, depth, mask)

    def _near(self, question: Question, start: Cursor | None) -> tuple[Ranked | None, list[int]]:
        """Hits by vector; None if words are all there is and no table knows any."""
        table = chosen(question, self.index.manifest)
        if table is None:
            return None, []
        examples = Examples(self.index, table, lambda: self._encoders.of(table))
        plus = [examples.vector(example) for example in question.like]
        if question.text is not None and question.by != "words" and knows_words(table):
            plus.append(self._encoders.text(table, question.text))
        minus = [examples.vector(example) for example in question.minus]
        if not plus:
            return None, []
        query = combined(plus, minus)
        vectors = self.index.vectors(table)
        mask = self._masks.of(question.where, _rows(start), table)
        stray = question.text is not None
        return lambda depth: vectors.search(query, depth, mask, stray=stray), examples.rows

    def _table(
        self,
        question: Question,
        found: Page,
        start: Cursor | None,
        names: list[str],
        is_fused: bool,
    ) -> pa.Table:
        table = self.index.take(found.rows, names)
        is_ranked = question.text is not None or bool(question.like)
        scores = pa.array(
            found.scores.astype(float) if is_ranked else [None] * len(found.rows), pa.float64()
        )
        table = table.add_column(1, "score", scores)
        said = {"index": self.version, "question": json.dumps(question.said())}
        if not found.is_last:
            said["cursor"] = self._cursor(question, found, start, is_ranked, is_fused).written()
        return table.replace_schema_metadata(said)

    def _cursor(
        self, question: Question, found: Page, start: Cursor | None, is_ranked: bool, is_fused: bool
    ) -> Cursor:
        manifest = self.index.manifest
        words = manifest.words.folder if manifest.words else None
        last = found.scores[-1]
        shown = found.rows if is_fused else found.rows[found.scores == last]
        before = start.shown if start and (is_fused or start.score == last) else ()
        return Cursor(
            generation=manifest.generation,
            rows=start.rows if start else manifest.rows,
            query=question.digest,
            words=start.words if start else words,
            score=float(last) if is_ranked else None,
            row=int(found.rows[-1]),
            shown=(*before, *shown.tolist()) if is_ranked else (),
            is_fused=is_fused,
            count=(start.count if start else 0) + len(found.rows),
        )

    @property
    def version(self) -> str:
        """Names the version of the index that queries see."""
        return f"{self.index.manifest.generation}/{self.index.manifest.version}"


def cursor(hits: pa.Table) -> str | None:
    """What `after` takes for the page after these hits; None if they are the last."""
    said = (hits.schema.metadata or {}).get(b"cursor")
    return None if said is None else said.decode()


def _rows(start: Cursor | None) -> int | None:
    """How many rows take part; None for all."""
    return None if start is None else start.rows


def _unranked(rows: Ints) -> Near:
    return Near(rows, np.zeros(len(rows), np.float32))
