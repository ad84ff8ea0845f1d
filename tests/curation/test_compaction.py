"""Merging small files: the same rows in fewer files, beside readers and writers."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from curation import compaction, records
from curation.catalog import Catalog
from curation.commit_log import DamagedLogError, TableFile, read_change
from curation.data_file import NewFile, store_file
from curation.delta_table import StaleWriterError, arrow_dataset
from curation.errors import InfrastructureError
from curation.records import Caption, Source
from curation.storage import Storage
from curation.table_writer import Writer
from tests import s3

NAME = "captions/facts"
TABLES = {NAME: Caption}


@pytest.fixture(params=["disk", pytest.param("s3", marks=pytest.mark.s3)])
def catalog(request, tmp_path, monkeypatch) -> Catalog:
    root = str(tmp_path) if request.param == "disk" else s3.bucket(monkeypatch)
    return Catalog(Storage.at(f"{root}/out"))


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table has too many small files from the fifth on."""
    monkeypatch.setattr(compaction, "MAX_SMALL", 4)


def captions(*names: str) -> pa.Table:
    return records.to_table(Caption, [Caption(name, "s", f"text {name}") for name in names])


def fill(catalog: Catalog, count: int, first: int = 0) -> list[str]:
    """A table with a file for each of so many clips; their ids."""
    ids = [f"{number * 7 % 100:02d}" for number in range(first, first + count)]
    with catalog.writer("caption", TABLES) as writer:
        for clip in ids:
            writer.append(NAME, captions(clip))
    return sorted(ids)


def read_ids(catalog: Catalog, where: pc.Expression | None = None) -> list[str]:
    return sorted(catalog.read(NAME, Caption, ["clip_id"], where)["clip_id"].to_pylist())


def test_small_files_become_one_sorted_by_clip(catalog):
    ids, version = fill(catalog, 9), catalog.version(NAME)
    assert catalog.compact(NAME) == (9, 1)
    assert catalog.read(NAME, Caption)["clip_id"].to_pylist() == ids
    assert catalog.version(NAME) == version + 1
    change = read_change(catalog.storage, NAME, version + 1)
    assert (len(change.added), len(change.removed), change.changes_rows) == (1, 9, False)
    assert catalog.compact(NAME) == (1, 1)
    assert catalog.version(NAME) == version + 1
    assert catalog.compact("captions/none") == (0, 0)


def test_a_table_that_became_small_filed_is_merged_by_its_writer(catalog, few):
    with catalog.writer("caption", TABLES) as writer:
        for number in range(40):
            writer.append(NAME, captions(f"{number:02d}"))
            assert len(catalog.files(NAME)) <= 4
    assert read_ids(catalog) == [f"{number:02d}" for number in range(40)]


def test_a_table_that_became_small_filed_is_merged_by_who_appends(catalog, few):
    for number in range(10):
        catalog.append(NAME, Caption, captions(f"{number:02d}"))
        assert len(catalog.files(NAME)) <= 4
    assert read_ids(catalog) == [f"{number:02d}" for number in range(10)]


def test_rows_are_rewritten_a_logarithmic_number_of_times(monkeypatch):
    """Sizes alone, of 20,000 commits of 10 kB."""
    files: list[TableFile] = []
    rewritten = peak = 0
    for number in range(20_000):
        files.append(TableFile(f"{number}", 10_000, 1))
        if chosen := compaction.overdue(files):
            size_bytes = sum(file.size_bytes for file in chosen)
            rewritten += size_bytes
            files = [f for f in files if f not in set(chosen)]
            files.append(TableFile(f"merged {number}", size_bytes, 1))
        peak = max(peak, len(files))
    assert peak == compaction.MAX_SMALL
    assert sum(file.size_bytes for file in files) == 200_000_000
    assert round(rewritten / 200_000_000) == 3


