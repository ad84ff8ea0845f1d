import time

import pytest

from curation import records
from curation.dataset import Dataset
from curation.garbage import collect_garbage
from curation.records import Caption
from curation.storage import Storage
from tokenizer.feed.errors import FeedError
from tokenizer.feed.snapshot import ABSENT, Snapshot

NAME = "captions/facts"
DAY_S = 86_400


def add(place, clip: str) -> None:
    row = Caption(clip, "s", "text")
    Dataset(place).catalog.append(NAME, Caption, records.to_table(Caption, [row]))


def clips(snapshot: Snapshot) -> set[str]:
    return snapshot.values(NAME, Caption, "clip_id")


def test_a_table_keeps_the_version_of_its_first_read(tmp_path):
    add(tmp_path, "a")
    snapshot = Snapshot(Storage.at(tmp_path), {})
    assert clips(snapshot) == {"a"}
    add(tmp_path, "b")
    assert clips(snapshot) == {"a"}
    assert clips(Snapshot(Storage.at(tmp_path), {})) == {"a", "b"}
    assert clips(Snapshot(Storage.at(tmp_path), snapshot.versions)) == {"a"}


def test_files_and_rows_are_those_of_the_version(tmp_path):
    add(tmp_path, "a")
    old = Snapshot(Storage.at(tmp_path), {})
    [(name, size)] = old.files(NAME)
    assert (tmp_path / NAME / name).stat().st_size == size
    add(tmp_path, "b")
    assert (len(old.files(NAME)), old.rows(NAME)) == (1, 1)
    new = Snapshot(Storage.at(tmp_path), {})
    assert new.rows(NAME) == 2
    assert new.files(NAME) == sorted(new.files(NAME))
    assert len(new.files(NAME)) == 2


def test_a_table_that_was_missing_stays_missing(tmp_path):
    snapshot = Snapshot(Storage.at(tmp_path), {})
    assert clips(snapshot) == set()
    add(tmp_path, "a")
    assert clips(snapshot) == set()
    assert snapshot.versions == {NAME: ABSENT}
    assert (snapshot.files(NAME), snapshot.rows(NAME)) == ([], 0)


@pytest.mark.parametrize("version", [7, -5])
def test_an_unknown_version_is_named(tmp_path, version):
    add(tmp_path, "a")
    snapshot = Snapshot(Storage.at(tmp_path), {NAME: version})
    with pytest.raises(ValueError, match=f"{NAME} of .* has no version {version}; the newest is 1"):
        clips(snapshot)


def test_a_version_that_gc_removed_is_named(tmp_path):
    for clip in "abc":
        add(tmp_path, clip)
    catalog = Dataset(tmp_path).catalog
    catalog.open(NAME).create_checkpoint()
    in_10_days_ns = time.time_ns() + 10 * DAY_S * 10**9
    list(collect_garbage(catalog, DAY_S, delete=True, now_ns=in_10_days_ns))
    snapshot = Snapshot(Storage.at(tmp_path), {NAME: 1})
    with pytest.raises(FeedError, match=rf"{NAME} no longer has version 1: .*gc.* without the"):
        clips(snapshot)
