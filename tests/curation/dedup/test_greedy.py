import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.dedup.greedy import Relation, Standing, greedy


def relation(count, links, group=None, apart=None, reason="near_duplicate") -> Relation:
    """Both ways of each (one, other, similarity)."""
    both = [*links, *((b, a, s) for a, b, s in links)]
    one, other, similarity = (np.array(column) for column in zip(*both, strict=True))
    known = np.arange(count) if group is None else np.array(group)
    return Relation(reason, known, one, other, similarity, apart)


def one_way(count, links) -> Relation:
    one, other, similarity = (np.array(column) for column in zip(*links, strict=True))
    return Relation("near_duplicate", np.arange(count), one, other, similarity)


def rows(found: dict[int, Standing]) -> dict[int, tuple[int, float]]:
    return {row: (standing.row, standing.similarity) for row, standing in found.items()}


@settings(max_examples=60, deadline=None)
@given(data=st.data(), count=st.integers(2, 12))
def test_every_dropped_clip_has_a_kept_one_and_kept_ones_are_apart(data, count):
    possible = list(itertools.combinations(range(count), 2))
    chosen = data.draw(st.lists(st.sampled_from(possible), min_size=1, unique=True))
    links = [(a, b, 0.8 + 0.01 * at) for at, (a, b) in enumerate(chosen)]
    order = data.draw(st.permutations(range(count)))
    found = rows(greedy(order, [relation(count, links)]))
    kept = set(order) - found.keys()
    near = {frozenset((a, b)): s for a, b, s in links}
    for row, (standing, similarity) in found.items():
        assert standing in kept
        assert order.index(standing) < order.index(row)
        assert near[frozenset((row, standing))] == similarity
        before = [k for k in kept if order.index(k) < order.index(row)]
        others = [near.get(frozenset((row, k)), 0) for k in before]
        assert similarity == max(others)
    assert not any(frozenset(pair) in near for pair in itertools.combinations(kept, 2))


def test_a_chain_keeps_its_second_link_for_the_third():
    """Comparing with dropped clips as well would drop 2, which no kept clip resembles."""
    assert rows(greedy([0, 1, 2], [relation(3, [(1, 0, 0.9), (2, 1, 0.9)])])) == {1: (0, 0.9)}


def test_pairs_with_clips_outside_the_order_count_for_nothing():
    assert greedy([1], [relation(2, [(1, 0, 0.9)])]) == {}


def test_identical_clips_share_their_neighbours():
    """1, 2 and 3 are the same, known by 3, which alone was searched for and is not wanted."""
    links = relation(5, [(3, 0, 0.9)], group=[0, 3, 3, 3, 4])
    assert rows(greedy([1, 2, 0, 4], [links])) == {2: (1, 1.0), 0: (1, 0.9)}
    assert rows(greedy([0, 1, 2, 4], [links])) == {1: (0, 0.9), 2: (0, 0.9)}


def test_a_link_may_count_in_one_way_only():
    """A short piece does not stand for the long clip that it was cut from."""
    links = one_way(2, [(1, 0, 0.9)])
    assert rows(greedy([0, 1], [links])) == {1: (0, 0.9)}
    assert greedy([1, 0], [links]) == {}


def test_clips_that_belong_together_are_no_duplicates_of_each_other():
    links = [(1, 0, 0.99), (2, 1, 0.9), (2, 0, 0.95)]
    found = greedy([0, 1, 2], [relation(3, links, apart=["shot", "shot", "other"])])
    assert rows(found) == {2: (0, 0.95)}
    same = relation(3, links, group=[0, 0, 0], apart=["shot", "shot", "other"])
    assert rows(greedy([0, 1, 2], [same])) == {2: (0, 1.0)}


@pytest.mark.parametrize(("order", "expected"), [
    ([0, 1, 2], {1: "near_duplicate", 2: "semantic_duplicate"}),
    ([2, 1, 0], {1: "semantic_duplicate", 0: "semantic_duplicate"}),
])  # fmt: skip
def test_the_first_relation_gives_the_reason(order, expected):
    copies = relation(3, [(1, 0, 0.9)])
    meaning = relation(3, [(1, 0, 0.99), (2, 0, 0.95), (2, 1, 0.96)], reason="semantic_duplicate")
    found = greedy(order, [copies, meaning])
    assert {row: standing.reason for row, standing in found.items()} == expected
