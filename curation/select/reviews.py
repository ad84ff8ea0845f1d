"""Reviews: clips that people keep or drop by hand, with who and when, in the table `reviews`.

A review is a row; of a clip the newest counts, and `undo` withdraws the one before. Selections keep
and drop these clips whatever the policy says, from the next `select` on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from curation import records
from curation.catalog import Catalog
from curation.errors import ReelmillError
from curation.records import Clip, Review
from curation.row_times import time_after
from curation.select.policy import Policy

REVIEWS = "reviews"
Decision = Literal["keep", "drop", "undo"]


class ReviewError(ReelmillError, ValueError):
    """A review of a clip that does not exist."""


def review_clips(
    catalog: Catalog, decisions: Mapping[str, Decision], by: str, note: str | None = None
) -> None:
    """Stores decisions by clip, all or none; raises `ReviewError` for an unknown clip."""
    ids = pa.array(decisions.keys(), pa.string())
    known = catalog.read("clips", Clip, ["clip_id"], pc.field("clip_id").isin(ids))["clip_id"]
    unknown = ids.filter(pc.invert(pc.is_in(ids, known)))
    if len(unknown):
        raise ReviewError(f"there is no clip {unknown[0].as_py()}")
    newest = pc.max(catalog.read(REVIEWS, Review, ["at"])["at"]).as_py()
    at = time_after([newest], "microseconds")
    rows = [Review(clip_id, decision, by, at, note) for clip_id, decision in decisions.items()]
    if rows:
        catalog.append(REVIEWS, Review, records.to_table(Review, rows))


def current_reviews(catalog: Catalog, clip_id: str | None = None) -> dict[str, Review]:
    """By clip the review that counts, the oldest first; of one clip alone if it is named."""
    where = None if clip_id is None else pc.field("clip_id") == clip_id
    rows = catalog.read(REVIEWS, Review, where=where).sort_by("at")
    current: dict[str, Review] = {}
    for review in records.from_table(Review, rows):
        current.pop(review.clip_id, None)
        if review.decision != "undo":
            current[review.clip_id] = review
    return current


def with_reviews(policy: Policy, catalog: Catalog) -> Policy:
    """The policy with the clips that are kept and dropped by hand."""
    decided: dict[str, list[str]] = {"keep": [], "drop": []}
    for clip_id, review in sorted(current_reviews(catalog).items()):
        decided[review.decision].append(clip_id)
    return replace(
        policy, kept_by_hand=tuple(decided["keep"]), dropped_by_hand=tuple(decided["drop"])
    )
