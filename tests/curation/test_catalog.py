"""Tables on disk and on S3: appending, fencing, races, files of workers, dropping."""

import subprocess
import sys
from dataclasses import make_dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from deltalake import Transaction

from curation import lease, records
from curation.catalog import Catalog
from curation.data_file import NewFile
from curation.dataset import Dataset
from curation.delta_table import StaleWriterError
from curation.errors import InfrastructureError
from curation.records import Caption, Clip
from curation.scan.collector import EMBEDDINGS
from curation.scan.shots import ContentChange
from curation.scan.stage import Scan
from curation.scan.step import ScanStep
from curation.step import open_ledger
from curation.storage import AddressError, Storage
from tests import rows, s3
from tests.outputs import ROOT, environment

TABLES = {"captions/facts": Caption}


@pytest.fixture(params=["disk", pytest.param("s3", marks=pytest.mark.s3)])
def catalog(request, tmp_path, monkeypatch) -> Catalog:
    root = str(tmp_path) if request.param == "disk" else s3.bucket(monkeypatch)
    return Catalog(Storage.at(f"{root}/out"))


def captions(*names: str) -> pa.Table:
    return records.to_table(Caption, [Caption(name, "s", f"text {name}") for name in names])


def ids(catalog: Catalog, table: str = "captions/facts") -> list[str]:
    return sorted(catalog.read(table, Caption)["clip_id"].to_pylist())


def test_missing_tables_are_empty(catalog):
    assert catalog.open("clips") is None
    assert catalog.version("clips") == -1
    assert catalog.read("clips", Clip) == records.to_table(Clip, [])
    assert catalog.read("clips", Clip, ["clip_id"]).column_names == ["clip_id"]
    assert catalog.values("clips", Clip, "clip_id") == set()
    assert catalog.names("scores") == []


def test_rows_are_appended_and_read_back(catalog):
    catalog.append("captions/facts", Caption, captions("b"))
    catalog.append("captions/facts", Caption, captions("a", "c"))
    assert ids(catalog) == ["a", "b", "c"]
    assert catalog.read("captions/facts", Caption).schema == records.arrow_schema(Caption)
    rows_of_c = catalog.read("captions/facts", Caption, ["text"], pc.field("clip_id") == "c")
    assert rows_of_c.to_pylist() == [{"text": "text c"}]
    assert catalog.values("captions/facts", Caption, "source_id") == {"s"}
    assert catalog.names("captions") == ["captions/facts"]


def test_a_writer_appends_all_or_none(catalog):
    with catalog.writer("render", TABLES) as writer:
        writer.append("captions/facts", captions("a"))
        version = catalog.version("captions/facts")
        writer.append("captions/facts", captions())
        assert catalog.version("captions/facts") == version
    assert ids(catalog) == ["a"]


def drop_leases(catalog: Catalog) -> None:
    """As if the lease of a live run had expired."""
    catalog.storage.filesystem.delete_dir_contents(catalog.storage.path(lease.FOLDER))


def test_a_stale_writer_loses(catalog):
    with catalog.writer("render", TABLES) as old:
        old.append("captions/facts", captions("old"))
        drop_leases(catalog)
        with catalog.writer("render", TABLES) as new:
            for stale in (
                lambda: old.append("captions/facts", captions("late")),
                lambda: old.drop("captions/facts", "clip_id", {"old"}),
                lambda: old.add_files("captions/facts", [NewFile("x.parquet", 1, 1)]),
            ):
                with pytest.raises(StaleWriterError, match=r"acquired .*captions/facts"):
                    stale()
            new.append("captions/facts", captions("new"))
    assert ids(catalog) == ["new", "old"]


