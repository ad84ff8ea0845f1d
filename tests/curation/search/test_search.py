import numpy as np
import pyarrow as pa
import pytest

from curation import records
from curation.records import Verdict
from curation.search import MAX_HITS, CursorError, Search, SearchError, Vector, cursor
from tests import rows
from tests.curation.search.conftest import looks_of, source_id

MODEL = "frame-dct"


def ids(hits: pa.Table) -> list[str]:
    return hits["clip_id"].to_pylist()


def clip(number: int, at: int) -> str:
    return looks_of(number)[at].clip.clip_id


def kind(at: int) -> Vector:
    values = np.zeros(1144, np.float32)
    values[at] = 1
    return Vector(values, MODEL)


def test_words_find_captions_by_bm25_and_stem(shared_search):
    hits = shared_search.query("dark forests", k=16)
    assert set(hits["caption"].to_pylist()[:4]) == {"A dark forest with walkers"}
    assert hits["score"][0].as_py() > hits["score"][4].as_py()
    # Twelve captions have either word, four have none.
    assert len(ids(hits)) == 12


def test_words_of_the_input_list_count_too(shared_search):
    assert set(shared_search.query("rear")["uri"].to_pylist()) == {"/v/2.mp4"}


def test_an_example_finds_its_kind_and_not_itself(shared_search):
    hits = shared_search.query(like=clip(1, 1), k=3)
    assert set(ids(hits)) == {clip(1, 5), clip(2, 1), clip(2, 5)}
    assert hits["score"].to_pylist() == pytest.approx([0.97] * 3, abs=0.02)
    assert hits.column_names[:6] == ["clip_id", "score", "source_id", "uri", "start_s", "end_s"]
    by_prefix = shared_search.query(like=clip(1, 1)[:10], k=3)
    assert ids(by_prefix) == ids(hits)


def test_several_examples_add_up_and_unwanted_ones_are_taken_away(shared_search):
    both = shared_search.query(like=[kind(0), kind(1)], k=16)
    assert set(both["caption"].to_pylist()[:8]) == {
        "A bright street with walkers", "A dark street with walkers"
    }  # fmt: skip
    less = shared_search.query(like=[kind(0), kind(1)], minus=[kind(1), kind(2)], k=16)
    assert set(less["caption"].to_pylist()[:4]) == {"A bright street with walkers"}
    # (e0 + e1) / 2 − (e1 + e2) / 4, scaled to unit length.
    assert less["score"][0].as_py() == pytest.approx(0.5 / 6**0.5 * 4 * 0.985, abs=0.02)
    assert set(less["caption"].to_pylist()[12:]) == {"A bright forest with walkers"}
    assert less["score"][15].as_py() == pytest.approx(-1 / 6**0.5, abs=0.02)


def test_words_and_example_are_fused_by_rank(shared_search):
    hits = shared_search.query("dark", like=kind(2), k=16)
    by_words, by_vector = shared_search.query("dark", k=16), shared_search.query(like=kind(2), k=16)
    ranks = [ids(hits) for hits in (by_words, by_vector)]
    expected = {
        c: sum(1 / (61 + rank.index(c)) for rank in ranks if c in rank) for c in ids(by_vector)
    }
    scores = dict(zip(ids(hits), hits["score"].to_pylist(), strict=True))
    assert scores == pytest.approx(expected, rel=1e-5)
    assert list(scores.values()) == sorted(scores.values(), reverse=True)


def test_a_condition_takes_any_column_with_negation(shared_search):
    hits = shared_search.query(
        where="motion >= 0.5 and not place = 'front' and duration_s < 3", k=16
    )
    assert ids(hits) == [clip(2, at) for at in (4, 5, 6, 7)]
    assert hits["score"].null_count == 4
    hits = shared_search.query(
        "dark", where="caption not like '%forest%'", k=16, columns=["motion"]
    )
    assert sorted(hits["motion"].to_pylist()) == [1 / 8, 1 / 8, 5 / 8, 5 / 8]


def test_scores_below_the_least_are_left_out(shared_search):
    assert len(ids(shared_search.query(like=kind(3), k=16, min_score=0.5))) == 4
    assert len(ids(shared_search.query(like=kind(3), k=16))) == 16


