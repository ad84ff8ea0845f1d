"""The index beside a comparison with every vector, plain and with filters."""

import numpy as np
import pytest

from curation.search import ivf
from curation.search.manifest import VectorTable
from curation.search.mask import Mask
from curation.search.store import Folder
from curation.search.vector_index import Vectors

COUNT, DIM, CLUSTERS = 6000, 32, 40


@pytest.fixture(scope="module")
def stored() -> tuple[np.ndarray, np.ndarray]:
    """Clustered unit vectors as they are stored, and the cluster of each."""
    rng = np.random.default_rng(0)
    of = rng.integers(0, CLUSTERS, COUNT)
    centres = rng.standard_normal((CLUSTERS, DIM))
    found = centres[of] + rng.standard_normal((COUNT, DIM)) * 0.7
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return found.astype(np.float16), of


@pytest.fixture(scope="module")
def vectors(stored, tmp_path_factory) -> Vectors:
    """In two segments with lists, the second's rows in no order, and one without."""
    folder = Folder(tmp_path_factory.mktemp("index"))
    values, _ = stored
    rows = np.arange(COUNT)
    second = np.random.default_rng(1).permutation(rows[4000:5800])
    flat = [ivf.segment(folder, r, values[r]) for r in (rows[:4000], second)]
    table = ivf.relisted(folder, VectorTable(DIM, "model", tuple(flat)))
    loose = ivf.segment(folder, rows[5800:], values[5800:])
    whole = VectorTable(DIM, "model", (*table.segments, loose), 0, table.lists, table.tuning)
    return Vectors(whole, folder.path)


@pytest.fixture(scope="module")
def queries(stored) -> np.ndarray:
    rng = np.random.default_rng(2)
    found = stored[0][::100].astype(np.float32) + rng.standard_normal((60, DIM)) * 0.05
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def recall(vectors, stored, queries, allowed=None, k=10, **more) -> float:
    values = stored[0].astype(np.float32)
    among = np.arange(COUNT) if allowed is None else np.flatnonzero(allowed)
    mask = None if allowed is None else Mask(allowed)
    hits = 0
    for query in queries:
        near = vectors.search(query, k, mask, **more)
        assert len(near.rows) == len(set(near.rows)) == min(k, len(among))
        assert np.isin(near.rows, among).all()
        assert near.scores == pytest.approx(values[near.rows] @ query, abs=1e-5)
        assert (np.diff(near.scores) <= 0).all()
        nearest = among[np.argsort(-(values[among] @ query))[:k]]
        hits += len(np.intersect1d(near.rows, nearest))
    return hits / (len(queries) * min(k, len(among)))


def test_what_tuning_says_holds_for_other_queries(vectors, stored, queries):
    tuning = vectors.said.tuning
    assert tuning.recall >= ivf.TARGET
    assert 1 <= tuning.probes < tuning.lists
    assert tuning.trained_on == 5800
    assert recall(vectors, stored, queries) >= 0.95


def test_one_segment_and_several_answer_alike(vectors, stored, queries, tmp_path):
    folder, rows = Folder(tmp_path), np.arange(COUNT)
    whole = ivf.segment(folder, rows[:5900], stored[0][:5900])
    loose = ivf.segment(folder, rows[5900:], stored[0][5900:])
    table = ivf.relisted(folder, VectorTable(DIM, "model", (whole,)))
    table = VectorTable(DIM, "model", (*table.segments, loose), 0, table.lists, table.tuning)
    one = Vectors(table, folder.path)
    assert recall(one, stored, queries) >= 0.95
    one.probes, vectors.probes, tuned = 10**4, 10**4, vectors.probes
    try:
        for query in queries:
            mine, theirs = one.search(query, 10), vectors.search(query, 10)
            assert (mine.rows == theirs.rows).all()
            assert (mine.scores == theirs.scores).all()
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
    near = vectors.search(queries[0], 10, Mask(allowed))
    assert sorted(near.rows) == [5, 4100, 5900]
    assert len(vectors.search(queries[0], 10, Mask(np.zeros(COUNT, bool))).rows) == 0


def test_a_query_away_from_all_vectors_looks_further(vectors, stored):
    rng = np.random.default_rng(4)
    strays = rng.standard_normal((30, DIM)).astype(np.float32)
    strays /= np.linalg.norm(strays, axis=1, keepdims=True)
    plain = recall(vectors, stored, strays)
    assert recall(vectors, stored, strays, stray=True) >= max(0.95, plain)


def test_the_stored_vector_of_a_row_comes_back(vectors, stored):
    for row in (0, 4500, 5999):
        assert (vectors.vector(row) == stored[0][row].astype(np.float32)).all()
    assert vectors.vector(COUNT) is None
