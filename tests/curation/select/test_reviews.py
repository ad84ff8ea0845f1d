"""Clips kept and dropped by hand."""

import pytest

from curation.dataset import Dataset
from curation.select.policy import Policy, Range
from curation.select.reviews import ReviewError, current_reviews, review_clips, with_reviews
from curation.select.selection import select
from tests.rows import MeasuredClip, add_source, make_clip

MOVING = {"motion": Range(min=0.2)}


@pytest.fixture
def made(tmp_path):
    """Three clips: one that the policy keeps, one that it filters, one that it keeps."""
    dataset = Dataset(tmp_path)
    clips = [
        MeasuredClip(make_clip("a" * 64, 48 * n, 48 * n + 48), scores={"motion": motion})
        for n, motion in enumerate((0.5, 0.1, 0.5))
    ]
    add_source(dataset, "/v/film.mp4", clips)
    return dataset, [clip.clip.clip_id for clip in clips]


def verdicts(dataset, ids, policy):
    selection = select(dataset, policy)
    rows = dataset.selection(selection.selection_id).to_pylist()
    by_id = {row["clip_id"]: row["reason"] or row["verdict"] for row in rows}
    return [by_id[clip_id] for clip_id in ids]


def test_what_people_decide_comes_before_the_policy_and_can_be_taken_back(made):
    dataset, ids = made
    policy = Policy(MOVING, near_duplicates=None)
    assert verdicts(dataset, ids, policy) == ["kept", "little_motion", "kept"]
    before = select(dataset, policy).selection_id
    review_clips(dataset.catalog, {ids[0]: "drop"}, "ann", "a logo")
    review_clips(dataset.catalog, {ids[1]: "keep"}, "bob")
    assert verdicts(dataset, ids, policy) == ["excluded", "kept", "kept"]
    review_clips(dataset.catalog, {ids[0]: "keep"}, "ann")
    assert verdicts(dataset, ids, policy) == ["kept", "kept", "kept"]
    review_clips(dataset.catalog, dict.fromkeys(ids[:2], "undo"), "ann")
    assert verdicts(dataset, ids, policy) == ["kept", "little_motion", "kept"]
    assert select(dataset, policy).selection_id == before, "as if nothing had been decided"


def test_decisions_come_before_the_lists_of_the_policy(made):
    dataset, ids = made
    review_clips(dataset.catalog, {ids[0]: "drop"}, "ann")
    review_clips(dataset.catalog, {ids[2]: "keep"}, "ann")
    lists = Policy(MOVING, near_duplicates=None, include=(ids[0][:8],), exclude=(ids[2][:8],))
    assert verdicts(dataset, ids, lists) == ["excluded", "little_motion", "kept"]


def test_who_and_when_are_kept_and_the_newest_counts(made):
    dataset, ids = made
    review_clips(dataset.catalog, dict.fromkeys(ids, "drop"), "ann")
    review_clips(dataset.catalog, {ids[1]: "keep"}, "bob", "good light")
    current = current_reviews(dataset.catalog)
    assert list(current) == [*sorted({ids[0], ids[2]}, key=list(current).index), ids[1]]
    review = current[ids[1]]
    assert (review.decision, review.by, review.note) == ("keep", "bob", "good light")
    assert review.at > current[ids[0]].at
    policy = with_reviews(Policy(), dataset.catalog)
    assert (policy.kept_by_hand, set(policy.dropped_by_hand)) == ((ids[1],), {ids[0], ids[2]})
    with pytest.raises(ReviewError, match="there is no clip f00"):
        review_clips(dataset.catalog, {ids[0]: "keep", "f00": "drop"}, "ann")
    assert current_reviews(dataset.catalog) == current, "and none of these decisions was stored"
