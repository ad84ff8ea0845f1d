"""A good output keeps all promises; each way of breaking it is told by the promise it breaks."""

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

from curation.dataset import Dataset
from curation.errors import InfrastructureError
from pipelines.verify import _CHECKS, Promise, verify
from tests import rows

PROMISES = {
    "inputs": "Every listed input has exactly one outcome",
    "accounts": "Every clip is accounted for: kept, filtered, duplicate or failed",
    "files": "Every file exists with its recorded size and digest",
    "names": "Every clip is named by its content, so a rerun finds the same",
    "finished": "Every finished clip has all its token windows and captions, once",
    "whole": "Every source is there wholly or not at all",
}


def broken(out: Path) -> dict[str, list[str]]:
    """What broke each promise that does not hold, by its short name."""
    words = {long: short for short, long in PROMISES.items()}
    found = verify(Dataset(out))
    assert [promise.words for promise in found] == list(PROMISES.values())
    return {words[p.words]: p.broken for p in found if not p.holds}


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
        at = table.column_names.index(column)
        return table.set_column(at, table.field(at), pa.array(values, table.field(at).type))

    return change


def where(column: str, value: str, change: Callable[[pa.Table], pa.Table]) -> Callable:
    """Changes the rows that have a value, and leaves the others."""

    def apply(table: pa.Table) -> pa.Table:
        own = pc.equal(table[column], value)
        return pa.concat_tables([change(table.filter(own)), table.filter(pc.invert(own))])

    return apply


failed = partial(where, "outcome", "failed")
filtered = partial(where, "verdict", "filtered")
duplicate = partial(where, "verdict", "duplicate")


def one(out: Path, pattern: str) -> Path:
    return sorted(out.glob(pattern))[0]


def test_a_good_output_keeps_every_promise(curated):
    watched: list[str] = []
    found = verify(Dataset(curated.out), watched.append)
    assert {p.words: p.broken for p in found} == {words: [] for words in PROMISES.values()}
    assert watched == list(PROMISES.values())
    assert all(promise.checked > 0 for promise in found)


def test_an_empty_output_promises_nothing(tmp_path):
    assert broken(tmp_path) == {}


def test_a_render_that_is_gone(copied):
    path = one(copied.out, "renders/*/media/*/*.mp4")
    path.unlink()
    assert broken(copied.out) == {"files": [f"{path.relative_to(copied.out)} is missing"]}


def test_a_render_of_another_size(copied):
    path = one(copied.out, "renders/*/media/*/*.mp4")
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-1])
    words = f"{path.relative_to(copied.out)} has {size - 1} bytes, not {size}"
    assert broken(copied.out) == {"files": [words]}


@pytest.mark.parametrize("pattern", ["renders/*/media/*/*.mp4", "tokens/*/*.parquet"])
def test_a_flipped_byte(copied, pattern):
    path = one(copied.out, pattern)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    found = broken(copied.out)
    assert found["files"] == [f"{path.relative_to(copied.out)}: its bytes changed"]
    assert found.keys() <= {"files", "finished"}


def test_a_shard_that_is_gone(copied):
    path = one(copied.out, "tokens/*/*.parquet")
    path.unlink()
    found = broken(copied.out)
    assert found["files"] == [f"{path.relative_to(copied.out)} is missing"]
    assert [w.split(":")[0] for w in found["finished"]] == ["cannot be read"]
    assert found.keys() == {"files", "finished"}


def test_a_shard_that_no_longer_belongs_to_its_table(copied):
    table = DeltaTable(str(one(copied.out, "tokens/*")))
    table.delete()
    found = broken(copied.out)
    assert found.keys() == {"finished"}
    assert "has token windows [], not " in found["finished"][0]


def test_files_of_tables_that_are_gone(copied):
    gone = one(copied.out, "scores/motion/*.parquet")
    gone.unlink()
    found = broken(copied.out)
    assert found["files"] == [f"{gone.relative_to(copied.out)} is missing"]
    assert found["whole"][0].startswith("cannot be read: scores/motion: ")


