import errno
import logging
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from curation.dataset import Dataset
from curation.errors import InfrastructureError
from curation.storage import Storage
from tests.tokenizer.feed.tables import (
    FACTS,
    TABLE,
    add_shards,
    add_simple_shards,
    codes_of,
    latents_of,
    token_row,
)
from tokenizer.feed import BadShardError, ReadOptions, Retry, TokenFeed, TokenTable
from tokenizer.feed.shard_check import check_shard
from tokenizer.feed.shard_reader import ShardReader
from tokenizer.tokenize.shards import TokenWindow

SHAPE = (3, 2, 4)
QUICK = Retry(attempts=3, first_pause_s=0.001)


@pytest.fixture
def place(tmp_path):
    add_simple_shards(tmp_path, clips=20)
    return tmp_path


def shard_of(place: Path) -> Path:
    return sorted(place.joinpath(TABLE).glob("*.parquet"))[0]


def damage(shard: Path, group: int, column: str = "codes") -> None:
    """Overwrites the head of a column of one row group."""
    row_group = pq.read_metadata(shard).row_group(group)
    names = [row_group.column(at).path_in_schema for at in range(row_group.num_columns)]
    start = row_group.column(names.index(column)).data_page_offset
    content = bytearray(shard.read_bytes())
    content[start : start + 12] = b"\xff" * 12
    shard.write_bytes(content)


def read_all(place: Path, **reading: object) -> list[tuple[str, int]]:
    tokens = TokenTable(
        place, columns=["codes", "clip_id", "window"], read_options=ReadOptions(**reading)
    )
    result: list[tuple[str, int]] = []
    for batch in TokenFeed(tokens, batch_size=8):
        assert len(batch["codes"]) == len(batch["clip_id"]) == len(batch["position"])
        skipped = int(batch["skipped"]) if "skipped" in batch else 0
        assert len(batch["codes"]) + skipped == 8
        result += zip(batch["clip_id"], batch["window"].tolist(), strict=True)
    return result


def test_a_damaged_row_group_is_named(place):
    shard = shard_of(place)
    damage(shard, 2)
    with pytest.raises(BadShardError, match=f"{TABLE}/{shard.name}, row group 2: "):
        read_all(place)


def test_a_damaged_row_group_may_be_skipped(place, caplog):
    whole = read_all(place)
    shard = shard_of(place)
    lost = pq.ParquetFile(shard).read_row_group(2, ["clip_id", "window"]).to_pylist()
    damage(shard, 2)
    with caplog.at_level(logging.WARNING):
        result = read_all(place, corrupt="skip")
    assert len(set(result)) == len(result)
    assert set(whole) - set(result) == {(row["clip_id"], row["window"]) for row in lost}
    left = [record.message for record in caplog.records if "left out" in record.message]
    assert sum(int(message.split()[0]) for message in left) == len(lost)
    assert all(f"{shard.name}, row group 2" in message for message in left)


@pytest.mark.parametrize("column", ["codes", "latents", "fps"])
def test_one_flipped_bit_is_found(place, column):
    shard = shard_of(place)
    row_group = pq.read_metadata(shard).row_group(1)
    names = [row_group.column(at).path_in_schema for at in range(row_group.num_columns)]
    chunk = row_group.column(names.index(column))
    content = bytearray(shard.read_bytes())
    content[chunk.data_page_offset + chunk.total_compressed_size - 2] ^= 4
    shard.write_bytes(content)
    tokens = TokenTable(place, columns=["codes", "latents", "fps"])
    with pytest.raises(BadShardError, match=r"row group 1: .*checksum"):
        list(TokenFeed(tokens, batch_size=8))


@pytest.mark.parametrize("text", [b"[0.5, -1.0, 2.0]", b"clip_id"], ids=["statistics", "column"])
def test_one_flipped_bit_in_a_footer_is_found(tmp_path, text):
    """Of the only shard, so that no other one disagrees."""
    add_simple_shards(tmp_path, clips=10)
    shard = shard_of(tmp_path)
    content = bytearray(shard.read_bytes())
    content[content.rindex(text) + 2] ^= 1
    shard.write_bytes(content)
    with pytest.raises(BadShardError, match=f"{shard.name}: its footer is not what was written"):
        TokenTable(tmp_path)


def test_a_shard_that_was_cut_short_is_named(place):
    tokens = TokenTable(place)
    shard = shard_of(place)
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(BadShardError, match=f"{shard.name}"):
        list(TokenFeed(tokens, batch_size=8))


