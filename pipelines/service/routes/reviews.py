"""Routes of reviews: what people decide about clips by hand."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field

from curation.records import Review
from curation.select.reviews import Decision, ReviewError, current_reviews, review_clips
from pipelines.service.auth import Reader, Submitter
from pipelines.service.routes.collections import CollectionName
from pipelines.service.schemas import StrictModel
from pipelines.service.service import Service

_ClipId = Annotated[str, Field(pattern=r"^[0-9a-f]{16,64}$")]
_MAX_REVIEWS = 10_000


class ReviewRequest(StrictModel):
    """A decision about clips, which the next `select` applies."""

    clips: Annotated[list[_ClipId], Field(min_length=1, max_length=1000)]
    decision: Decision
    """`keep`, `drop`, or `undo`, which withdraws what was decided before."""
    note: Annotated[str, Field(max_length=500)] | None = None


class ReviewView(BaseModel):
    """A decision that counts."""

    clip_id: str
    decision: str
    by: str
    """The API key that decided, or the user of a command."""
    at: str
    note: str | None


class ReviewList(BaseModel):
    """The newest decisions, the newest first."""

    reviews: list[ReviewView]
    total: int


class ReviewsStored(BaseModel):
    """What was stored."""

    clips: int
    by: str


def add(app: FastAPI, service: Service) -> None:
    """Adds the routes."""
    outputs, computed = service.outputs, service.computations.route

    @app.get("/v1/collections/{name}/reviews")
    @computed
    def list_reviews(name: CollectionName, caller: Reader) -> ReviewList:
        """The clips that were kept or dropped by hand."""
        current = current_reviews(outputs.open(name).catalog)
        newest = list(current.values())[: -_MAX_REVIEWS - 1 : -1]
        return ReviewList(reviews=[_view(review) for review in newest], total=len(current))

    @app.post("/v1/collections/{name}/reviews", status_code=201)
    @computed
    def review(name: CollectionName, request: ReviewRequest, caller: Submitter) -> ReviewsStored:
        """Keeps or drops clips by hand, or withdraws that; the next selection applies it."""
        catalog = outputs.open(name).catalog
        decisions = dict.fromkeys(request.clips, request.decision)
        try:
            review_clips(catalog, decisions, caller.name, request.note)
        except ReviewError as error:
            raise HTTPException(404, str(error)) from error
        return ReviewsStored(clips=len(decisions), by=caller.name)


def _view(review: Review) -> ReviewView:
    return ReviewView(**asdict(review))
