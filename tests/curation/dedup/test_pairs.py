import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.dedup import content, exact_pairs, ivf_pairs, memmap, pairs
from curation.dedup import similar_pairs as pair_search
from curation.dedup.exact_pairs import exact_hits
from curation.dedup.pairs import Pairs, gathered, measured
from curation.dedup.similar_pairs import similar_pairs

FLOOR = 0.7
seeds = st.integers(0, 2**32 - 1)


def clustered(seed: int, count: int, dim: int, clusters: int, spread: float) -> np.ndarray:
    """Unit vectors around a few centres, so that many pairs lie above the floor."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(clusters, dim))
    vectors = centres[rng.integers(0, clusters, count)] + spread * rng.normal(size=(count, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def brute(vectors: np.ndarray, new: np.ndarray) -> dict[tuple[int, int], float]:
    similar = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    return {
        (a, b): similar[a, b]
        for a, b in itertools.combinations(range(len(vectors)), 2)
        if similar[a, b] >= FLOOR and (new[a] or new[b])
    }


def found_in(pairs: Pairs) -> dict[tuple[int, int], float]:
    rows = list(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
    assert len(set(rows)) == len(rows)
    assert rows == sorted(rows)
    return dict(zip(rows, pairs.similarity.tolist(), strict=True))


def check(found: Pairs, expected: dict[tuple[int, int], float]) -> None:
    held = found_in(found)
    assert held.keys() == expected.keys()
    assert all(abs(held[pair] - expected[pair]) < 1e-5 for pair in held)
    assert all(similarity <= 1 for similarity in held.values())


@settings(max_examples=25, deadline=None)
@given(seed=seeds, count=st.integers(1, 60), block=st.sampled_from([1, 7, 4096]))
def test_pairs_are_those_of_a_brute_search(seed, count, block):
    vectors = clustered(seed, count, 16, 5, 0.35)
    new = np.random.default_rng(seed).random(count) < 0.6
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact_pairs, "_BLOCK", block)
        check(similar_pairs(vectors, FLOOR, new), brute(vectors, new))
        check(similar_pairs(vectors, FLOOR), brute(vectors, np.ones(count, bool)))


@settings(max_examples=10, deadline=None)
@given(seed=seeds, first=st.integers(1, 39))
def test_a_pair_is_the_same_whenever_it_is_found(seed, first):
    vectors = clustered(seed, 40, 77, 4, 0.1)
    late = np.arange(40) >= first
    once = found_in(similar_pairs(vectors, FLOOR))
    early = found_in(similar_pairs(vectors[:first], FLOOR))
    assert early | found_in(similar_pairs(vectors, FLOOR, late)) == once


def test_zero_vectors_are_in_no_pair():
    vectors = np.zeros((3, 8), np.float32)
    vectors[2, 0] = 1
    assert len(similar_pairs(vectors, FLOOR)) == 0
    assert len(similar_pairs(np.empty((0, 8), np.float32), FLOOR)) == 0


@pytest.fixture
def many() -> np.ndarray:
    """Loose clusters whose borders cut through pairs."""
    return clustered(7, 3000, 32, 120, 0.5)


def listed(vectors: np.ndarray, new: np.ndarray | None = None) -> Pairs:
    fresh = np.ones(len(vectors), bool) if new is None else new
    return gathered(measured(ivf_pairs.listed_hits(vectors, FLOOR, fresh), vectors, FLOOR))


def test_lists_find_nearly_all_that_an_exact_search_finds(many):
    exact = found_in(similar_pairs(many, FLOOR))
    found = found_in(listed(many))
    assert len(exact) > 5_000
    assert found.keys() <= exact.keys()
    assert len(found) >= 0.999 * len(exact)
    assert all(found[pair] == exact[pair] for pair in found)


def test_one_probe_would_lose_pairs_at_the_borders(many, monkeypatch):
    """What looking only into the own cell, as SemDeDup does, would lose."""
    exact = len(similar_pairs(many, FLOOR))
    monkeypatch.setattr(ivf_pairs, "enough", lambda lists, *given: lists.within(0.0))
    assert len(listed(many)) < 0.97 * exact


def test_lists_find_pairs_of_new_vectors_alone(many):
    new = np.arange(len(many)) % 3 == 0
    exact = found_in(similar_pairs(many, FLOOR, new))
    found = found_in(listed(many, new))
    assert found.keys() <= exact.keys()
    assert len(found) >= 0.999 * len(exact)


def test_lists_work_in_small_parts(many, monkeypatch):
    whole = found_in(listed(many))
    monkeypatch.setattr(ivf_pairs, "_SHARD", 5000)
    monkeypatch.setattr(ivf_pairs, "_BLOCK", 100)
    monkeypatch.setattr(pairs, "_BATCH", 50)
    assert found_in(listed(many)) == whole


def test_vectors_without_neighbourhoods_are_compared_exactly(monkeypatch):
    """Where a few probes would not do, nothing is lost: all are compared with all."""
    vectors = clustered(3, 600, 24, 1, 1.0)
    monkeypatch.setattr(ivf_pairs, "_MOST_PROBES", 2)
    exact = found_in(
        gathered(measured(exact_hits(vectors, 0.55, np.ones(600, bool)), vectors, 0.55))
    )
    lists = ivf_pairs.cut(vectors)
    assert ivf_pairs.enough(lists, vectors, 0.55, np.ones(600, bool)) is None
    found = ivf_pairs.listed_hits(vectors, 0.55, np.ones(600, bool))
    assert found_in(gathered(measured(found, vectors, 0.55))) == exact


def test_many_vectors_go_through_lists(many, monkeypatch):
    monkeypatch.setattr(pair_search, "EXACT_UP_TO", 1000)
    assert found_in(similar_pairs(many, FLOOR)) == found_in(listed(many))


def test_a_device_finds_what_the_processor_finds(many, monkeypatch):
    """On torch's processor device; a GPU differs in its name alone."""
    new = np.arange(len(many)) % 3 == 0
    exact = found_in(similar_pairs(many, FLOOR, new))
    monkeypatch.setattr(pair_search, "EXACT_UP_TO", 0)
    monkeypatch.setattr(pair_search, "_device", lambda vectors: "cpu")
    assert found_in(similar_pairs(many, FLOOR, new)) == exact


def test_vectors_that_would_fill_the_memory_lie_in_a_file(many, monkeypatch, tmp_path):
    stored = [row.astype("<f2").tobytes() for row in many]
    held = content.unpack(stored, many.shape[1])
    monkeypatch.setattr(memmap, "_SHARE", 0.0)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    spilt = content.unpack(stored, many.shape[1])
    assert isinstance(spilt, np.memmap)
    assert not isinstance(held, np.memmap)
    assert found_in(similar_pairs(spilt, FLOOR)) == found_in(similar_pairs(held, FLOOR))
    some = np.arange(0, len(many), 3)
    assert isinstance(memmap.taken(spilt, some), np.memmap)
    assert (memmap.taken(spilt, some) == held[some]).all()
    assert memmap.taken(spilt, np.arange(len(many))) is spilt
    assert list(tmp_path.iterdir()) == []
