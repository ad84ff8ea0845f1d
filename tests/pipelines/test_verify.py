"""An intact output satisfies all invariants; each damage violates the one that it concerns."""

import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable, write_deltalake
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

from curation import records
from curation.dataset import Dataset
from curation.errors import InfrastructureError
from curation.signals.blocks import RECORDINGS, SAMPLES, ClipRecording, SignalBlock
from pipelines.verify import INVARIANTS, CheckResult, verify
from tests import rows

STATEMENTS = {
    "inputs": "Every listed input has exactly one outcome",
    "accounts": "Every clip is accounted for: kept, filtered, duplicate or failed",
    "files": "Every file exists with its recorded size and digest",
    "clip_ids": "Every clip is named by its content, so a rerun gives the same",
    "finished": "Every finished clip has all its token windows and captions, once",
    "side_tables": "Every source is complete or absent",
}


def violations(out: Path) -> dict[str, list[str]]:
    """The violations of each invariant that does not hold, by its short name."""
    names = {statement: name for name, statement in STATEMENTS.items()}
    results = verify(Dataset(out))
    assert [result.statement for result in results] == list(STATEMENTS.values())
    return {names[r.statement]: r.violations for r in results if not r.holds}


def rewrite(out: Path, name: str, change: Callable[[pa.Table], pa.Table]) -> None:
    """Replaces a table's rows, as somebody with another tool might."""
    path = str(out / name)
    place = SubTreeFileSystem(str(path), LocalFileSystem())
    table = change(DeltaTable(path).to_pyarrow_table(filesystem=place))
    write_deltalake(path, table, mode="overwrite")


def without_first(table: pa.Table) -> pa.Table:
    return table.slice(1)


def first_twice(table: pa.Table) -> pa.Table:
    return pa.concat_tables([table, table.slice(0, 1)])


def with_value(column: str, value: object) -> Callable[[pa.Table], pa.Table]:
    """The first row gets another value."""

    def change(table: pa.Table) -> pa.Table:
        values = [value, *table[column].to_pylist()[1:]]
        index = table.column_names.index(column)
        field = table.field(index)
        return table.set_column(index, field, pa.array(values, field.type))

    return change


def rows_with(column: str, value: str, change: Callable[[pa.Table], pa.Table]) -> Callable:
    """Changes the rows that have a value, and leaves the others."""

    def apply(table: pa.Table) -> pa.Table:
        mask = pc.equal(table[column], value)
        return pa.concat_tables([change(table.filter(mask)), table.filter(pc.invert(mask))])

    return apply


failed = partial(rows_with, "outcome", "failed")
filtered = partial(rows_with, "verdict", "filtered")
duplicate = partial(rows_with, "verdict", "duplicate")


def first_match(out: Path, pattern: str) -> Path:
    return sorted(out.glob(pattern))[0]


def test_an_intact_output_satisfies_every_invariant(curated):
    started: list[str] = []
    results = verify(Dataset(curated.out), started.append)
    assert {r.statement: r.violations for r in results} == {s: [] for s in STATEMENTS.values()}
    assert started == list(STATEMENTS.values())
    assert all(result.checked > 0 for result in results)


def test_an_empty_output_violates_nothing(tmp_path):
    assert violations(tmp_path) == {}


def test_a_missing_render(copied):
    path = first_match(copied.out, "renders/*/media/*/*.mp4")
    path.unlink()
    assert violations(copied.out) == {"files": [f"{path.relative_to(copied.out)} is missing"]}


def test_a_render_of_another_size(copied):
    path = first_match(copied.out, "renders/*/media/*/*.mp4")
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-1])
    words = f"{path.relative_to(copied.out)} has {size - 1} bytes, not {size}"
    assert violations(copied.out) == {"files": [words]}


def add_signal(out: Path, *blocks: int) -> str:
    """Stores a signal of the first clip, in these blocks; returns the clip's id."""
    dataset = Dataset(out)
    (first,) = dataset.all_clips().slice(0, 1).to_pylist()
    ids = (first["clip_id"], first["source_id"])
    recording = ClipRecording(*ids, signals='["action"]')
    table = records.to_table(ClipRecording, [recording])
    dataset.catalog.append(RECORDINGS, ClipRecording, table)
    rows = [
        SignalBlock(*ids, "action", block, "hold", "", "", '["x"]', 0, None, "<f4", b"", b"")
        for block in blocks
    ]
    dataset.catalog.append(SAMPLES, SignalBlock, records.to_table(SignalBlock, rows))
    return str(first["clip_id"])


