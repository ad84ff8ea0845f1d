"""Routes of search: by text, clips or an image, facets, and subsets of the hits."""

from __future__ import annotations

import tempfile
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import FastAPI, HTTPException, Query, Request
from pydantic import BaseModel, Field

from curation.media.picture import read_picture
from curation.search import cursor, searched
from curation.search.filters import log_mtime
from curation.search.query import ClipId, Picture
from pipelines.service import facets
from pipelines.service.auth import Searcher, Submitter
from pipelines.service.facets import Facets
from pipelines.service.outputs import Outputs
from pipelines.service.routes.clips import json_row
from pipelines.service.routes.collections import CollectionName
from pipelines.service.schemas import Name, StrictModel
from pipelines.service.service import Service

if TYPE_CHECKING:
    from curation.search import Search

_Id = Annotated[str, Field(pattern=r"^[0-9a-f]{6,64}$")]
"""Of a clip, or its first digits; never a path."""
_IMAGE_TYPES = {"image/jpeg", "image/png", "image/webp"}
_MAX_OPEN = 4
"""Indexes that are kept open."""


class SearchRequest(StrictModel):
    """A query: text, clips, a condition, or several of them."""

    text: Annotated[str, Field(min_length=1, max_length=1000)] | None = None
    """Looked up in words about clips, among the things that they show or, where open_clip is
    configured, among their pictures."""
    like: Annotated[list[_Id], Field(max_length=20, default_factory=list)]
    """Clips to resemble."""
    minus: Annotated[list[_Id], Field(max_length=20, default_factory=list)]
    """Clips not to resemble."""
    where: Annotated[str, Field(max_length=2000)] | None = None
    """An SQL condition on columns, such as `duration_s > 3 and camera = 'pan_left'`."""
    top: Annotated[int, Field(ge=1, le=500)] = 20
    after: Annotated[str, Field(max_length=100_000)] | None = None
    """The `next` of the previous page."""
    min_score: float | None = None
    by: Literal["auto", "words", "vectors", "both"] = "auto"
    collapse: bool = True
    """Only the best hit of near-duplicates."""


class SubsetRequest(SearchRequest):
    """A query whose hits are stored as a subset."""

    name: Name
    top: Annotated[int, Field(ge=1, le=10_000)] = 20


class FacetRequest(StrictModel):
    """Filters under which clips are counted."""

    where: Annotated[str, Field(max_length=2000)] | None = None
    """An SQL condition, as in a query."""
    words: Annotated[
        dict[Annotated[str, Field(max_length=64)], list[Annotated[str, Field(max_length=200)]]],
        Field(max_length=40, default_factory=dict),
    ]
    """By column the values of which a clip has one."""


class SearchResults(BaseModel):
    """Hits, best first."""

    hits: list[dict[str, Any]]
    next: str | None
    """The `after` of the next page."""
    searched: list[str]
    """What text and examples were compared with: `words` (of captions, file names, list columns,
    tags), `things` that clips show, `pictures` (their embeddings), `captions by meaning`."""


class SubsetView(BaseModel):
    """A subset, which `render`, `tokenize` and `export` take as a selection."""

    subset: str
    clips: int


@dataclass(eq=False)
class _OpenSearch:
    """One open index."""

    search: Search | None = None
    mtime: Any = None
    """Of the table of runs when the index was last updated."""
    lock: threading.Lock = field(default_factory=threading.Lock)


class SearchCache:
    """Open indexes, each updated when its tables have changed; one that is busy blocks no other."""

    def __init__(self, outputs: Outputs) -> None:
        self._outputs = outputs
        self._open: OrderedDict[str, _OpenSearch] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, name: str) -> Search:
        """The search of a collection."""
        from curation.search import Search

        dataset = self._outputs.open(name)
        mtime = log_mtime(dataset.catalog, "runs")
        with self._lock:
            entry = self._open.setdefault(name, _OpenSearch())
            self._open.move_to_end(name)
            while len(self._open) > _MAX_OPEN:
                self._open.popitem(last=False)
        with entry.lock:
            if entry.search is None:
                entry.search = Search(dataset.catalog.storage.root)
            elif mtime is None or entry.mtime != mtime:
                entry.search.update()
            entry.mtime = mtime
            return entry.search


def add(app: FastAPI, service: Service) -> None:
    """Adds the routes."""
    searches, computed = SearchCache(service.outputs), service.computations.route

    @app.post("/v1/collections/{name}/search")
    @computed
    def search(name: CollectionName, query: SearchRequest, caller: Searcher) -> SearchResults:
        """Clips that match a query."""
        return _results(_run(searches.get(name), query))

    @app.post("/v1/collections/{name}/search/picture", openapi_extra=_IMAGE_BODY)
    async def search_by_picture(  # noqa: PLR0917  a query string has no order
        name: CollectionName, caller: Searcher, request: Request,
        top: Annotated[int, Query(ge=1, le=500)] = 20,
        where: Annotated[str | None, Query(max_length=2000)] = None,
        collapse: bool = True,
    ) -> SearchResults:  # fmt: skip
        """Clips that look like the JPEG, PNG or WebP image in the body."""
        if request.headers.get("content-type") not in _IMAGE_TYPES:
            raise HTTPException(415, f"send one of {', '.join(sorted(_IMAGE_TYPES))}")
        image = await request.body()

        def run() -> SearchResults:
            with tempfile.NamedTemporaryFile(prefix="reelmill-") as file:
                file.write(image)
                file.flush()
                picture = read_picture(file.name)
            if picture is None:
                raise HTTPException(422, "the body is no JPEG, PNG or WebP image")
            query = SearchRequest(like=[], minus=[], top=top, where=where, collapse=collapse)
            return _results(_run(searches.get(name), query, [picture]))

        return await service.computations.run(caller.name, run, decodes=True)

    @app.post("/v1/collections/{name}/facets")
    @computed
    def count_facets(name: CollectionName, filters: FacetRequest, caller: Searcher) -> Facets:
        """The values to filter by, and how many clips have them."""
        table = searches.get(name).index.metadata_with_verdicts
        return facets.count(table, filters.where, filters.words)

    @app.post("/v1/collections/{name}/subsets", status_code=201)
    @computed
    def store_subset(name: CollectionName, subset: SubsetRequest, caller: Submitter) -> SubsetView:
        """Stores the hits of a query as a subset, which jobs take as their selection."""
        search = searches.get(name)
        hits = _run(search, subset)
        if not hits.num_rows:
            raise HTTPException(409, "the query has no hits, so that there is nothing to store")
        return SubsetView(subset=search.export(subset.name, hits), clips=hits.num_rows)


_IMAGE_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            kind: {"schema": {"type": "string", "format": "binary"}} for kind in _IMAGE_TYPES
        },
    }
}


_HIT_COLUMNS = ("reason", "duplicate_of", "duration_s", "width", "height", "fps")
"""Further columns of a hit, where the index has them."""


def _run(search: Search, query: SearchRequest, images: Sequence[Picture] = ()) -> Any:
    columns = search.index.metadata_with_verdicts.column_names
    return search.query(
        query.text,
        like=[*map(ClipId, query.like), *images],
        minus=list(map(ClipId, query.minus)),
        where=query.where,
        k=query.top,
        after=query.after,
        min_score=query.min_score,
        by=query.by,
        collapse=query.collapse,
        columns=[name for name in _HIT_COLUMNS if name in columns],
    )


def _results(table: Any) -> SearchResults:
    hits = [json_row(row) for row in table.to_pylist()]
    return SearchResults(hits=hits, next=cursor(table), searched=searched(table))
