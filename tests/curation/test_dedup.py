import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from curation import dedup
from curation.dedup import greedy, neighbours, unpack
from curation.policy import SIMILARITY_FLOOR

seeds = st.integers(0, 2**32 - 1)


def clustered(seed: int, count: int, dim: int, clusters: int, spread: float) -> np.ndarray:
    """Unit vectors around a few centres, so that many pairs lie above the floor."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(clusters, dim))
    vectors = centres[rng.integers(0, clusters, count)] + spread * rng.normal(size=(count, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def brute(ids: list[str], vectors: np.ndarray) -> dict[tuple[str, str], float]:
    similar = vectors @ vectors.T
    return {
        (max(ids[a], ids[b]), min(ids[a], ids[b])): float(similar[a, b])
        for a, b in itertools.combinations(range(len(ids)), 2)
        if similar[a, b] > SIMILARITY_FLOOR
    }


def pairs(found: list) -> dict[tuple[str, str], float]:
    assert len({(n.clip_id, n.neighbour_id) for n in found}) == len(found)
    return {(n.clip_id, n.neighbour_id): n.similarity for n in found if n.clip_id != n.neighbour_id}


@settings(max_examples=20, deadline=None)
@given(seed=seeds, count=st.integers(1, 60))
def test_neighbours_are_those_of_a_brute_search(seed, count):
    vectors = clustered(seed, count, 16, 5, 0.35)
    ids = [f"{number:03}" for number in np.random.default_rng(seed).permutation(count)]
    found = pairs(neighbours(ids, ids, vectors))
    expected = brute(ids, vectors)
    near_the_floor = {p for p, s in expected.items() if s < SIMILARITY_FLOOR + 1e-5}
    assert expected.keys() - near_the_floor <= found.keys() <= expected.keys()
    assert all(abs(found[pair] - expected[pair]) < 2e-5 for pair in found)
    assert all(similarity <= 1 for similarity in found.values())


@settings(max_examples=10, deadline=None)
@given(seed=seeds, first=st.integers(1, 39))
def test_searching_in_two_parts_finds_the_pairs_of_one_search(seed, first):
    vectors = clustered(seed, 40, 16, 4, 0.3)
    ids = [f"{number:03}" for number in range(40)]
    once = pairs(neighbours(ids, ids, vectors))
    early = neighbours(ids[:first], ids[:first], vectors[:first])
    late = neighbours(ids[first:], ids, vectors)
    assert pairs(early + late).keys() == once.keys()
    assert {n.clip_id for n in early + late if n.clip_id == n.neighbour_id} == set(ids)


def test_a_zero_vector_is_alone():
    vectors = np.zeros((3, 8), np.float32)
    vectors[2, 0] = 1
    found = neighbours(["a", "b", "c"], ["a", "b", "c"], vectors)
    assert [(n.clip_id, n.neighbour_id) for n in found] == [("a", "a"), ("b", "b"), ("c", "c")]


def test_unpacked_vectors_have_unit_length_or_none():
    packed = [np.array(v, "<f2").tobytes() for v in ([3.0, 4.0], [0.0, 0.0], [0.1, 0.0])]
    assert unpack(packed, 2).tolist() == [[np.float32(0.6), np.float32(0.8)], [0, 0], [1, 0]]
    assert unpack([], 4).shape == (0, 4)


def test_lists_find_nearly_all_that_an_exact_search_finds(monkeypatch):
    vectors = clustered(7, 6000, 32, 300, 0.09)
    ids = [f"{number:05}" for number in range(len(vectors))]
    exact = pairs(neighbours(ids, ids, vectors))
    monkeypatch.setattr(dedup, "_EXACT_UP_TO", 1000)
    listed = pairs(neighbours(ids, ids, vectors))
    assert len(exact) > 20_000
    assert listed.keys() <= exact.keys()
    assert len(listed) >= 0.995 * len(exact)


@settings(max_examples=30, deadline=None)
@given(seed=seeds, threshold=st.floats(0.7, 0.95))
def test_every_duplicate_has_a_kept_clip_that_stands_for_it(seed, threshold):
    vectors = clustered(seed, 50, 8, 4, 0.3)
    ids = [f"{number:03}" for number in range(50)]
    found = pairs(neighbours(ids, ids, vectors))
    shots = {clip: clip for clip in ids}
    order = list(np.random.default_rng(seed).permutation(ids))
    duplicates = greedy(order, [(*p, s) for p, s in found.items()], shots, threshold)
    kept = set(ids) - duplicates.keys()
    for clip, (standing, similarity) in duplicates.items():
        assert standing in kept
        assert order.index(standing) < order.index(clip)
        assert similarity == found[max(clip, standing), min(clip, standing)] >= threshold
    for a, b in itertools.combinations(sorted(kept), 2):
        assert found.get((b, a), 0) < threshold


@settings(max_examples=20, deadline=None)
@given(shuffled=st.permutations(range(6)))
def test_the_order_of_the_pairs_and_of_their_sides_does_not_matter(shuffled):
    given_pairs = [
        ("b", "a", 0.9), ("c", "a", 0.9), ("c", "b", 0.9), ("d", "c", 0.95), ("e", "a", 0.9),
        ("e", "d", 0.9),
    ]  # fmt: skip
    shots = {clip: clip for clip in "abcde"}
    mixed = [
        given_pairs[i] if i % 2 else (*given_pairs[i][1::-1], 0.9 if i != 3 else 0.95)
        for i in shuffled
    ]
    assert greedy("abcde", mixed, shots, 0.8) == {"b": ("a", 0.9), "c": ("a", 0.9), "e": ("d", 0.9)}


def test_windows_of_one_shot_are_never_each_others_duplicates():
    shots = {"a": ("s", 0), "b": ("s", 0), "c": ("s", 90)}
    found = greedy("abc", [("b", "a", 0.99), ("c", "b", 0.9), ("c", "a", 0.95)], shots, 0.8)
    assert found == {"c": ("a", 0.95)}


def test_a_chain_keeps_its_second_link_for_the_third():
    """Comparing with dropped clips as well would drop c, which no kept clip resembles."""
    shots = {clip: clip for clip in "abc"}
    assert greedy("abc", [("b", "a", 0.9), ("c", "b", 0.9)], shots, 0.8) == {"b": ("a", 0.9)}


def test_pairs_with_clips_outside_the_order_count_for_nothing():
    assert greedy(["b"], [("b", "a", 0.9)], {"a": 1, "b": 2}, 0.8) == {}
