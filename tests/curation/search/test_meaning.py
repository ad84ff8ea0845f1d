"""Words find what clips show, file names, list columns and tags."""

import numpy as np
import pytest

from curation import records
from curation.embed import table_name, things
from curation.embed.things import Things
from curation.records import Embedding
from curation.search import Search, searched
from tests.curation.search.conftest import add_source, looks_of, source_id
from tests.rows import add_source as add_rows


def showing(name):
    """A vector that is sure of one class."""
    at = [thing.name for thing in things.things()].index(name)
    return np.sqrt(0.9 * np.eye(1000)[at] + 1e-4).astype("<f2").tobytes()


SHOWN = ("golden retriever", "sports car", "seashore", "grand piano")


@pytest.fixture
def search(tmp_path):
    """Four clips of one source that show different things; another source of unknown ones."""
    out = tmp_path / "out"
    looks = add_source(out, 1, captions=False, extra={"place": "front"})[:4]
    search = Search(out)
    rows = [
        Embedding(look.clip.clip_id, look.clip.source_id, Things.dim, showing(name))
        for look, name in zip(looks, SHOWN, strict=True)
    ]
    search.dataset.catalog.append(
        table_name(Things()), Embedding, records.to_table(Embedding, rows)
    )
    add_rows(search.dataset, "/v/dash_night_front.mp4", looks_of(2))
    search.update()
    return search


@pytest.mark.parametrize(
    ("words", "shown"),
    [("a puppy on a lawn", 0), ("an automobile on the road", 1), ("waves at the beach", 2),
     ("a concert", 3)],
)  # fmt: skip
def test_words_find_what_a_clip_shows(search, words, shown):
    hits = search.query(words, k=3, collapse=False)
    assert hits["clip_id"][0].as_py() == looks_of(1)[shown].clip.clip_id
    assert searched(hits) == ["things", "words"]
    assert searched(search.query(words, by="vectors")) == ["things"]


def test_things_are_a_column_and_words(search):
    hits = search.query(where="'dog' in things", columns=["things"])
    assert hits["clip_id"].to_pylist() == [looks_of(1)[0].clip.clip_id]
    assert hits["things"][0].as_py()[0] == "golden retriever"
    hits = search.query("retrievers", by="words")
    assert hits["clip_id"].to_pylist() == [looks_of(1)[0].clip.clip_id]
    assert search.query(where="things is null", collapse=False).num_rows == 12


def test_file_names_and_list_columns_are_words(search):
    by_name = search.query("a car at night", by="words", collapse=False)
    assert set(by_name["source_id"].to_pylist()[:1]) <= {source_id(1), source_id(2)}
    assert set(search.query("night", by="words", k=16, collapse=False)["uri"].to_pylist()) == {
        "/v/dash_night_front.mp4"
    }
    both = search.query("front", by="words", k=16, collapse=False)
    assert {row["source_id"] for row in both.to_pylist()} == {source_id(1), source_id(2)}


def test_clips_that_are_looked_at_later_are_found(search):
    look = looks_of(2)[0]
    row = Embedding(look.clip.clip_id, look.clip.source_id, Things.dim, showing("umbrella"))
    search.dataset.catalog.append(
        table_name(Things()), Embedding, records.to_table(Embedding, [row])
    )
    search.update()
    assert search.query(where="'umbrella' in things").num_rows == 1
    assert search.query("protection from rain", k=1)["clip_id"].to_pylist() == [look.clip.clip_id]