def test_a_flipped_byte_of_any_table(copied):
    add_signal(copied.out, 0)
    catalog, flipped = Dataset(copied.out).catalog, []
    for name in catalog.table_names():
        for path, _ in catalog.files(name)[:1]:
            file = copied.out / name / path
            content = bytearray(file.read_bytes())
            content[len(content) // 2] ^= 1
            file.write_bytes(content)
            flipped.append(f"{name}/{path}: its bytes changed")
    assert {words.split("/")[0] for words in flipped} >= {"sources", "signals", "tokens"}
    assert {*flipped} <= {*violations(copied.out)["files"]}


def test_signals_have_all_their_blocks(copied):
    clip_id = add_signal(copied.out, 0, 2)
    words = f"signals/samples lacks action of clip {clip_id}, or a part; run `reelmill scan` again"
    assert violations(copied.out) == {"side_tables": [words]}
    add_signal(copied.out, 1)
    twice = f"signals/recordings: clip {clip_id} occurs 2 times"
    assert violations(copied.out) == {"side_tables": [twice]}


@pytest.mark.parametrize("pattern", ["renders/*/media/*/*.mp4", "tokens/*/*.parquet"])
def test_a_flipped_byte(copied, pattern):
    path = first_match(copied.out, pattern)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    by_name = violations(copied.out)
    assert by_name["files"] == [f"{path.relative_to(copied.out)}: its bytes changed"]
    assert by_name.keys() <= {"files", "finished"}


def test_a_missing_shard(copied):
    path = first_match(copied.out, "tokens/*/*.parquet")
    path.unlink()
    by_name = violations(copied.out)
    assert by_name["files"] == [f"{path.relative_to(copied.out)} is missing"]
    assert [w.split(":")[0] for w in by_name["finished"]] == ["cannot be read"]
    assert by_name.keys() == {"files", "finished"}


def test_a_shard_that_no_longer_belongs_to_its_table(copied):
    table = DeltaTable(str(first_match(copied.out, "tokens/*")))
    table.delete()
    by_name = violations(copied.out)
    assert by_name.keys() == {"finished"}
    assert "has token windows [], not " in by_name["finished"][0]


def test_a_commit_of_which_a_line_is_lost(copied):
    logs = sorted(copied.out.glob("thumbnails/_delta_log/*.json"))
    log = next(log for log in logs if '{"add":' in log.read_text())
    log.write_text(log.read_text().replace('{"add":', '{"adf":'))
    by_name = violations(copied.out)
    (message,) = by_name["files"]
    words = "/thumbnails/_delta_log: the files that it lists are not those of the newest commit"
    assert message.endswith(f"{words}, {int(logs[-1].stem)}")


def test_a_missing_file_of_a_table(copied):
    gone = first_match(copied.out, "scores/motion/*.parquet")
    gone.unlink()
    by_name = violations(copied.out)
    assert by_name["files"] == [f"{gone.relative_to(copied.out)} is missing"]
    assert by_name["side_tables"][0].startswith("cannot be read: scores/motion: ")


CHANGES = [
    ("sources", first_twice, "inputs", "occurs 2 times"),
    ("sources", without_first, "inputs", "sources: runs committed 4 rows, the table has 3"),
    ("sources", failed(with_value("reason", "tired")), "inputs", "failed for tired"),
    ("sources", with_value("outcome", "lost"), "inputs", "lost for"),
    ("runs", first_twice, "inputs", "run .* occurs 2 times"),
    ("clips", without_first, "accounts", "its clips are not those of its scan"),
    ("clips", first_twice, "accounts", "its clips are not those of its scan"),
    ("clips", with_value("clip_id", "f" * 32), "clip_ids",
     "clip ffff.* is not named by its content"),
    ("clips", with_value("end_pts", 7), "clip_ids", "is not named by its content"),
    ("selection", without_first, "accounts", "is not the .* of its run"),
    ("selection", without_first, "accounts", "clip [0-9a-f]{32} has no verdict"),
    ("selection", first_twice, "accounts", "clip .* occurs 2 times"),
    ("selection", lambda t: t.slice(0, 0), "accounts", r"{} is not the {.*} of its run"),
    ("selection", filtered(with_value("reason", "ugly")), "accounts", "is filtered ugly"),
    ("selection", duplicate(with_value("duplicate_of", "0" * 32)), "accounts", "duplicate 0000"),
    ("selection", duplicate(with_value("reason", "dark")), "accounts", "is duplicate dark"),
    ("selection", with_value("verdict", "liked"), "accounts", "is liked"),
    ("selection", with_value("clip_id", "e" * 32), "accounts", "clip eeee.* is not among"),
    ("renders/*", without_first, "accounts", r"renders/.*: runs committed 2 rows, the table has 1"),
    ("renders/*", first_twice, "accounts", "occurs 2 times"),
    ("renders/*", with_value("clip_id", "d" * 32), "accounts", "clip dddd.* was never kept"),
    ("renders/*", with_value("outcome", "failed"), "accounts", "failed for None"),
    ("renders/*", with_value("path", None), "files", "clip .* has no file"),
    ("renders/*", with_value("sha256", "0" * 64), "files", "its bytes changed"),
    ("tokenized/*", without_first, "accounts", "runs committed 2 rows, the table has 1"),
    ("tokenized/*", first_twice, "accounts", "occurs 2 times"),
    ("tokenized/*", with_value("windows", 9), "finished", r"has token windows \[0, 1\], not 9"),
    ("tokenized/*", with_value("clip_id", "c" * 32), "finished", "clip cccc.* was never rendered"),
    ("tokens/*", without_first, "finished", "has token windows"),
    ("tokens/*", first_twice, "finished", r"has token windows \[0, 0, 1\], not 2"),
    ("tokens/*", with_value("codes", bytes(7)), "finished", r"row \d has 3\.5 numbers of codes"),
    ("tokens/*", with_value("codes", None), "finished", "1 rows have no codes"),
    ("tokens/*", with_value("latent_height", -1), "finished", "numbers of codes, but its shape"),
    ("tokens/*", with_value("latents", b"\x00\x7c" * 64), "finished", "numbers of latents, but"),
    ("tokenized/*", with_value("render_profile", "encode-0"), "finished", "as renders/encode-0"),
    ("tokenized/*", with_value("render_sha256", "0" * 64), "finished", "of file 00000000, its"),
    ("tokenized/*", with_value("render_frames", 109), "finished", "is of 109 frames at 24 a"),
    ("tokens/*", with_value("frames", 99), "finished", r"has tokens of \d+ frames at 24 a"),
    ("tokens/*", with_value("fps", 30.0), "finished", "frames at 30 a second, its"),
    ("renders/*", with_value("fps", 10.0), "finished", "its render 24 frames at 10 a"),
    ("scores/motion", without_first, "side_tables",
     "scores/motion lacks clip .*; run `reelmill scan`"),
    ("scores/motion", first_twice, "side_tables", "scores/motion: clip .* occurs 2 times"),
    ("scores/motion", with_value("clip_id", "b" * 32), "side_tables", "clip bbbb.* is not among"),
    ("embeddings/frame-dct", without_first, "side_tables", "embeddings/frame-dct lacks clip"),
    ("thumbnails", first_twice, "side_tables", "thumbnails: clip .* occurs 2 times"),
    ("captions/*", first_twice, "side_tables", r"captions/facts-\w{8}: clip .* occurs 2 times"),
    ("captions/*", without_first, "finished", "has 0 captions, not 1"),
    ("captioned/*", first_twice, "accounts", "occurs 2 times"),
    ("captioned/*", with_value("outcome", "failed"), "accounts", "failed for None"),
    ("signatures", without_first, "side_tables", "signatures lacks clip"),
    ("neighbours/copies", first_twice, "side_tables", "pair .* occurs 2 times"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "change", "invariant", "message"),
    CHANGES,
    ids=[f"{c[0]} {c[3][:30]}" for c in CHANGES],
)
def test_rows_that_were_changed_by_hand(copied, name, change, invariant, message):
    table = first_match(copied.out, name)
    rewrite(copied.out, str(table.relative_to(copied.out)), change)
    statement = STATEMENTS[invariant]
    (check,) = [i.check for i in INVARIANTS if i.statement == statement]
    result = CheckResult(statement)
    check(Dataset(copied.out), result)
    assert any(re.search(message, violation) for violation in result.violations), result.violations


def test_a_missing_table(copied):
    shutil.rmtree(copied.out / "selection")
    assert any("is not the" in words for words in violations(copied.out)["accounts"])
    shutil.rmtree(copied.out / "clips")
    assert any("its clips are not those" in words for words in violations(copied.out)["accounts"])


def test_an_unfinished_run_violates_nothing(copied):
    """Sources without their last row, clips not selected yet, and kept clips not rendered yet."""
    dataset = Dataset(copied.out)
    tables = {name: kind for name, kind in rows.SCAN.items() if dataset.catalog.open(name)}
    half = [rows.MeasuredClip(rows.make_clip("1" * 64, 0, 24))]
    rows.add_source(dataset, "/v/half.mp4", half, commit=False, tables=tables)
    later = [rows.MeasuredClip(rows.make_clip("2" * 64, 0, 24))]
    rows.add_source(dataset, "/v/later.mp4", later, tables=tables)
    shutil.rmtree(first_match(copied.out, "tokenized/*"))
    assert violations(copied.out) == {}


def test_an_unavailable_storage_raises(curated, monkeypatch):
    def down(*_):
        raise InfrastructureError("storage: no route to host")

    monkeypatch.setattr("curation.catalog.Catalog.read", down)
    monkeypatch.setattr("curation.storage.Storage.size", down)
    with pytest.raises(InfrastructureError, match="no route"):
        verify(Dataset(curated.out))


def test_a_result_counts_its_checks():
    result = CheckResult("statement")
    result.expect_unique("letter", pa.chunked_array([["a", "b", "a"]]))
    result.expect(True, "fine")
    assert (result.checked, result.violations) == (3, ["letter a occurs 2 times"])
