import dataclasses
import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from curation.records import records
from curation.storage import Storage, file_sha256
from tokenizer.load import load
from tokenizer.shards import TokenWindow, metadata, read_codes, read_latents, write_shard
from tokenizer.tokenize import ClipFile, encode_window
from tokenizer.windows import Window

TOKENIZER = load("pca-8x8x8")


@pytest.fixture(scope="module")
def row(pattern) -> TokenWindow:
    clip = ClipFile("c0", "s0", "clips/c0.mp4", 60, 96, 64, 24.0, start_frame=120, start_s=5.0)
    return encode_window(pattern(11), Window(1, 48, 11, 6), clip, TOKENIZER)


def big(row: TokenWindow, window: int) -> TokenWindow:
    """The row with more latents than fit twice into a row group."""
    return dataclasses.replace(row, window=window, latents=bytes(1_600_000))


def test_a_row_says_where_it_comes_from(row):
    assert (row.start_frame, row.start_s, row.frames, row.pad_frames) == (168, 7.0, 11, 6)
    assert (row.latent_frames, row.latent_height, row.latent_width, row.channels) == (3, 8, 12, 16)
    assert (row.pixel_height, row.pixel_width, row.causal_first) == (64, 96, True)
    assert (row.codes_dtype, row.latents_dtype) == ("uint16", "float16")
    assert row.tokenizer_digest == TOKENIZER.digest
    assert row.psnr_latents_db > row.psnr_codes_db > 18


def test_arrays_come_back_as_views(row, pattern):
    tokens = TOKENIZER.encode(np.concatenate([pattern(11), *[pattern(11)[-1:]] * 6]))
    assert np.array_equal(read_codes(row), tokens.codes)
    assert np.array_equal(read_latents(row), tokens.latents)
    assert not read_codes(row).flags.owndata
    assert not read_latents(row).flags.owndata


def test_the_same_rows_give_the_same_file(row, tmp_path):
    first, second = Storage.at(tmp_path / "a"), Storage.at(tmp_path / "b")
    shard = write_shard([row], first, "tokens/t", metadata(TOKENIZER))
    assert write_shard([row], second, "tokens/t", metadata(TOKENIZER)) == shard
    assert write_shard([row], first, "tokens/t", metadata(TOKENIZER)) == shard
    assert [path.name for path in (tmp_path / "a/tokens/t").iterdir()] == [
        f"{shard.sha256[:32]}.parquet"
    ]
    assert file_sha256(str(tmp_path / "a" / shard.path)) == shard.sha256
    assert (tmp_path / "b" / shard.path).stat().st_size == shard.size_bytes
    other = write_shard([row, row], first, "tokens/t", metadata(TOKENIZER))
    assert other.path != shard.path


def test_the_layout_is_as_documented(row, tmp_path):
    rows = [big(row, window) for window in range(3)]
    shard = write_shard(rows, Storage.at(tmp_path), "t", metadata(TOKENIZER))
    file = pq.ParquetFile(tmp_path / shard.path)
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
    assert columns["start_frame"].statistics.min == 168
    assert records(TokenWindow, file.read()) == rows


def test_small_rows_share_a_group(row, tmp_path):
    rows = [dataclasses.replace(row, window=window) for window in range(20)]
    shard = write_shard(rows, Storage.at(tmp_path), "t", metadata(TOKENIZER))
    assert pq.ParquetFile(tmp_path / shard.path).metadata.num_row_groups == 1
    assert shard.rows == 20


def test_the_schema_carries_the_statistics_of_the_latents(row, tmp_path):
    shard = write_shard([row], Storage.at(tmp_path), "t", metadata(TOKENIZER))
    facts = pq.read_schema(tmp_path / shard.path).metadata
    assert json.loads(facts[b"latent_mean"]) == list(TOKENIZER.latent_mean)
    assert len(json.loads(facts[b"latent_std"])) == 16
    assert json.loads(facts[b"levels"]) == [8, 8, 8, 5, 5, 5]
    assert facts[b"rate"] == b"8x8x8"


def test_an_empty_shard_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="needs at least one row"):
        write_shard([], Storage.at(tmp_path), "t", {})
