"""The feed from an object store, against a local server."""

import shutil

import pyarrow.parquet as pq
import pytest
import torch

from curation.catalog import Catalog
from curation.storage import Storage
from tests import s3
from tests.tokenizer.feed.tables import TABLE, add_simple_shards
from tokenizer.feed import ReadOptions, TokenFeed, TokenTable
from tokenizer.feed.shard_reader import ShardReader

pytestmark = pytest.mark.s3
NAMES = ["codes", "clip_id", "window"]


def order(tokens: TokenTable) -> list[tuple[str, int]]:
    batches = TokenFeed(tokens, batch_size=8, seed=2)
    return [k for b in batches for k in zip(b["clip_id"], b["window"].tolist(), strict=True)]


@pytest.fixture
def outputs(tmp_path, monkeypatch):
    """The same shards on disk and in a bucket."""
    local, remote = tmp_path / "out", s3.bucket(monkeypatch) + "/out"
    add_simple_shards(local, clips=20)
    add_simple_shards(remote, clips=20)
    return local, remote


def test_an_object_store_gives_what_a_disk_gives(outputs, tmp_path):
    local, remote = outputs
    expected = order(TokenTable(local, columns=NAMES))
    assert len(expected) == 40
    assert order(TokenTable(remote, columns=NAMES)) == expected
    cached = TokenTable(
        remote, columns=NAMES, read_options=ReadOptions(cache_dir=str(tmp_path / "cache"))
    )
    assert order(cached) == expected


def test_what_is_cached_is_not_fetched_again(outputs, tmp_path, monkeypatch):
    _, remote = outputs
    reading = ReadOptions(cache_dir=str(tmp_path / "cache"))
    tokens = TokenTable(remote, columns=NAMES, read_options=reading)
    expected = order(tokens)
    import boto3

    client = boto3.client("s3")
    bucket, prefix = remote.removeprefix("s3://").split("/")
    listed = client.list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/{TABLE}/")["Contents"]
    for item in listed:
        if item["Key"].endswith(".parquet"):
            client.delete_object(Bucket=bucket, Key=item["Key"])
    assert order(tokens) == expected
    shutil.rmtree(tmp_path / "cache")
    with pytest.raises(Exception, match="is missing, but the table lists it"):
        order(tokens)


def test_workers_read_from_an_object_store(outputs):
    _, remote = outputs
    feed = TokenFeed(TokenTable(remote, columns=NAMES), batch_size=8, seed=2)
    context = torch.multiprocessing.get_context("spawn")
    loader = torch.utils.data.DataLoader(
        feed, batch_size=None, num_workers=1, multiprocessing_context=context
    )
    result = [k for b in loader for k in zip(b["clip_id"], b["window"].tolist(), strict=True)]
    assert result == order(TokenTable(remote, columns=NAMES))


def test_only_the_wanted_columns_are_fetched(outputs, monkeypatch):
    local, remote = outputs
    shard = sorted((local / TABLE).glob("*.parquet"))[0]
    size, names = shard.stat().st_size, ["clip_id", "codes"]
    fetched = []
    fetch = ShardReader._fetch

    def counted(self, name, start, length):
        fetched.append(length)
        return fetch(self, name, start, length)

    monkeypatch.setattr(ShardReader, "_fetch", counted)
    monkeypatch.setattr("tokenizer.feed.shard_reader._GAP_BYTES", 0)
    stem = shard.name.rpartition("-")[0]  # what follows is random
    files = Catalog(Storage.at(remote)).files(TABLE)
    (there,) = [name for name, _ in files if name.startswith(stem)]
    result = ShardReader(Storage.at(remote), TABLE).read(there, size, 1, names)
    assert result.equals(ShardReader(Storage.at(local), TABLE).read(shard.name, size, 1, names))
    group = pq.read_metadata(shard).row_group(1)
    columns = [group.column(at) for at in range(group.num_columns)]
    wanted = [c.total_compressed_size for c in columns if c.path_in_schema in names]
    assert sorted(fetched) == sorted([size, size, *wanted])
