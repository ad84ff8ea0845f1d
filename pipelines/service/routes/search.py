"""Routes of search: by words, by clips, by a picture that is sent, and keeping what was found."""

from __future__ import annotations

import tempfile
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import FastAPI, HTTPException, Query, Request
from pydantic import BaseModel, Field

from pipelines.service import facets
from pipelines.service.auth import Searcher, Submitter
from pipelines.service.facets import Facets
from pipelines.service.outputs import Outputs
from pipelines.service.routes.clips import plain
from pipelines.service.routes.collections import CollectionName
from pipelines.service.schemas import Name, Record
from pipelines.service.service import Service

if TYPE_CHECKING:
    from curation.search import Search

_Id = Annotated[str, Field(pattern=r"^[0-9a-f]{6,64}$")]
"""Of a clip, or its first digits. No path has this form."""
_PICTURES = {"image/jpeg", "image/png", "image/webp"}
_OPEN = 4
"""Indexes that are open at a time."""


class Question(Record):
    """What is looked for: words, clips, a condition, or several of them."""

    text: Annotated[str, Field(min_length=1, max_length=1000)] | None = None
    """Looked up in captions and, where a model knows words, among the pictures."""
    like: Annotated[list[_Id], Field(max_length=20, default_factory=list)]
    """Wanted clips."""
    minus: Annotated[list[_Id], Field(max_length=20, default_factory=list)]
    """Unwanted clips."""
    where: Annotated[str, Field(max_length=2000)] | None = None
    """A condition on columns, such as `duration_s > 3 and camera = 'pan_left'`."""
    top: Annotated[int, Field(ge=1, le=500)] = 20
    after: Annotated[str, Field(max_length=100_000)] | None = None
    """The `next` of the page before."""
    min_score: float | None = None
    by: Literal["auto", "words", "vectors", "both"] = "auto"
    collapse: bool = True
    """Of near-duplicates only the best hit."""


class Subset(Question):
    """A question whose hits are kept as a subset."""

    name: Name
    top: Annotated[int, Field(ge=1, le=10_000)] = 20


class Narrowing(Record):
    """What clips are to be counted under."""

    where: Annotated[str, Field(max_length=2000)] | None = None
    """A condition, as in a question."""
    words: Annotated[
        dict[Annotated[str, Field(max_length=64)], list[Annotated[str, Field(max_length=200)]]],
        Field(max_length=40, default_factory=dict),
    ]
    """By column the words of which one is wanted."""


class Hits(BaseModel):
    """What was found, best first."""

    hits: list[dict[str, Any]]
    next: str | None
    """Give it as `after` to go on."""


class Kept(BaseModel):
    """A subset that `render`, `tokenize` and `export` take as a selection."""

    subset: str
    clips: int


class Searches:
    """Indexes that are open, each brought up to date when its tables have changed."""

    def __init__(self, outputs: Outputs) -> None:
        self._outputs = outputs
        self._open: OrderedDict[str, tuple[int, Search]] = OrderedDict()
        self._turn = threading.Lock()

    def of(self, name: str) -> Search:
        """The search of a collection."""
        from curation.search import Search

        dataset = self._outputs.opened(name)
        version = dataset.catalog.version("runs")
        with self._turn:
            found = self._open.pop(name, None)
            if found is None:
                found = (version, Search(dataset.catalog.storage.root))
            elif found[0] != version:
                found[1].update()
                found = (version, found[1])
            self._open[name] = found
            while len(self._open) > _OPEN:
                self._open.popitem(last=False)
            return found[1]


def add(app: FastAPI, service: Service) -> None:
    """Adds the routes."""
    searches = Searches(service.outputs)

    @app.post("/v1/collections/{name}/search")
    def search(name: CollectionName, question: Question, caller: Searcher) -> Hits:
        """Clips that fit."""
        return _hits(_asked(searches.of(name), question))

    @app.post("/v1/collections/{name}/search/picture", openapi_extra=_PICTURE_BODY)
    async def search_by_picture(  # noqa: PLR0917  a query string has no order
        name: CollectionName, caller: Searcher, request: Request,
        top: Annotated[int, Query(ge=1, le=500)] = 20,
        where: Annotated[str | None, Query(max_length=2000)] = None,
        collapse: bool = True,
    ) -> Hits:  # fmt: skip
        """Clips that look like the JPEG, PNG or WebP picture that is the body."""
        from anyio.to_thread import run_sync

        if request.headers.get("content-type") not in _PICTURES:
            raise HTTPException(415, f"send one of {', '.join(sorted(_PICTURES))}")
        picture = await request.body()

        def look() -> Hits:
            with tempfile.NamedTemporaryFile(prefix="reelmill-") as file:
                file.write(picture)
                file.flush()
                question = Question(like=[], minus=[], top=top, where=where, collapse=collapse)
                return _hits(_asked(searches.of(name), question, [file.name]))

        return await run_sync(look)

    @app.post("/v1/collections/{name}/facets")
    def count_facets(name: CollectionName, narrowing: Narrowing, caller: Searcher) -> Facets:
        """What the clips can be narrowed by, and how many are left."""
        table = searches.of(name).index.judged
        return facets.count(table, narrowing.where, narrowing.words)

    @app.post("/v1/collections/{name}/subsets", status_code=201)
    def keep(name: CollectionName, subset: Subset, caller: Submitter) -> Kept:
        """Keeps the hits of a question as a subset, which jobs take as their selection."""
        search = searches.of(name)
        hits = _asked(search, subset)
        if not hits.num_rows:
            raise HTTPException(409, "nothing was found, so that there is nothing to keep")
        return Kept(subset=search.export(subset.name, hits), clips=hits.num_rows)


_PICTURE_BODY = {
    "requestBody": {
        "required": True,
        "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in _PICTURES},
    }
}


_BESIDE = ("reason", "duplicate_of", "duration_s", "width", "height", "fps")
"""What else is shown of a hit, where it is known."""


def _asked(search: Search, question: Question, pictures: Sequence[str] = ()) -> Any:
    known = search.index.judged.column_names
    return search.query(
        question.text,
        like=[*question.like, *pictures],
        minus=question.minus,
        where=question.where,
        k=question.top,
        after=question.after,
        min_score=question.min_score,
        by=question.by,
        collapse=question.collapse,
        columns=[name for name in _BESIDE if name in known],
    )


def _hits(table: Any) -> Hits:
    said = (table.schema.metadata or {}).get(b"cursor")
    rows = [plain(row) for row in table.to_pylist()]
    return Hits(hits=rows, next=said.decode() or None if said else None)