def test_a_writer_that_read_the_table_before_another_commit_loses(catalog, monkeypatch):
    """The window between looking at the table and committing to it."""
    with catalog.writer("render", TABLES) as old:
        table = old._checked("captions/facts")
        drop_leases(catalog)
        with catalog.writer("render", TABLES) as new:
            checked, seen = old._checked, iter([table])
            monkeypatch.setattr(
                old, "_checked", lambda name, **more: next(seen, None) or checked(name, **more)
            )
            with pytest.raises(StaleWriterError, match=r"acquired .*captions/facts"):
                old.append("captions/facts", captions("late"))
            new.append("captions/facts", captions("new"))
    assert ids(catalog) == ["new"]


RACER = """
import sys, time
from dataclasses import make_dataclass
from pathlib import Path
from curation import records
from curation.catalog import Catalog
from curation.delta_table import StaleWriterError
from curation.lease import LeaseHeldError
from curation.records import Caption
from curation.storage import Storage

root, name, flags = sys.argv[1], sys.argv[2], Path(sys.argv[3])
for n in range(int(sys.argv[4])):
    outcome = "stale"
    try:
        with Catalog(Storage.at(root)).writer("render", {f"captions/{n}": Caption}) as writer:
            (flags / f"{n}-{name}").touch()
            while len(list(flags.glob(f"{n}-*"))) < 2:
                time.sleep(0.001)
            row = Caption(name, "s", "text")
            writer.append(f"captions/{n}", records.to_table(Caption, [row]))
            outcome = "won"
    except (StaleWriterError, LeaseHeldError):
        (flags / f"{n}-{name}").touch()
    (flags / f"done-{n}-{name}").touch()
    while len(list(flags.glob(f"done-{n}-*"))) < 2:
        time.sleep(0.001)
    print(outcome)
"""


def test_of_two_processes_on_one_table_exactly_one_wins(catalog, tmp_path):
    rounds = 2
    flags = tmp_path / "flags"
    flags.mkdir()
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, catalog.storage.root, name, str(flags), str(rounds)],
            stdout=subprocess.PIPE, cwd=ROOT, env=environment(), text=True,
        )
        for name in ("left", "right")
    ]  # fmt: skip
    left, right = (racer.communicate(timeout=300)[0].split() for racer in racers)
    assert [racer.returncode for racer in racers] == [0, 0]
    for n, outcomes in enumerate(zip(left, right, strict=True)):
        assert sorted(outcomes) == ["stale", "won"]
        assert ids(catalog, f"captions/{n}") == [("left", "right")[outcomes.index("won")]]


def test_files_of_workers_become_rows_when_committed(catalog, tmp_path):
    with catalog.writer("render", TABLES) as writer:
        with catalog.storage.atomic_write("captions/facts/apart.parquet") as path:
            pq.write_table(captions("a", "b"), path)
        assert ids(catalog) == []
        size = catalog.storage.size("captions/facts/apart.parquet")
        writer.add_files("captions/facts", [NewFile("apart.parquet", size, 2)])
        assert ids(catalog) == ["a", "b"]
        writer.add_files("captions/facts", [NewFile("apart.parquet", size, 2)])
        assert ids(catalog) == ["a", "b"]
        writer.append("captions/facts", captions("c"))
        writer.drop("captions/facts", "clip_id", {"b", "c", "none"})
    assert ids(catalog) == ["a"]


def test_rows_with_any_value_are_dropped(catalog):
    odd = ["it's", 'say "x"', "50%"]
    with catalog.writer("render", TABLES) as writer:
        writer.append("captions/facts", captions(*odd, "plain"))
        version = catalog.version("captions/facts")
        writer.drop("captions/facts", "clip_id", set())
        assert catalog.version("captions/facts") == version
        writer.drop("captions/facts", "clip_id", set(odd))
    assert ids(catalog) == ["plain"]


