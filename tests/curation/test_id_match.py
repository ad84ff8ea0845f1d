"""Rows of ids are found as a hash table of the texts finds them."""

import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from curation import id_match, records
from curation.id_match import IdMatcher, id_hashes
from curation.records import Clip
from curation.scan.clips import compute_clip_id, compute_clip_ids
from tests.rows import make_clip


def random_ids(rng: np.random.Generator, count: int) -> list[str]:
    """Distinct ids of several lengths."""
    return sorted({f"{rng.integers(1 << 40):x}" for _ in range(count)})


@pytest.mark.parametrize("hashes", [id_hashes, lambda ids: id_hashes(ids) % np.uint64(50)])
@pytest.mark.parametrize("repeats", [1, 2])
def test_rows_are_those_of_a_hash_table(monkeypatch, hashes, repeats):
    """Also where some ids are missing or occur twice, and where hashes collide."""
    monkeypatch.setattr(id_match, "id_hashes", hashes)
    rng = np.random.default_rng(repeats)
    ids = random_ids(rng, 500)
    others = rng.permutation([*ids[::3], *random_ids(rng, 300)] * repeats).tolist()
    column = pa.chunked_array([others[:100], others[100:]], pa.string())
    expected = pc.index_in(pa.array(ids), pa.array(others)).to_pylist()
    assert IdMatcher(pa.array(ids)).rows(column).to_pylist() == expected
    assert expected.count(None) > 100
    texts = pa.array([*others, None, ""], pa.string())
    expected = pc.index_in(texts, pa.array(ids)).to_pylist()
    assert IdMatcher(pa.array(ids)).index(texts).to_pylist() == expected
    assert expected.count(None) > 100


def test_digests_that_begin_alike_are_told_apart():
    ids = pa.array([f"{number // 2:016x}{number:016x}" for number in range(100)])
    others = pa.array([*reversed(ids.to_pylist()[:90]), "f" * 32])
    expected = pc.index_in(ids, others).to_pylist()
    assert IdMatcher(ids).rows(others).to_pylist() == expected
    assert IdMatcher(others).index(ids).to_pylist() == expected


def test_hashes_are_those_of_the_texts_wherever_they_lie(monkeypatch):
    texts = ["", "a", "12345678", "123456789", "ä" * 20, "0", "a"]
    hashes = id_hashes(pa.array(texts))
    assert [f"{value:016x}" for value in hashes.tolist()] == [
        "e220a8397b1dcdaf", "3e506e5796335af0", "82177327e1e4daac", "b0f00539162b363b",
        "82ceb39f97d320c7", "7d80916d0d2ff6d2", "3e506e5796335af0",
    ]  # fmt: skip
    assert id_hashes(pa.chunked_array([["x"], texts]).slice(1)).tolist() == hashes.tolist()
    monkeypatch.setattr(id_match, "_SLICE", 2)
    assert id_hashes(pa.array(["x", *texts])[1:]).tolist() == hashes.tolist()


def test_one_long_text_among_many_takes_no_memory_for_the_others():
    ids = pa.array(["x" * 1_000_000, *map(str, range(10_000))])
    tracemalloc.start()
    hashes = id_hashes(ids)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(np.unique(hashes)) == len(ids)
    assert peak < 20_000_000


def test_rows_of_the_same_of_none_and_for_none():
    ids = pa.array(["b", "a", "ccc"])
    assert IdMatcher(ids).rows(pa.chunked_array([ids])).to_pylist() == [0, 1, 2]
    assert IdMatcher(ids).rows(pa.array([], pa.string())).to_pylist() == [None] * 3
    assert IdMatcher(pa.array([], pa.string())).rows(ids).to_pylist() == []
    assert IdMatcher(pa.array([], pa.string())).index(ids).to_pylist() == [None] * 3
    assert IdMatcher(ids).index(pa.array([], pa.string())).to_pylist() == []
    assert IdMatcher(pa.array(["", "a"])).index(pa.array(["", None, "a"])).to_pylist() == [
        0,
        None,
        1,
    ]


def test_ids_of_many_clips_are_those_of_each():
    timed, source = make_clip("a" * 64, 0, 48), "b" * 64
    clips = [
        timed,
        Clip("", source, 3, 9, 0.1, 0.3, 0, 9),
        Clip("", source, 9, 12, 0.3, 0.4, 9, 12, 90, None, "1/30"),
    ]
    ids = compute_clip_ids(records.to_table(Clip, clips), pa.array([0, 2, 1]))
    expected = [compute_clip_id(c, stream) for c, stream in zip(clips, (0, 2, 1), strict=True)]
    assert ids.to_pylist() == expected
    assert expected[0] == timed.clip_id
