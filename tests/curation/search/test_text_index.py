import numpy as np
import pytest

from curation.search.mask import Mask
from curation.search.store import IndexStore
from curation.search.text_index import TextIndex, terms, write_version


@pytest.fixture
def store(tmp_path) -> IndexStore:
    return IndexStore(tmp_path)


def test_words_are_lower_case_and_stemmed():
    assert terms("Pedestrians crossing, CROSSING!") == ["pedestrian", "cross"]


def test_rare_words_count_more_and_equal_scores_come_by_row(store):
    texts = {row: "a street" + (" with rain" if row % 10 == 3 else "") for row in range(100)}
    words = TextIndex(write_version(store, None, texts, "words-1"), store)
    near = words.search("rain in the street", 100)
    assert near.rows[:10].tolist() == list(range(3, 100, 10))
    assert len(near.rows) == 100
    assert near.rows[10:].tolist() == [r for r in range(100) if r % 10 != 3]
    few = words.search("street", 5)
    assert few.rows.tolist() == [0, 1, 2, 4, 5]


@pytest.mark.parametrize("share", [1, 50, 1000])
def test_only_allowed_rows_are_found(store, share):
    texts = {row: f"word{row % 3} same" for row in range(3000)}
    words = TextIndex(write_version(store, None, texts, "words-1"), store)
    allowed = np.zeros(30_000, bool)
    allowed[::share] = True
    near = words.search("word1", 20, Mask(allowed))
    expected = [row for row in range(0, 3000, share) if row % 3 == 1][:20]
    assert near.rows.tolist() == expected


def test_a_later_version_has_more_and_leaves_the_earlier_one_as_it_was(store):
    one = write_version(store, None, {0: "rain", 1: "snow"}, "words-1")
    early = TextIndex(one, store)
    two = write_version(store, one, {2: "rain"}, "words-2")
    store.verify([*one.files, *two.files])
    assert TextIndex(two, store).search("rain", 5).rows.tolist() == [0, 2]
    assert early.search("rain", 5).rows.tolist() == [0]
    assert TextIndex(one, store).search("rain", 5).rows.tolist() == [0]
    assert (one.clips, two.clips) == (2, 3)