CHANGES = [
    ("sources", first_twice, "inputs", "is there 2 times"),
    ("sources", without_first, "inputs", "sources: runs committed 4 rows, 3 are there"),
    ("sources", failed(with_value("reason", "tired")), "inputs", "failed for tired"),
    ("sources", with_value("outcome", "lost"), "inputs", "lost for"),
    ("runs", first_twice, "inputs", "run .* is there 2 times"),
    ("clips", without_first, "accounts", "its clips are not those that were found"),
    ("clips", first_twice, "accounts", "its clips are not those that were found"),
    ("clips", with_value("clip_id", "f" * 32), "names", "clip ffff.* is not what it is called"),
    ("clips", with_value("end_pts", 7), "names", "is not what it is called"),
    ("selection", without_first, "accounts", "is not the .* that was found"),
    ("selection", without_first, "accounts", "clip [0-9a-f]{32} has no verdict"),
    ("selection", first_twice, "accounts", "clip .* is there 2 times"),
    ("selection", lambda t: t.slice(0, 0), "accounts", r"{} is not the {.*} that was found"),
    ("selection", filtered(with_value("reason", "ugly")), "accounts", "is filtered ugly"),
    ("selection", duplicate(with_value("duplicate_of", "0" * 32)), "accounts", "duplicate 0000"),
    ("selection", duplicate(with_value("reason", "dark")), "accounts", "is duplicate dark"),
    ("selection", with_value("verdict", "liked"), "accounts", "is liked"),
    ("selection", with_value("clip_id", "e" * 32), "accounts", "clip eeee.* is not among"),
    ("renders/*", without_first, "accounts", r"renders/.*: runs committed 2 rows, 1 are there"),
    ("renders/*", first_twice, "accounts", "is there 2 times"),
    ("renders/*", with_value("clip_id", "d" * 32), "accounts", "clip dddd.* was never kept"),
    ("renders/*", with_value("outcome", "failed"), "accounts", "failed for None"),
    ("renders/*", with_value("path", None), "files", "clip .* has no file"),
    ("renders/*", with_value("sha256", "0" * 64), "files", "its bytes changed"),
    ("tokenized/*", without_first, "finished", "runs committed 2 rows, 1 are there"),
    ("tokenized/*", first_twice, "finished", "is there 2 times"),
    ("tokenized/*", with_value("windows", 9), "finished", r"has token windows \[0, 1\], not 9"),
    ("tokenized/*", with_value("clip_id", "c" * 32), "finished", "clip cccc.* was never rendered"),
    ("tokens/*", without_first, "finished", "has token windows"),
    ("tokens/*", first_twice, "finished", r"has token windows \[0, 0, 1\], not 2"),
    ("tokenized/*", with_value("render_profile", "encode-0"), "finished", "as renders/encode-0"),
    ("tokenized/*", with_value("render_sha256", "0" * 64), "finished", "of file 00000000, its"),
    ("tokenized/*", with_value("render_frames", 109), "finished", "is of 109 frames at 24 a"),
    ("tokens/*", with_value("frames", 99), "finished", r"has tokens of \d+ frames at 24 a"),
    ("tokens/*", with_value("fps", 30.0), "finished", "frames at 30 a second, its"),
    ("renders/*", with_value("fps", 10.0), "finished", "its render 24 frames at 10 a"),
    ("scores/motion", without_first, "whole", "scores/motion lacks clip .*; run `reelmill scan`"),
    ("scores/motion", first_twice, "whole", "scores/motion: clip .* is there 2 times"),
    ("scores/motion", with_value("clip_id", "b" * 32), "whole", "clip bbbb.* is not among"),
    ("embeddings/frame-dct", without_first, "whole", "embeddings/frame-dct lacks clip"),
    ("thumbnails", first_twice, "whole", "thumbnails: clip .* is there 2 times"),
    ("captions/*", first_twice, "whole", r"captions/facts-\w{8}: clip .* is there 2 times"),
    ("captions/*", without_first, "finished", "has 0 captions, not 1"),
    ("captioned/*", first_twice, "finished", "is there 2 times"),
    ("captioned/*", with_value("outcome", "failed"), "finished", "failed for None"),
    ("signatures", without_first, "whole", "signatures lacks clip"),
    ("neighbours/copies", first_twice, "whole", "pair .* is there 2 times"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "change", "promise", "words"), CHANGES, ids=[f"{c[0]} {c[3][:30]}" for c in CHANGES]
)
def test_rows_that_were_changed_by_hand(copied, name, change, promise, words):
    table = one(copied.out, name)
    rewrite(copied.out, str(table.relative_to(copied.out)), change)
    looked = Promise(PROMISES[promise])
    _CHECKS[looked.words](Dataset(copied.out), looked)
    assert any(re.search(words, said) for said in looked.broken), looked.broken


def test_a_table_that_is_gone(copied):
    shutil.rmtree(copied.out / "selection")
    assert any("is not the" in words for words in broken(copied.out)["accounts"])
    shutil.rmtree(copied.out / "clips")
    assert any("its clips are not those" in words for words in broken(copied.out)["accounts"])


def test_what_a_run_left_unfinished_breaks_nothing(copied):
    """Sources without their last row, clips not selected yet, and kept clips not rendered yet."""
    dataset = Dataset(copied.out)
    there = {name: kind for name, kind in rows.SCAN.items() if dataset.catalog.open(name)}
    half = [rows.Looks(rows.clip_of("1" * 64, 0, 24))]
    rows.scanned(dataset, "/v/half.mp4", half, announce=False, tables=there)
    later = [rows.Looks(rows.clip_of("2" * 64, 0, 24))]
    rows.scanned(dataset, "/v/later.mp4", later, tables=there)
    shutil.rmtree(one(copied.out, "tokenized/*"))
    assert broken(copied.out) == {}


def test_a_storage_that_does_not_answer_is_no_verdict(curated, monkeypatch):
    def down(*_):
        raise InfrastructureError("storage: no route to host")

    monkeypatch.setattr("curation.catalog.Catalog.read", down)
    monkeypatch.setattr("curation.storage.Storage.size", down)
    with pytest.raises(InfrastructureError, match="no route"):
        verify(Dataset(curated.out))


def test_a_promise_counts_what_it_looked_at():
    promise = Promise("words")
    promise.once(["a", "b", "a"], "letter")
    promise.expect(True, "fine")
    assert (promise.checked, promise.broken) == (3, ["letter a is there 2 times"])
