import dataclasses
import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from curation.data_file import content_name, name_digest
from curation.records import from_table
from curation.storage import Storage, file_sha256
from tests.tokenizer.clip_windows import clip_file, rows_of
from tests.tokenizer.recursive import Recursive
from tokenizer.models.load import load
from tokenizer.tokenize.shards import (
    TokenWindow,
    read_codes,
    read_latents,
    shard_metadata,
    write_shard,
)

TOKENIZER = load("pca-8x8x8")
FACTS = shard_metadata(TOKENIZER, "fp32", "independent")


@pytest.fixture(scope="module")
def row(pattern) -> TokenWindow:
    (row,) = rows_of(clip_file("c0", 11), pattern(11), TOKENIZER, 17)
    return row


def big(row: TokenWindow, window: int) -> TokenWindow:
    """The row with more latents than fit twice into a row group."""
    return dataclasses.replace(row, window=window, latents=bytes(1_600_000))


def test_arrays_come_back_as_views(row, pattern):
    [tokens] = TOKENIZER.encode([np.concatenate([pattern(11), *[pattern(11)[-1:]] * 6])])
    assert np.array_equal(read_codes(row), tokens.codes)
    assert np.array_equal(read_latents(row), tokens.latents)
    assert not read_codes(row).flags.owndata
    assert not read_latents(row).flags.owndata


def test_the_same_rows_give_the_same_bytes(row, tmp_path):
    storage, folder = Storage.at(tmp_path), tmp_path / "tokens/t"
    shard, again = (write_shard([row], storage, "tokens/t", FACTS) for _ in range(2))
    assert again.path != shard.path
    assert content_name(again.path) == content_name(shard.path)
    assert (folder / again.path).read_bytes() == (folder / shard.path).read_bytes()
    assert file_sha256(str(folder / shard.path)).startswith(name_digest(shard.path))
    assert (folder / shard.path).stat().st_size == shard.size_bytes
    other = write_shard([row, row], storage, "tokens/t", FACTS)
    assert content_name(other.path) != content_name(shard.path)


def test_the_layout_is_as_documented(row, tmp_path):
    rows = [big(row, window) for window in range(3)]
    shard = write_shard(rows, Storage.at(tmp_path), "t", FACTS)
    file = pq.ParquetFile(tmp_path / "t" / shard.path)
    assert file.schema_arrow.names == [field.name for field in dataclasses.fields(TokenWindow)]
    assert file.metadata.num_row_groups == 3
    group = file.metadata.row_group(0)
    columns = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    for column in columns.values():
        assert not {"PLAIN_DICTIONARY", "RLE_DICTIONARY"} & set(column.encodings)
        assert not column.has_dictionary_page
    assert columns["codes"].compression == "LZ4"
    assert columns["latents"].compression == "UNCOMPRESSED"
    assert columns["clip_id"].compression == "ZSTD"
    assert columns["codes"].statistics is None
    assert columns["start_frame"].statistics.min == 10
    assert from_table(TokenWindow, file.read()) == rows


def test_small_rows_share_a_group(row, tmp_path):
    rows = [dataclasses.replace(row, window=window) for window in range(20)]
    shard = write_shard(rows, Storage.at(tmp_path), "t", FACTS)
    assert pq.ParquetFile(tmp_path / "t" / shard.path).metadata.num_row_groups == 1
    assert shard.rows == 20


def test_the_schema_carries_the_statistics_of_the_latents(row, tmp_path):
    shard = write_shard([row], Storage.at(tmp_path), "t", FACTS)
    facts = pq.read_schema(tmp_path / "t" / shard.path).metadata
    assert json.loads(facts[b"latent_mean"]) == list(TOKENIZER.latent_mean)
    assert len(json.loads(facts[b"latent_std"])) == 16
    assert json.loads(facts[b"levels"]) == [8, 8, 8, 5, 5, 5]
    assert facts[b"rate"] == b"8x8x8"


def test_the_schema_records_the_tokenizer_and_its_settings(row, tmp_path):
    shard = write_shard(
        [row], Storage.at(tmp_path), "t", shard_metadata(TOKENIZER, "bf16", "stream")
    )
    facts = pq.read_schema(tmp_path / "t" / shard.path).metadata
    assert facts[b"tokenizer_digest"].decode() == row.tokenizer_digest
    assert [facts[key] for key in (b"tokenizer", b"precision", b"windows")] == [
        b"pca-8x8x8",
        b"bf16",
        b"stream",
    ]


def test_rows_of_one_head_keep_the_other_null(pattern, tmp_path):
    tokenizer = Recursive(("latents",))
    rows = rows_of(clip_file("c0", 60), pattern(60), tokenizer, 17)
    facts = shard_metadata(tokenizer, "fp32", "independent")
    shard = write_shard(rows, Storage.at(tmp_path), "t", facts)
    file = pq.ParquetFile(tmp_path / "t" / shard.path)
    assert file.schema_arrow.metadata[b"levels"] == b"[]"
    assert from_table(TokenWindow, file.read()) == rows
    assert file.read(["codes", "codes_dtype", "psnr_codes_db"]).to_pylist()[0] == {
        "codes": None, "codes_dtype": None, "psnr_codes_db": None
    }  # fmt: skip


def test_an_empty_shard_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="needs at least one row"):
        write_shard([], Storage.at(tmp_path), "t", {})
