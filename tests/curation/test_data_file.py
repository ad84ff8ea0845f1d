"""A flipped bit of a table's file is an error, or changes nothing."""

import random
import re
import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.data_file import (
    check_footers,
    content_name,
    name_digest,
    open_parquet,
    parquet_bytes,
    store_file,
)
from curation.storage import Storage, file_sha256

ROWS = pa.table(
    {
        "clip_id": [f"{number:08x}" for number in range(20)],
        "source_id": ["a", "b"] * 10,
        "value": pa.array([None, *(number / 7 for number in range(19))], pa.float64()),
        "bytes": pa.array([bytes([number] * 16) for number in range(20)], pa.binary()),
    }
)


@pytest.fixture
def stored(tmp_path) -> Path:
    content = parquet_bytes(ROWS)
    return tmp_path / store_file(content, len(ROWS), Storage.at(tmp_path), ".").path


def read(path: Path, content: bytes) -> pa.Table:
    return open_parquet(pa.BufferReader(content), str(path)).read()


def test_the_name_states_the_digests_of_file_and_footer(stored):
    content = stored.read_bytes()
    footer = content[-(int.from_bytes(content[-8:-4], "little") + 8) :]
    content_digests = f"{file_sha256(str(stored))[:32]}-{zlib.crc32(footer):08x}"
    assert re.fullmatch(rf"{content_digests}-[0-9a-f]{{8}}\.parquet", stored.name)
    assert content_name(stored.name) == f"{content_digests}.parquet"
    assert content_name(f"{content_digests}.parquet") == f"{content_digests}.parquet"
    assert content_name("part-00000.parquet") == "part-00000.parquet"
    assert name_digest(stored.name) == file_sha256(str(stored))[:32]
    assert name_digest(f"{content_digests}.parquet") == name_digest(stored.name)
    assert name_digest("part-00000-c000.snappy.parquet") is None
    assert pq.read_table(stored) == ROWS


def test_a_flipped_bit_is_an_error_or_changes_nothing(stored):
    """Without checksums, this test meets some 30 flips in the footer that give other rows."""
    content, rng = stored.read_bytes(), random.Random(0)
    refused = 0
    for position in range(len(content)):
        flipped = bytearray(content)
        flipped[position] ^= 1 << rng.randrange(8)
        try:
            rows = read(stored, bytes(flipped))
        except (OSError, pa.ArrowException):
            refused += 1
        else:
            assert rows.equals(ROWS), position
    assert refused > 0.9 * len(content)


@pytest.mark.parametrize("share", [0, 0.3, 0.9, 0.999])
def test_a_cut_file_is_an_error_that_names_it(stored, share):
    stored.write_bytes(stored.read_bytes()[: int(share * stored.stat().st_size)])
    with pytest.raises((OSError, pa.ArrowException), match=stored.name):
        check_footers(Storage.at(stored.parent), ".", [stored.name])


def test_no_name_is_used_twice(stored):
    content = stored.read_bytes()
    stored.write_bytes(bytes(len(content)))
    again = store_file(parquet_bytes(ROWS), len(ROWS), Storage.at(stored.parent), ".")
    assert again.path != stored.name
    assert stored.with_name(again.path).read_bytes() == content


def test_footers_of_older_outputs_are_compared_too(stored):
    older = stored.rename(stored.with_name(content_name(stored.name)))
    check_footers(Storage.at(older.parent), ".", [older.name])
    damaged = older.with_name(older.name.replace(older.name[33:41], "00000000"))
    older.rename(damaged)
    with pytest.raises(pa.ArrowException, match="its footer is not what was written"):
        check_footers(Storage.at(damaged.parent), ".", [damaged.name])
