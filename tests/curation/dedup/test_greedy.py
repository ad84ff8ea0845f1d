import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.dedup.greedy import DuplicateGraph, Representative, greedy_duplicates


def graph(count, links, group=None, exclude_group=None, reason="near_duplicate") -> DuplicateGraph:
    """Both ways of each (one, other, similarity)."""
    both = [*links, *((b, a, s) for a, b, s in links)]
    one, other, similarity = (np.array(column) for column in zip(*both, strict=True))
    groups = np.arange(count) if group is None else np.array(group)
    return DuplicateGraph(reason, groups, one, other, similarity, exclude_group)


def one_way(count, links) -> DuplicateGraph:
    one, other, similarity = (np.array(column) for column in zip(*links, strict=True))
    return DuplicateGraph("near_duplicate", np.arange(count), one, other, similarity)


def rows(duplicates: dict[int, Representative]) -> dict[int, tuple[int, float]]:
    return {row: (r.row, r.similarity) for row, r in duplicates.items()}


@settings(max_examples=60, deadline=None)
@given(data=st.data(), count=st.integers(2, 12))
def test_every_dropped_clip_has_a_representative_and_no_kept_ones_are_linked(data, count):
    possible = list(itertools.combinations(range(count), 2))
    chosen = data.draw(st.lists(st.sampled_from(possible), min_size=1, unique=True))
    links = [(a, b, 0.8 + 0.01 * at) for at, (a, b) in enumerate(chosen)]
    order = data.draw(st.permutations(range(count)))
    duplicates = rows(greedy_duplicates(order, [graph(count, links)]))
    kept = set(order) - duplicates.keys()
    near = {frozenset((a, b)): s for a, b, s in links}
    for row, (representative, similarity) in duplicates.items():
        assert representative in kept
        assert order.index(representative) < order.index(row)
        assert near[frozenset((row, representative))] == similarity
        better = [k for k in kept if order.index(k) < order.index(row)]
        assert similarity == max(near.get(frozenset((row, k)), 0) for k in better)
    assert not any(frozenset(pair) in near for pair in itertools.combinations(kept, 2))


def test_a_chain_keeps_its_second_link_for_the_third():
    """Comparing with dropped clips as well would drop 2, which no kept clip resembles."""
    chain = graph(3, [(1, 0, 0.9), (2, 1, 0.9)])
    assert rows(greedy_duplicates([0, 1, 2], [chain])) == {1: (0, 0.9)}


def test_links_with_clips_outside_the_order_are_ignored():
    assert greedy_duplicates([1], [graph(2, [(1, 0, 0.9)])]) == {}


def test_identical_clips_share_their_neighbours():
    """1, 2 and 3 are the same, known by 3, which alone was searched for and is not wanted."""
    links = graph(5, [(3, 0, 0.9)], group=[0, 3, 3, 3, 4])
    assert rows(greedy_duplicates([1, 2, 0, 4], [links])) == {2: (1, 1.0), 0: (1, 0.9)}
    assert rows(greedy_duplicates([0, 1, 2, 4], [links])) == {1: (0, 0.9), 2: (0, 0.9)}


def test_a_link_may_be_directed():
    """A short piece does not represent the long clip that it was cut from."""
    links = one_way(2, [(1, 0, 0.9)])
    assert rows(greedy_duplicates([0, 1], [links])) == {1: (0, 0.9)}
    assert greedy_duplicates([1, 0], [links]) == {}


def test_clips_of_one_exclude_group_are_no_duplicates_of_each_other():
    links = [(1, 0, 0.99), (2, 1, 0.9), (2, 0, 0.95)]
    duplicates = greedy_duplicates(
        [0, 1, 2], [graph(3, links, exclude_group=["shot", "shot", "other"])]
    )
    assert rows(duplicates) == {2: (0, 0.95)}
    same = graph(3, links, group=[0, 0, 0], exclude_group=["shot", "shot", "other"])
    assert rows(greedy_duplicates([0, 1, 2], [same])) == {2: (0, 1.0)}


@pytest.mark.parametrize(("order", "expected"), [
    ([0, 1, 2], {1: "near_duplicate", 2: "semantic_duplicate"}),
    ([2, 1, 0], {1: "semantic_duplicate", 0: "semantic_duplicate"}),
])  # fmt: skip
def test_the_first_graph_gives_the_reason(order, expected):
    near = graph(3, [(1, 0, 0.9)])
    semantic = graph(3, [(1, 0, 0.99), (2, 0, 0.95), (2, 1, 0.96)], reason="semantic_duplicate")
    duplicates = greedy_duplicates(order, [near, semantic])
    assert {row: kept.reason for row, kept in duplicates.items()} == expected
