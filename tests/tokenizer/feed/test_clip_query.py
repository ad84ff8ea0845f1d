import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenizer.feed.clip_query import ClipIndex, SideTable, id_hashes, load_clip_columns

CLIPS = pa.table(
    {
        "clip_id": ["a1", "b2", "c3"],
        "motion": [0.1, 0.5, None],
        "width": [640, 320, 640],
        "camera": ["pan_left", None, "still"],
    }
)


@settings(deadline=None)
@given(st.lists(st.text(max_size=40), unique=True), st.lists(st.text(max_size=40)))
def test_ids_of_any_length_are_found(ids, others):
    index = ClipIndex(pa.array(ids, pa.string()), "clips")
    assert index.find(pa.array(ids, pa.string())).tolist() == list(range(len(ids)))
    expected = [ids.index(other) if other in ids else -1 for other in others]
    assert index.find(pa.array(others, pa.string())).tolist() == expected


def test_a_hash_is_independent_of_the_position():
    ids = pa.array(["aa", "bbbb" * 8, "", "cc"])
    whole = id_hashes(ids)
    assert id_hashes(ids[2:]).tolist() == whole[2:].tolist()
    assert id_hashes(pa.chunked_array([ids[:1], ids[1:]])).tolist() == whole.tolist()


def test_duplicate_clips_are_refused():
    with pytest.raises(ValueError, match="captions/x has two rows for clip b2"):
        ClipIndex(pa.array(["a1", "b2", "c3", "b2"]), "captions/x")


def test_clip_columns_are_taken_by_row():
    side = load_clip_columns(CLIPS, ["motion", "camera", "width"])
    result = side.take(np.array([1, -1, 0]))
    assert result["camera"].to_pylist() == [None, None, "pan_left"]
    assert np.array_equal(result["motion"], [0.5, np.nan, 0.1], equal_nan=True)
    assert np.array_equal(result["width"], [320, np.nan, 640], equal_nan=True)
    assert side.take(np.array([0]))["width"].dtype == np.int64


def test_vectors_are_taken_by_row():
    side = SideTable(
        "x", ClipIndex(CLIPS["clip_id"], "x"), {"embedding": np.eye(3, dtype=np.float32)}
    )
    result = side.take(np.array([2, -1]))["embedding"]
    assert result[0].tolist() == [0, 0, 1]
    assert np.isnan(result[1]).all()


def test_unknown_clip_columns_are_refused():
    with pytest.raises(ValueError, match="clips have no column blur; there are camera, clip_id, m"):
        load_clip_columns(CLIPS, ["motion", "blur"])