def test_rows_of_a_wrong_size_are_named(tmp_path):
    wrong = token_row(3, 0, SHAPE, codes=b"12345678")
    add_shards(tmp_path, [[token_row(2, 0, SHAPE), wrong]])
    with pytest.raises(BadShardError, match=r"row group 0: row 1 has 4 numbers of codes"):
        list(TokenFeed(tmp_path, batch_size=8))


@pytest.mark.skipif(
    TokenWindow.__annotations__["codes"] == "bytes", reason="codes cannot be missing"
)
def test_rows_without_tokens_are_named(tmp_path):
    add_shards(tmp_path, [[token_row(2, 0, SHAPE, codes=None)]])
    with pytest.raises(BadShardError, match="row group 0: 1 rows have no codes"):
        list(TokenFeed(tmp_path, batch_size=8))


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("codes", 64_000, "row 1 has code 64000, beyond the codebook's 64000 entries"),
        ("codes", 65_535, "row 1 has code 65535, beyond the codebook's 64000 entries"),
        ("latents", np.nan, "row 1 has latents that are NaN or infinite"),
        ("latents", -np.inf, "row 1 has latents that are NaN or infinite"),
    ],
)
def test_tokens_that_cannot_be_are_named(tmp_path, column, value, words):
    shape = (3, 2, 4)
    make = {"codes": codes_of, "latents": latents_of}[column]
    bad = make(1, 0, shape).copy()
    bad.flat[bad.size // 2] = value
    row_values = [token_row(0, 0, shape), token_row(1, 0, shape, **{column: bad.tobytes()})]
    add_shards(tmp_path, [[*row_values, token_row(2, 0, shape)]])
    table = TokenTable(tmp_path, columns=(column,), normalised=False)
    with pytest.raises(BadShardError, match=f"row group 0: {words}"):
        next(iter(TokenFeed(table, batch_size=1)))
    [path] = [name for name, _ in Dataset(tmp_path).catalog.files(TABLE)]
    with pytest.raises(BadShardError, match=f"{TABLE}/{path}, row group 0: {words}"):
        check_shard(Dataset(tmp_path).catalog.storage, f"{TABLE}/{path}")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("levels", "["), ("levels", '["a"]'), ("levels", "[8, 0]"), ("levels", "8"),
        ("rate", "fast"), ("latent_mean", "[1.0]"), ("latent_std", "[1.0, NaN, 1.0]"),
        ("latent_std", "nothing"),
    ],
)  # fmt: skip
def test_metadata_that_cannot_be_is_named(tmp_path, monkeypatch, key, value):
    monkeypatch.setitem(FACTS, key, value)
    add_shards(tmp_path, [[token_row(0, 0, (3, 2, 4))]])
    with pytest.raises(BadShardError, match="the metadata of its shards is damaged"):
        TokenTable(tmp_path)


def test_failed_reads_are_retried():
    failures = [OSError("busy"), OSError("busy")]

    def call() -> str:
        if failures:
            raise failures.pop()
        return "bytes"

    assert QUICK("shard", call) == "bytes"


def test_failing_storage_is_an_infrastructure_error():
    def call() -> None:
        raise OSError("503 Slow Down")

    with pytest.raises(InfrastructureError, match="shard could not be read in 3 attempts: 503"):
        QUICK("shard", call)


def test_a_failed_local_read_is_retried_with_a_new_handle(place, monkeypatch):
    """A handle that went stale does not stay."""
    shard, opened = shard_of(place), []
    source = ShardReader(Storage.at(place), TABLE, QUICK)
    open_file = ShardReader._open

    class Stale:
        def __getattr__(self, name):
            raise OSError(errno.ESTALE, "Stale file handle")

    def first_stale(self, name):
        opened.append(name)
        return Stale() if len(opened) == 2 else open_file(self, name)

    monkeypatch.setattr(ShardReader, "_open", first_stale)
    source = ShardReader(Storage.at(place), TABLE, QUICK)
    size = shard.stat().st_size
    source.footer(shard.name, size)
    source._handle.cache_clear()
    assert len(source.read(shard.name, size, 0, ["clip_id"])) == 5
    assert len(opened) == 3


def test_a_missing_file_is_not_retried(place):
    tokens = TokenTable(place)
    shutil.rmtree(place / TABLE)
    with pytest.raises(BadShardError, match="is missing, but the table lists it"):
        list(TokenFeed(tokens, batch_size=8))
