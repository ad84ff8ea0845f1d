"""Rows of ids are found as a hash table of the texts finds them."""

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


def test_rows_of_the_same_of_none_and_for_none():
    ids = pa.array(["b", "a", "ccc"])
    assert IdMatcher(ids).rows(pa.chunked_array([ids])).to_pylist() == [0, 1, 2]
    assert IdMatcher(ids).rows(pa.array([], pa.string())).to_pylist() == [None] * 3
    assert IdMatcher(pa.array([], pa.string())).rows(ids).to_pylist() == []


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