def test_near_duplicates_are_one_hit_unless_all_are_asked_for(out):
    search = Search(out)
    kept = clip(1, 1)
    other = {clip(1, 5): 0.9, clip(2, 1): 0.9}
    verdicts = [Verdict("s", kept, source_id(1), "kept")]
    verdicts += [
        Verdict("s", c, source_id(1), "duplicate", "near_duplicate", kept, s)
        for c, s in other.items()
    ]
    search.dataset.catalog.append("selection", Verdict, records.to_table(Verdict, verdicts))
    rows.add_run(search.dataset, "select", "s", started="2026-01-01")
    search.update()
    hits = search.query(like=kind(1), k=3)
    assert len({kept, *other} & set(ids(hits))) == 1
    assert clip(2, 5) in ids(hits)
    every = search.query(like=kind(1), k=4, collapse=False)
    assert {kept, *other} <= set(ids(every))
    assert set(
        search.query(where="verdict = 'duplicate'", collapse=False)["clip_id"].to_pylist()
    ) == set(other)


@pytest.mark.parametrize(
    "question",
    [
        {"text": "dark street"},
        {"like": kind(0)},
        {"where": "true"},
        {"text": "dark", "like": kind(1)},
    ],
)
def test_pages_show_every_hit_once_while_the_index_grows(search, add, question):
    expected = search.query(**question, k=16)
    clip_ids: list[str] = []
    scores: list[float | None] = []
    after = None
    while True:
        page = search.query(**question, k=3, after=after)
        clip_ids += ids(page)
        scores += page["score"].to_pylist()
        after = cursor(page)
        if after is None:
            break
        if len(clip_ids) == 6:
            add(3)
            assert search.update().new_clips == 8
    assert sorted(clip_ids) == sorted(ids(expected))
    assert scores == expected["score"].to_pylist()
    assert search.query(**question, k=24).num_rows > expected.num_rows


def test_a_cursor_of_another_question_or_index_is_refused(search, out):
    after = cursor(search.query("dark", k=2))
    with pytest.raises(CursorError, match="another question"):
        search.query("bright", k=2, after=after)
    with pytest.raises(CursorError, match="no cursor"):
        search.query("dark", k=2, after="nonsense")
    (out / "search" / "manifest.json").unlink()
    with pytest.raises(CursorError, match="rebuilt"):
        Search(out).query("dark", k=2, after=after)


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ({"where": "motoin > 0"}, "no column 'motoin'; did you mean 'motion'"),
        ({"where": "motion >"}, "is no condition: Required keyword"),
        ({"where": "1=1; drop table clips"}, "write one expression"),
        ({"text": "dark", "k": 10**9}, f"a page has 1 to {MAX_HITS:,} hits"),
        ({"text": "dark", "k": 0}, "k is 0"),
        ({"text": "  "}, "no words to look for"),
        ({"text": "?!"}, "no words in"),
        ({"like": Vector(np.ones(1144), "clip-1a2b")}, "clip-1a2b, those of .* of frame-dct"),
        ({"like": Vector(np.ones(7), MODEL)}, r"has shape \[7\]; .* holds \[1144\]"),
        ({"like": Vector(np.full(1144, np.nan), MODEL)}, "NaN or infinity"),
        ({"like": Vector(np.zeros(1144), MODEL)}, "is zero"),
        ({"like": "no such clip"}, "no clip 'no such clip'"),
        ({"minus": kind(0)}, "something wanted"),
        ({"text": "rain", "minus": kind(0), "by": "words"}, "compared by vectors"),
        ({"text": "dark", "by": "vectors"}, "no table of embeddings fits"),
        ({"text": "dark", "minus": kind(0)}, "no table of embeddings fits"),
        ({"like": kind(0), "by": "words"}, "needs words"),
        ({"like": kind(0), "embeddings": "clip"}, "no vectors in clip; there are embed"),
        ({"text": "dark", "min_score": float("nan")}, "not a number"),
        ({"text": "dark", "columns": ["colour"]}, "no column colour"),
    ],
)  # fmt: skip
def test_bad_questions_say_what_is_wrong(shared_search, question, words):
    with pytest.raises(SearchError, match=words):
        shared_search.query(**question)


def test_an_empty_index_says_what_to_do(tmp_path):
    with pytest.raises(SearchError, match="is empty: run `reelmill scan` first"):
        Search(tmp_path / "nothing").query("dark")
