import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.dedup import pair_search
from curation.dedup.pair_search import ivf_pairs, similar_pairs
from curation.dedup.pairs import Pairs, concat_sorted, exact_pairs, with_similarity
from curation.dedup.vectors import take_rows, unpack

FLOOR = 0.7
seeds = st.integers(0, 2**32 - 1)


def clustered(seed: int, count: int, dim: int, clusters: int, spread: float) -> np.ndarray:
    """Unit vectors around a few centres, so that many pairs are above the floor."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(clusters, dim))
    vectors = centres[rng.integers(0, clusters, count)] + spread * rng.normal(size=(count, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def brute_force(vectors: np.ndarray, new: np.ndarray) -> dict[tuple[int, int], float]:
    similar = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    return {
        (a, b): similar[a, b]
        for a, b in itertools.combinations(range(len(vectors)), 2)
        if similar[a, b] >= FLOOR and (new[a] or new[b])
    }


def as_dict(pairs: Pairs) -> dict[tuple[int, int], float]:
    rows = list(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
    assert len(set(rows)) == len(rows)
    assert rows == sorted(rows)
    return dict(zip(rows, pairs.similarity.tolist(), strict=True))


def check(pairs: Pairs, expected: dict[tuple[int, int], float]) -> None:
    similarity = as_dict(pairs)
    assert similarity.keys() == expected.keys()
    assert all(abs(similarity[pair] - expected[pair]) < 1e-5 for pair in similarity)
    assert all(value <= 1 for value in similarity.values())


@settings(max_examples=25, deadline=None)
@given(seed=seeds, count=st.integers(1, 60), block=st.sampled_from([1, 7, 4096]))
def test_pairs_equal_those_of_a_brute_force_search(seed, count, block):
    vectors = clustered(seed, count, 16, 5, 0.35)
    new = np.random.default_rng(seed).random(count) < 0.6
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("curation.dedup.pairs._BLOCK", block)
        check(similar_pairs(vectors, FLOOR, new), brute_force(vectors, new))
        check(similar_pairs(vectors, FLOOR), brute_force(vectors, np.ones(count, bool)))


@settings(max_examples=10, deadline=None)
@given(seed=seeds, first=st.integers(1, 39))
def test_a_pair_is_the_same_whenever_it_is_found(seed, first):
    vectors = clustered(seed, 40, 77, 4, 0.1)
    is_late = np.arange(40) >= first
    at_once = as_dict(similar_pairs(vectors, FLOOR))
    early = as_dict(similar_pairs(vectors[:first], FLOOR))
    assert early | as_dict(similar_pairs(vectors, FLOOR, is_late)) == at_once


def test_zero_vectors_are_in_no_pair():
    vectors = np.zeros((3, 8), np.float32)
    vectors[2, 0] = 1
    assert len(similar_pairs(vectors, FLOOR)) == 0
    assert len(similar_pairs(np.empty((0, 8), np.float32), FLOOR)) == 0


@pytest.fixture
def many() -> np.ndarray:
    """Loose clusters whose borders cut through pairs."""
    return clustered(7, 3000, 32, 120, 0.5)


def by_cells(vectors: np.ndarray, new: np.ndarray | None = None) -> Pairs:
    new = np.ones(len(vectors), bool) if new is None else new
    return concat_sorted(with_similarity(ivf_pairs(vectors, FLOOR, new), vectors, FLOOR))


def test_cells_find_nearly_all_that_an_exact_search_finds(many):
    exact = as_dict(similar_pairs(many, FLOOR))
    by_cell = as_dict(by_cells(many))
    assert len(exact) > 5_000
    assert by_cell.keys() <= exact.keys()
    assert len(by_cell) >= 0.999 * len(exact)
    assert all(by_cell[pair] == exact[pair] for pair in by_cell)


def test_one_probe_would_lose_pairs_at_the_borders(many, monkeypatch):
    """What probing only the own cell, as SemDeDup does, would lose."""
    exact = len(similar_pairs(many, FLOOR))
    monkeypatch.setattr(pair_search, "calibrate_margin", lambda cells, *_: cells.within(0.0))
    assert len(by_cells(many)) < 0.97 * exact


def test_cells_find_pairs_of_new_vectors_alone(many):
    new = np.arange(len(many)) % 3 == 0
    exact = as_dict(similar_pairs(many, FLOOR, new))
    by_cell = as_dict(by_cells(many, new))
    assert by_cell.keys() <= exact.keys()
    assert len(by_cell) >= 0.999 * len(exact)


def test_cells_are_searched_in_small_batches(many, monkeypatch):
    expected = as_dict(by_cells(many))
    monkeypatch.setattr(pair_search, "_SORT_BATCH", 5000)
    monkeypatch.setattr(pair_search, "_BLOCK", 100)
    monkeypatch.setattr("curation.dedup.pairs._BATCH", 50)
    assert as_dict(by_cells(many)) == expected


def test_vectors_without_neighbourhoods_are_compared_exactly(monkeypatch):
    """Where a few probes would not do, nothing is lost: all are compared with all."""
    vectors = clustered(3, 600, 24, 1, 1.0)
    monkeypatch.setattr(pair_search, "_MAX_PROBES", 2)
    exact = as_dict(
        concat_sorted(
            with_similarity(exact_pairs(vectors, 0.55, np.ones(600, bool)), vectors, 0.55)
        )
    )
    cells = pair_search.assign_cells(vectors)
    assert pair_search.calibrate_margin(cells, vectors, 0.55, np.ones(600, bool)) is None
    candidates = ivf_pairs(vectors, 0.55, np.ones(600, bool))
    assert as_dict(concat_sorted(with_similarity(candidates, vectors, 0.55))) == exact


def test_many_vectors_are_searched_by_cells(many, monkeypatch):
    monkeypatch.setattr(pair_search, "EXACT_UP_TO", 1000)
    assert as_dict(similar_pairs(many, FLOOR)) == as_dict(by_cells(many))


def test_a_device_finds_what_the_processor_finds(many, monkeypatch):
    """On torch's processor device; a GPU differs in its name alone."""
    new = np.arange(len(many)) % 3 == 0
    exact = as_dict(similar_pairs(many, FLOOR, new))
    monkeypatch.setattr(pair_search, "EXACT_UP_TO", 0)
    monkeypatch.setattr(pair_search, "_device", lambda vectors: "cpu")
    assert as_dict(similar_pairs(many, FLOOR, new)) == exact


def test_vectors_that_would_fill_the_memory_are_mapped_from_a_file(many, monkeypatch, tmp_path):
    stored = [row.astype("<f2").tobytes() for row in many]
    in_memory = unpack(stored, many.shape[1])
    monkeypatch.setattr("curation.dedup.vectors._MEMORY_SHARE", 0.0)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    mapped = unpack(stored, many.shape[1])
    assert isinstance(mapped, np.memmap)
    assert not isinstance(in_memory, np.memmap)
    assert as_dict(similar_pairs(mapped, FLOOR)) == as_dict(similar_pairs(in_memory, FLOOR))
    rows = np.arange(0, len(many), 3)
    assert isinstance(take_rows(mapped, rows), np.memmap)
    assert (take_rows(mapped, rows) == in_memory[rows]).all()
    assert take_rows(mapped, np.arange(len(many))) is mapped
    assert list(tmp_path.iterdir()) == []
