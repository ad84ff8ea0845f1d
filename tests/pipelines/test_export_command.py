"""`reelmill export` on a curated output."""

import json
import tarfile

import pyarrow.parquet as pq

from curation.dataset import Dataset


def test_a_curated_output_becomes_tars(reelmill, curated, tmp_path):
    ended = reelmill("export", curated.out, tmp_path / "shards")
    assert (ended.code, ended.err) == (0, "")
    assert "export: 0/2 clips" in ended.out
    assert "not stated      2" in ended.out
    assert f"2 clips, shards: 1, 0.1 MB: {tmp_path / 'shards'}" in ended.out.replace("\n", "")
    kept = Dataset(curated.out).clips("kept")["clip_id"].to_pylist()
    with tarfile.open(tmp_path / "shards" / "shard-000000.tar") as tar:
        names = tar.getnames()
        metadata = [json.load(tar.extractfile(name)) for name in names if name.endswith(".json")]
    suffixes = ("json", "mp4", "txt", "codes.npy", "latents.npy")
    assert sorted(names) == sorted(f"{clip}.{suffix}" for clip in kept for suffix in suffixes)
    assert {clip["uri"] for clip in metadata} == {str(curated.videos / "a.mp4")}
    again = reelmill("export", curated.out, tmp_path / "shards")
    assert "; 1 of them existed already" in again.out


def test_a_curated_output_becomes_parquet(reelmill, curated, tmp_path):
    ended = reelmill("export", curated.out, tmp_path, "--format", "hf", "--captions", "none")
    assert (ended.code, ended.err) == (0, "")
    rows = pq.read_table(tmp_path / "data" / "train-00000-of-00001.parquet").to_pylist()
    assert len(rows) == 2
    assert all(row["mp4"][4:8] == b"ftyp" and "caption" not in row for row in rows)


def test_usage_errors(reelmill, curated, tmp_path):
    ended = reelmill("export", curated.out, tmp_path, "--selection", "ff")
    assert ended.code == 2
    assert "reelmill: there is no selection 'ff'; there are" in ended.err
    assert reelmill("export", tmp_path, tmp_path / "to").code == 2
    assert list(tmp_path.iterdir()) == []