def test_rows_without_commit_marker_are_dropped_by_the_next_writer(catalog):
    dataset = Dataset(catalog.storage.root)
    complete = [rows.MeasuredClip(rows.make_clip("1" * 64, start, start + 48)) for start in (0, 48)]
    partial = [rows.MeasuredClip(rows.make_clip("2" * 64, 0, 24))]
    tables = {name: rows.SCAN[name] for name in ("clips", EMBEDDINGS)}
    rows.add_source(dataset, "/v/complete.mp4", complete, tables=tables)
    rows.add_source(dataset, "/v/partial.mp4", partial, tables=tables, commit=False)
    assert catalog.read("clips", Clip).num_rows == 3
    with open_ledger(ScanStep(catalog, Scan(shots=ContentChange(), scores=()), [])):
        pass
    for name, record in tables.items():
        assert catalog.values(name, record, "source_id") == {"1" * 64}, name
        assert catalog.read(name, record).num_rows == 2, name


def test_a_missing_file_of_a_table_is_an_infrastructure_error_in_one_line(tmp_path):
    catalog = Catalog(Storage.at(tmp_path))
    catalog.append("captions/facts", Caption, captions("a"))
    (file,) = Path(tmp_path).glob("captions/facts/*.parquet")
    file.unlink()
    with pytest.raises(InfrastructureError, match=r"^captions/facts: .*No such file[^\n\x1b]*$"):
        catalog.read("captions/facts", Caption)


@pytest.mark.s3
def test_a_missing_bucket_is_an_infrastructure_error_in_one_line(monkeypatch):
    root = s3.bucket(monkeypatch) + "-gone/out"
    with pytest.raises(InfrastructureError, match=r"^clips: [^\n\x1b]*$"):
        Catalog(Storage.at(root)).open("clips")


def test_new_columns_of_a_record_are_null_and_added_by_the_next_writer(tmp_path):
    earlier = make_dataclass("Earlier", [("clip_id", str), ("value", "float | None")])
    later = make_dataclass(
        "Later", [("clip_id", str), ("value", "float | None"), ("word", "str | None")]
    )
    catalog = Catalog(Storage.at(tmp_path))
    with catalog.writer("t", {"things": earlier}) as writer:
        writer.append("things", records.to_table(earlier, [earlier("a", 1.0)]))
    old = {"clip_id": "a", "value": 1.0, "word": None}
    assert catalog.read("things", later).to_pylist() == [old]
    assert catalog.read("things", later, ["word"]).to_pylist() == [{"word": None}]
    with catalog.writer("t", {"things": later}) as writer:
        writer.append("things", records.to_table(later, [later("b", None, "new")]))
    assert catalog.read("things", later).sort_by("clip_id").to_pylist() == [
        old, {"clip_id": "b", "value": None, "word": "new"},
    ]  # fmt: skip
    assert catalog.read("things", earlier).num_rows == 2


@pytest.mark.parametrize("columns", [["clip_id"], ["clip_id", "word"]], ids=["same", "wider"])
def test_of_two_writers_that_read_the_same_version_one_wins(tmp_path, columns):
    """Also where acquiring the table adds a column that it lacks."""
    earlier = make_dataclass("Earlier", [("clip_id", str)])
    later = make_dataclass("Later", [(name, "str | None") for name in columns])
    catalog = Catalog(Storage.at(tmp_path))
    catalog.append("things", earlier, records.to_table(earlier, [earlier("a")]))
    one, two = catalog.snapshot(), catalog.snapshot()
    assert [c.read("things", later).num_rows for c in (one, two)] == [1, 1]
    with two.writer("t", {"things": later}) as writer:
        writer.append("things", records.to_table(later, [later(*columns)]))
    with (
        pytest.raises(StaleWriterError, match="another run committed to things first"),
        one.writer("t", {"things": later}),
    ):
        pytest.fail("it must not acquire what changed since it read")
    assert catalog.read("things", later).num_rows == 2
    assert one.read("things", later).num_rows == 1


def test_of_two_writers_that_found_no_table_one_creates_it(tmp_path):
    catalog = Catalog(Storage.at(tmp_path))
    one, two = catalog.snapshot(), catalog.snapshot()
    assert (one.open("captions/facts"), two.open("captions/facts")) == (None, None)
    with two.writer("caption", TABLES) as writer:
        writer.append("captions/facts", captions("two"))
    with (
        pytest.raises(StaleWriterError, match="another run created captions/facts first"),
        one.writer("caption", TABLES),
    ):
        pytest.fail("it must not acquire what another made")
    assert ids(catalog) == ["two"]


