"""A damaged log is refused before a row is read; a commit without an answer is recognised."""

import random
from pathlib import Path

import pytest
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from curation import records
from curation.catalog import Catalog
from curation.commit_log import committing, table_files
from curation.errors import InfrastructureError
from curation.records import Caption
from curation.storage import Storage

NAME = "captions/facts"


@pytest.fixture
def catalog(tmp_path) -> Catalog:
    catalog = Catalog(Storage.at(tmp_path))
    for text in "abc":
        append(catalog, text)
    return catalog


def append(catalog: Catalog, text: str) -> None:
    catalog.append(NAME, Caption, records.to_table(Caption, [Caption(text, "s", text)]))


def texts(catalog: Catalog) -> list[str]:
    return sorted(catalog.read(NAME, Caption)["text"].to_pylist())


def commit_file(catalog: Catalog, version: int) -> Path:
    return Path(catalog.storage.uri(f"{NAME}/_delta_log/{version:020}.json"))


@pytest.mark.parametrize("version", [1, 3])
def test_a_commit_that_lost_its_files_is_refused(catalog, version):
    path = commit_file(catalog, version)
    path.write_text(path.read_text().replace('{"add":', '{"adf":'))
    with pytest.raises(InfrastructureError, match=rf"{NAME}/_delta_log: the files .* commit, 3"):
        catalog.open(NAME)


@pytest.mark.parametrize("keep", ["", "\n", '{"com', "{}\n"])
def test_a_newest_commit_that_holds_none_is_refused(catalog, keep):
    commit_file(catalog, 3).write_text(keep)
    with pytest.raises(InfrastructureError, match=NAME):
        catalog.open(NAME)


def test_any_cut_of_the_log_is_refused_or_changes_nothing(catalog):
    refused = 0
    for version in (1, 2, 3):
        path, whole = commit_file(catalog, version), commit_file(catalog, version).read_bytes()
        for length in range(0, len(whole), 5):
            path.write_bytes(whole[:length])
            try:
                assert texts(catalog) == ["a", "b", "c"], (version, length)
            except InfrastructureError:
                refused += 1
        path.write_bytes(whole)
    assert refused


def test_a_damaged_checkpoint_is_refused_or_changes_nothing(tmp_path):
    catalog, rng = Catalog(Storage.at(tmp_path)), random.Random(0)
    for number in range(4):
        append(catalog, str(number))
    DeltaTable(str(tmp_path / NAME)).create_checkpoint()
    (path,) = (tmp_path / NAME / "_delta_log").glob("*.checkpoint.parquet")
    whole, refused = path.read_bytes(), 0
    for _ in range(100):
        content = bytearray(whole)
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(content)
        try:
            assert texts(catalog) == ["0", "1", "2", "3"]
        except InfrastructureError:
            refused += 1
    assert refused


def test_commits_of_other_writers_state_nothing(catalog):
    DeltaTable(catalog.storage.uri(NAME)).delete("text = 'b'")
    assert texts(catalog) == ["a", "c"]
    append(catalog, "d")
    assert texts(catalog) == ["a", "c", "d"]


def test_a_commit_whose_answer_is_lost_is_recognised(catalog):
    table = catalog.open(NAME)
    files = table_files(table)
    with committing(catalog.storage, NAME, 4, files) as properties:
        table.create_write_transaction([], "append", table.schema(), commit_properties=properties)
        raise OSError("the connection broke")
    assert catalog.version(NAME) == 4


def test_a_commit_of_another_writer_is_not_taken_for_ones_own(catalog):
    table = catalog.open(NAME)
    append(catalog, "d")
    with pytest.raises(CommitFailedError), committing(catalog.storage, NAME, 4, []) as properties:
        table.create_write_transaction([], "append", table.schema(), commit_properties=properties)
