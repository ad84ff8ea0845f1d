"""Labels as columns that a condition may name."""

import pytest

from curation import records
from curation.records import ClipLabel
from curation.search import Search
from tests.curation.search.conftest import add_source, looks_of


def add_labels(search, table, labels, number=1):
    """Adds labels of the first clips of a source: `light/night` of each with a score and whether
    it holds, and `light/day` with the rest."""
    rows = []
    for look, (score, holds) in zip(looks_of(number), labels, strict=False):
        clip = (look.clip.clip_id, look.clip.source_id)
        rows.append(ClipLabel(*clip, "light/night", score, holds))
        rows.append(ClipLabel(*clip, "light/day", 1 - score, 1 - score > 0.5))
    catalog = search.dataset.catalog
    catalog.append(f"labels/{table}", ClipLabel, records.to_table(ClipLabel, rows))


def matches(search, where):
    """Which clips of the first source match, by their number."""
    hits = search.query(where=where, k=100)["clip_id"].to_pylist()
    return [at for at, look in enumerate(looks_of(1)) if look.clip.clip_id in hits]


@pytest.fixture
def labelled(search):
    add_labels(search, "mine-1", [(0.9, True), (0.45, False), (0.2, False)])
    search.update()
    return search


@pytest.mark.parametrize(
    ("where", "clips"),
    [
        ("'light/night' in labels", [0]),
        ("'light/night' not in labels", [1, 2]),
        ("len(labels) > 0", [0, 1, 2]),
        ('"light/night" > 0.3', [0, 1]),
        ('"light/day" > 0.5 and motion > 0.2', [2]),
        ("labels is null", [3, 4, 5, 6, 7]),
    ],
)
def test_labels_that_come_later_are_columns(labelled, where, clips):
    assert matches(labelled, where) == clips


def test_unlabelled_clips_that_come_later_have_none(labelled, out):
    add_source(out, 3)
    labelled.update()
    assert matches(labelled, "'light/night' in labels") == [0]
    clip = looks_of(3)[0].clip.clip_id
    assert (
        labelled.query(where=f"clip_id = '{clip}'", columns=["labels"])["labels"][0].as_py() is None
    )


def test_labels_of_the_table_that_was_filled_last_count(labelled, out):
    add_labels(labelled, "mine-2", [(0.1, False)])
    labelled.update()
    assert matches(labelled, "'light/night' in labels") == []
    assert matches(labelled, "'light/day' in labels") == [0, 1, 2]
    assert matches(Search(out), "'light/day' in labels") == [0, 1, 2]


def test_columns_of_the_input_list_named_like_labels_get_a_prefix(out, search):
    add_source(out, 3, extra={"aesthetic": "high", "labels": "wet, dark", "light/night": "no"})
    search.update()
    clip = looks_of(3)[0].clip.clip_id
    columns = ["extra_aesthetic", "extra_labels", "extra_light/night"]
    hit = search.query(where=f"clip_id = '{clip}'", columns=columns).to_pylist()[0]
    assert [hit[name] for name in columns] == ["high", "wet, dark", "no"]