def test_of_two_writers_that_create_tables_in_turn_one_wins(tmp_path):
    """The second has acquired the first table; that the first has created the next is no reason."""
    tables = {"captions/a": Caption, "captions/b": Caption}
    catalog = Catalog(Storage.at(tmp_path))
    one, two = catalog.snapshot(), catalog.snapshot()
    with one.lease("t", tables) as first:
        first._tables["captions/a"] = one.create(
            "captions/a", Caption, [Transaction("reelmill/t", 1)]
        )
        first._numbers["captions/a"] = 1
        drop_leases(catalog)
        create = two.create

        def create_after_the_other(name, record, transactions=()):
            if name == "captions/b":
                one.create(name, record, [Transaction("reelmill/t", 1)])
            return create(name, record, transactions)

        two.create = create_after_the_other
        with two.writer("t", tables) as second:
            for name in tables:
                second.append(name, captions("two"))
        with pytest.raises(StaleWriterError, match=r"acquired .*captions/a"):
            first.append("captions/a", captions("one"))
    assert ids(catalog, "captions/a") == ids(catalog, "captions/b") == ["two"]


def test_a_condition_on_a_column_that_the_table_lacks_finds_null(tmp_path):
    earlier = make_dataclass("Earlier", [("clip_id", str)])
    later = make_dataclass("Later", [("clip_id", str), ("word", "str | None")])
    catalog = Catalog(Storage.at(tmp_path))
    catalog.append("things", earlier, records.to_table(earlier, [earlier("a")]))
    word = pc.field("word")
    assert catalog.read("things", later, ["clip_id"], word.is_null()).num_rows == 1
    assert catalog.read("things", later, ["clip_id"], word == "a").num_rows == 0


@pytest.mark.parametrize("name", ["", "../clips", "/tmp/clips", "captions/.hidden", "a//b", "a/.."])
def test_names_that_lead_out_of_the_output_are_no_tables(tmp_path, name):
    with pytest.raises(AddressError, match="is no name of a table"):
        Catalog(Storage.at(tmp_path / "out")).open(name)


def test_a_file_of_which_some_rows_were_dropped_is_filtered_as_before(catalog):
    """The Delta library, which dropped them formerly, writes the others with other types."""
    catalog.append("captions/facts", Caption, captions("a", "b", "c", "e"))
    catalog.open("captions/facts").delete("clip_id = 'b'")
    with catalog.writer("render", TABLES) as writer:
        writer.drop("captions/facts", "clip_id", {"e"})
        writer.append("captions/facts", captions("d"))
        writer.drop("captions/facts", "clip_id", {"c"}, pc.field("text") == "text c")
    clip_id, window = pc.field("clip_id"), pc.field("window")
    for where, found in (
        (None, ["a", "d"]), (clip_id == "a", ["a"]), (clip_id.isin(["b", "d"]), ["d"]),
        ((clip_id > "a") & (window == 0), ["d"]), (clip_id == "z", []),
        (pc.field("model").is_valid(), []), (window == 0, ["a", "d"]),
    ):  # fmt: skip
        rows = catalog.read("captions/facts", Caption, ["text", "clip_id"], where)
        assert sorted(rows["clip_id"].to_pylist()) == found
        assert rows.schema.field("clip_id").type == pa.string()


def test_a_log_without_an_entry_is_no_table(tmp_path):
    """As a run leaves one that is killed before its first commit."""
    catalog = Catalog(Storage.at(str(tmp_path)))
    for name in ("listed", "captions/facts", "captions/others"):
        (tmp_path / name / "_delta_log").mkdir(parents=True)
    catalog.create("captions/others", Caption)
    assert catalog.names("captions") == catalog.table_names() == ["captions/others"]
