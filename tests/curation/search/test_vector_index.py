"""The index beside a comparison with every vector, plain and with filters."""

import numpy as np
import pytest

from curation.search import ivf
from curation.search.manifest import VectorTable
from curation.search.mask import Mask
from curation.search.store import IndexStore
from curation.search.vector_index import VectorIndex

COUNT, DIM, CLUSTERS = 6000, 32, 40


@pytest.fixture(scope="module")
def stored() -> tuple[np.ndarray, np.ndarray]:
    """Clustered unit vectors as they are stored, and the cluster of each."""
    rng = np.random.default_rng(0)
    of = rng.integers(0, CLUSTERS, COUNT)
    centres = rng.standard_normal((CLUSTERS, DIM))
    vectors = centres[of] + rng.standard_normal((COUNT, DIM)) * 0.7
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float16), of


@pytest.fixture(scope="module")
def vectors(stored, tmp_path_factory) -> VectorIndex:
    """In two segments with lists, the second's rows in no order, and one without."""
    store = IndexStore(tmp_path_factory.mktemp("index"))
    values, _ = stored
    rows = np.arange(COUNT)
    second = np.random.default_rng(1).permutation(rows[4000:5800])
    flat = [ivf.write_segment(store, r, values[r]) for r in (rows[:4000], second)]
    table = ivf.rebuild_lists(store, VectorTable(DIM, "model", tuple(flat)))
    loose = ivf.write_segment(store, rows[5800:], values[5800:])
    extended = VectorTable(DIM, "model", (*table.segments, loose), 0, table.lists, table.tuning)
    return VectorIndex(extended, store.path)


@pytest.fixture(scope="module")
def queries(stored) -> np.ndarray:
    rng = np.random.default_rng(2)
    queries = stored[0][::100].astype(np.float32) + rng.standard_normal((60, DIM)) * 0.05
    return (queries / np.linalg.norm(queries, axis=1, keepdims=True)).astype(np.float32)


def recall(vectors, stored, queries, allowed=None, k=10, **more) -> float:
    values = stored[0].astype(np.float32)
    candidates = np.arange(COUNT) if allowed is None else np.flatnonzero(allowed)
    mask = None if allowed is None else Mask(allowed)
    hits = 0
    for query in queries:
        nearest_hits = vectors.search(query, k, mask, **more)
        assert len(nearest_hits.rows) == len(set(nearest_hits.rows)) == min(k, len(candidates))
        assert np.isin(nearest_hits.rows, candidates).all()
        assert nearest_hits.scores == pytest.approx(values[nearest_hits.rows] @ query, abs=1e-5)
        assert (np.diff(nearest_hits.scores) <= 0).all()
        nearest = candidates[np.argsort(-(values[candidates] @ query))[:k]]
        hits += len(np.intersect1d(nearest_hits.rows, nearest))
    return hits / (len(queries) * min(k, len(candidates)))


def test_what_tuning_says_holds_for_other_queries(vectors, stored, queries):
    tuning = vectors.table.tuning
    assert tuning.recall >= ivf.TARGET
    assert 1 <= tuning.probes < tuning.lists
    assert tuning.trained_on == 5800
    assert recall(vectors, stored, queries) >= 0.95


def test_one_segment_and_several_answer_alike(vectors, stored, queries, tmp_path):
    store, rows = IndexStore(tmp_path), np.arange(COUNT)
    segment = ivf.write_segment(store, rows[:5900], stored[0][:5900])
    loose = ivf.write_segment(store, rows[5900:], stored[0][5900:])
    table = ivf.rebuild_lists(store, VectorTable(DIM, "model", (segment,)))
    table = VectorTable(DIM, "model", (*table.segments, loose), 0, table.lists, table.tuning)
    one = VectorIndex(table, store.path)
    assert recall(one, stored, queries) >= 0.95
    one.probes, vectors.probes, tuned = 10**4, 10**4, vectors.probes
    try:
        for query in queries:
            single, several = one.search(query, 10), vectors.search(query, 10)
            assert (single.rows == several.rows).all()
            assert (single.scores == several.scores).all()
    finally:
        vectors.probes = tuned


@pytest.mark.parametrize("k", [100, 1000, 10_000])
def test_many_hits_are_found_too(vectors, stored, queries, k):
    assert recall(vectors, stored, queries[:10], k=k) >= 0.95


@pytest.mark.parametrize("share", [0.5, 0.2, 0.05, 0.01, 0.001])
def test_random_filters_keep_recall(vectors, stored, queries, share):
    allowed = np.random.default_rng(3).random(COUNT) < share
    assert recall(vectors, stored, queries, allowed) >= (0.95 if share > 0.1 else 0.99)


@pytest.mark.parametrize("clusters", [20, 8, 2, 1])
def test_filters_that_leave_nothing_near_the_query_keep_recall(vectors, stored, queries, clusters):
    allowed = stored[1] < clusters
    floor = 0.95 if clusters > 4 else 0.99
    assert recall(vectors, stored, queries, allowed) >= floor


def test_a_filter_that_leaves_fewer_than_k_gives_all_of_them(vectors, stored, queries):
    allowed = np.zeros(COUNT, bool)
    allowed[[5, 4100, 5900]] = True
    nearest_hits = vectors.search(queries[0], 10, Mask(allowed))
    assert sorted(nearest_hits.rows) == [5, 4100, 5900]
    assert len(vectors.search(queries[0], 10, Mask(np.zeros(COUNT, bool))).rows) == 0


def test_an_out_of_distribution_query_probes_more_lists(vectors, stored):
    rng = np.random.default_rng(4)
    queries = rng.standard_normal((30, DIM)).astype(np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    plain = recall(vectors, stored, queries)
    assert recall(vectors, stored, queries, out_of_distribution=True) >= max(0.95, plain)


def test_the_stored_vector_of_a_row_comes_back(vectors, stored):
    for row in (0, 4500, 5999):
        assert (vectors.vector(row) == stored[0][row].astype(np.float32)).all()
    assert vectors.vector(COUNT) is None