def test_large_files_are_left_alone():
    size_bytes = compaction.TARGET_BYTES // 2
    files = [TableFile(f"{number}", size_bytes, 1) for number in range(300)]
    assert compaction.overdue(files) == []
    assert list(compaction.batches(files)) == []
    small = TableFile("small", size_bytes - 1, 1)
    assert list(compaction.batches([*files, small])) == []
    assert list(compaction.batches([*files, small, small])) == [[small, small]]


def test_several_files_have_a_range_of_ids_each(catalog, monkeypatch):
    ids = fill(catalog, 20)
    size_bytes = sum(size for _, size in catalog.files(NAME))
    monkeypatch.setattr(compaction, "TARGET_BYTES", size_bytes // 3)
    monkeypatch.setattr(compaction, "_BATCH_BYTES", size_bytes)
    assert catalog.compact(NAME) == (20, 4)
    assert read_ids(catalog) == ids
    stored = arrow_dataset(catalog.open(NAME), catalog.storage, NAME)
    parts = [f.to_table(columns=["clip_id"])["clip_id"].to_pylist() for f in stored.get_fragments()]
    assert sorted(clip for part in parts for clip in part) == ids
    ranges = sorted((min(part), max(part)) for part in parts)
    assert all(one[1] < other[0] for one, other in pairwise(ranges))


def test_a_lookup_opens_no_file_that_cannot_hold_its_clip(tmp_path):
    catalog = Catalog(Storage.at(tmp_path))
    fill(catalog, 9)
    for path, _ in catalog.files(NAME)[1:]:
        file = tmp_path / NAME / path
        if pq.read_table(file)["clip_id"].to_pylist() != ["07"]:
            file.unlink()
    assert read_ids(catalog, pc.field("clip_id") == "07") == ["07"]
    assert read_ids(catalog, pc.field("clip_id").isin(["07", "99"])) == ["07"]
    with pytest.raises(InfrastructureError, match="No such file"):
        read_ids(catalog, pc.field("clip_id") >= "07")


def test_a_changed_extreme_in_the_log_is_refused(tmp_path):
    catalog = Catalog(Storage.at(tmp_path))
    fill(catalog, 3)
    (path,) = (tmp_path / NAME / "_delta_log").glob("*2.json")
    path.write_text(
        path.read_text().replace(
            '\\"maxValues\\": {\\"clip_id\\": \\"07', '\\"maxValues\\": {\\"clip_id\\": \\"06'
        )
    )
    with pytest.raises(DamagedLogError):
        catalog.open(NAME)


def test_rows_without_an_id_are_kept(tmp_path, monkeypatch):
    catalog = Catalog(Storage.at(tmp_path))
    for number in range(8):
        source = Source(f"/v/{number}.mp4", 1, "m", "failed", "unreadable",
                        source_id=None if number % 2 else f"{number}")  # fmt: skip
        catalog.append("sources", Source, records.to_table(Source, [source]))
    monkeypatch.setattr(compaction, "TARGET_BYTES", 40_000)
    monkeypatch.setattr(compaction, "_BATCH_BYTES", 400_000)
    before, after = catalog.compact("sources")
    assert before == 8
    assert 1 < after < 8
    assert catalog.values("sources", Source, "uri") == {f"/v/{n}.mp4" for n in range(8)}


def shard(catalog: Catalog, name: str, tokenizer: str) -> NewFile:
    """A file of one row that names a tokenizer, as shards of tokens do, and has a layout."""
    sink = pa.BufferOutputStream()
    rows = captions(*([name] if name else [])).replace_schema_metadata({"tokenizer": tokenizer})
    codecs = {n: "lz4" if n == "text" else "zstd" for n in rows.column_names}
    pq.write_table(
        rows, sink, compression=codecs, use_dictionary=False, write_statistics=["clip_id"]
    )
    return store_file(sink.getvalue(), len(rows), catalog.storage, NAME)


def stated(catalog: Catalog) -> dict[bytes, list[str]]:
    """The ids in the files of each tokenizer, whose columns have to be stored as `shard` does."""
    found: dict[bytes, list[str]] = {}
    for path, _ in catalog.files(NAME):
        file = pq.ParquetFile(Path(catalog.storage.root, NAME, path))
        columns = [file.metadata.row_group(0).column(n) for n in range(file.metadata.num_columns)]
        codecs = {c.path_in_schema: c.compression for c in columns}
        assert (codecs["text"], codecs["clip_id"]) == ("LZ4", "ZSTD")
        assert not any(c.has_dictionary_page for c in columns)
        assert [c.path_in_schema for c in columns if c.is_stats_set] == ["clip_id"]
        ids = found.setdefault(file.schema_arrow.metadata[b"tokenizer"], [])
        ids += file.read()["clip_id"].to_pylist()
    return found


def test_what_files_state_of_their_rows_is_kept(tmp_path):
    """Shards of tokens name their tokenizer; their columns are stored as they were."""
    catalog = Catalog(Storage.at(tmp_path))
    with catalog.writer("tokenize", TABLES) as writer:
        for name in ("b", "a", "c"):
            writer.add_files(NAME, [shard(catalog, name, "pca" if name < "c" else "other")])
    assert catalog.compact(NAME) == (3, 2)
    assert stated(catalog) == {b"pca": ["a", "b"], b"other": ["c"]}
    version = catalog.version(NAME)
    assert catalog.compact(NAME) == (2, 2)
    assert catalog.version(NAME) == version
    with catalog.writer("tokenize", TABLES) as writer:
        writer.drop(NAME, "clip_id", {"a"})
        writer.add_files(NAME, [shard(catalog, "d", "other")])
    assert catalog.compact(NAME) == (3, 2)
    assert stated(catalog) == {b"pca": ["b"], b"other": ["c", "d"]}


def test_a_writer_goes_on_where_no_two_small_files_state_the_same(tmp_path, few):
    catalog = Catalog(Storage.at(tmp_path))
    with catalog.writer("tokenize", TABLES) as writer:
        for name in "abcdefgh":
            writer.add_files(NAME, [shard(catalog, name, name)])
    assert stated(catalog) == {name.encode(): [name] for name in "abcdefgh"}


def test_the_layout_is_that_of_a_file_with_rows(tmp_path):
    catalog = Catalog(Storage.at(tmp_path))
    with catalog.writer("tokenize", TABLES) as writer:
        writer.add_files(NAME, [shard(catalog, name, "pca") for name in ("", "a", "b")])
    assert catalog.compact(NAME) == (3, 1)
    assert stated(catalog) == {b"pca": ["a", "b"]}


def test_columns_that_older_files_lack_are_compressed_with_theirs(tmp_path):
    catalog = Catalog(Storage.at(tmp_path))
    older, content = shard(catalog, "a", "pca"), pa.BufferOutputStream()
    rows = pq.read_table(tmp_path / NAME / older.path).drop_columns(["model"])
    pq.write_table(rows, content, use_dictionary=False, compression="lz4")
    with catalog.writer("tokenize", TABLES) as writer:
        writer.add_files(NAME, [store_file(content.getvalue(), 1, catalog.storage, NAME)])
        writer.add_files(NAME, [shard(catalog, "b", "pca")])
    assert catalog.compact(NAME) == (2, 1)
    ((path, _),) = catalog.files(NAME)
    group = pq.read_metadata(tmp_path / NAME / path).row_group(0)
    columns = {c.path_in_schema: c for c in map(group.column, range(group.num_columns))}
    assert columns["text"].compression == "LZ4"
    assert (columns["model"].compression, columns["model"].is_stats_set) == ("ZSTD", True)
    assert read_ids(catalog) == ["a", "b"]


def test_a_merge_needs_room_on_the_disk(catalog, monkeypatch):
    ids = fill(catalog, 3)

    def full(*_: object) -> None:
        raise InfrastructureError("No space left on device")

    monkeypatch.setattr(compaction, "check_free_space", full)
    with pytest.raises(InfrastructureError, match="No space left"):
        catalog.compact(NAME)
    assert read_ids(catalog) == ids


def test_a_reader_of_an_older_version_goes_on(catalog):
    ids = fill(catalog, 5)
    pinned, version = catalog.snapshot(), catalog.version(NAME)
    assert pinned.open(NAME) is not None
    catalog.compact(NAME)
    fill(catalog, 3, first=50)
    assert read_ids(pinned) == ids
    old = catalog.open(NAME, version)
    assert (
        sorted(arrow_dataset(old, catalog.storage, NAME).to_table()["clip_id"].to_pylist()) == ids
    )


def act_before_commit(writer: Writer, act: Callable[[], object]) -> None:
    """Something happens between the writer's look at a table and its commit."""
    committing, once = writer._committing, [act]

    def interrupted(name: str):
        if once:
            once.pop()()
        return committing(name)

    writer._committing = interrupted


@pytest.mark.parametrize("change", ["append", "drop"])
def test_a_writer_goes_on_where_its_table_is_merged_under_it(catalog, change):
    ids = fill(catalog, 4)
    with catalog.writer("caption", TABLES) as writer:
        act_before_commit(writer, lambda: catalog.compact(NAME))
        if change == "append":
            writer.append(NAME, captions("zz"))
        else:
            writer.drop(NAME, "clip_id", {ids[0]})
    assert read_ids(catalog) == ([*ids, "zz"] if change == "append" else ids[1:])


def test_a_writer_stops_where_another_application_changed_its_rows(catalog):
    fill(catalog, 2)
    with catalog.writer("caption", TABLES) as writer:
        act_before_commit(writer, lambda: catalog.append(NAME, Caption, captions("zz")))
        with pytest.raises(StaleWriterError, match="another run committed to captions/facts"):
            writer.append(NAME, captions("late"))
    assert read_ids(catalog) == ["00", "07", "zz"]


def test_a_step_that_read_its_work_list_before_a_merge_acquires_its_tables(catalog):
    ids = fill(catalog, 4)
    step = catalog.snapshot()
    assert read_ids(step) == ids
    catalog.compact(NAME)
    with step.writer("caption", TABLES) as writer:
        writer.append(NAME, captions("zz"))
    assert read_ids(catalog) == [*ids, "zz"]


def test_a_step_that_read_its_work_list_before_a_merge_and_new_rows_does_not(catalog):
    fill(catalog, 4)
    step = catalog.snapshot()
    assert read_ids(step)
    catalog.compact(NAME)
    fill(catalog, 1, first=50)
    with pytest.raises(StaleWriterError), step.writer("caption", TABLES):
        pytest.fail("it must not acquire what changed since it read")


def test_what_a_writer_drops_during_a_merge_stays_dropped(catalog, monkeypatch):
    ids = fill(catalog, 4)
    merge = compaction.merge

    def merge_late(*arguments):
        merged = merge(*arguments)
        with catalog.writer("caption", TABLES) as writer:
            writer.drop(NAME, "clip_id", {ids[0]})
        return merged

    monkeypatch.setattr(compaction, "merge", merge_late)
    assert catalog.compact(NAME)[0] == 4
    assert read_ids(catalog) == ids[1:]


def test_a_damaged_file_stops_no_writer_and_is_named_on_request(tmp_path, few):
    catalog = Catalog(Storage.at(tmp_path))
    fill(catalog, 3)
    path = Path(tmp_path, NAME, catalog.files(NAME)[0][0])
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    names = [f"{number}" for number in range(200, 206)]
    with Catalog(Storage.at(tmp_path)).writer("caption", TABLES) as writer:
        for name in names:
            writer.append(NAME, captions(name))
    with pytest.raises(InfrastructureError, match=path.name):
        catalog.compact(NAME)
