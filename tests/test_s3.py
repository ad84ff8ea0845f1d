"""The main job with its videos and its output on S3, against a local server."""

from pathlib import Path

import pytest

from curation.dataset import Dataset
from curation.sample import SOURCES, Coding, write_numbered_video
from tests.outputs import QUICK, run
from tests.s3 import serving

pytestmark = pytest.mark.s3


@pytest.fixture(scope="module")
def bucket():
    with serving("reels") as client:
        yield client


def test_curating_from_s3_to_s3(bucket, tmp_path):
    write_numbered_video(tmp_path / "a.mp4", 70, cuts=(30,), coding=Coding(crf=30))
    SOURCES["notes.mp4"](tmp_path / "notes.mp4")
    for path in tmp_path.iterdir():
        bucket.upload_file(str(path), "reels", f"raw/deep/{path.name}")
    profile = tmp_path / "quick.yaml"
    profile.write_text(QUICK)
    job = ["curate", "s3://reels/raw", "--out", "s3://reels/out", "--config", str(profile),
           "--set", "executor=in_process"]  # fmt: skip

    done = run(*job)
    assert done.returncode == 3, done.stderr + done.stdout
    dataset = Dataset("s3://reels/out")
    outcomes = {Path(s["uri"]).name: s for s in dataset.sources().to_pylist()}
    assert outcomes["a.mp4"]["uri"] == "s3://reels/raw/deep/a.mp4"
    assert outcomes["a.mp4"]["outcome"] == "scanned"
    assert outcomes["notes.mp4"]["reason"] == "not_video"
    clips = dataset.clips().sort_by("start_frame").to_pylist()
    assert [(c["start_frame"], c["end_frame"], c["verdict"]) for c in clips] == [
        (0, 30, "kept"), (30, 70, "kept")
    ]  # fmt: skip
    keys = [o["Key"] for o in bucket.list_objects_v2(Bucket="reels", Prefix="out/")["Contents"]]
    assert sum(key.endswith(".mp4") for key in keys) == 2

    verified = run("verify", "s3://reels/out")
    assert verified.returncode == 0, verified.stdout
    again = run(*job)
    assert again.stdout.count("nothing to do") == 4
    after = bucket.list_objects_v2(Bucket="reels", Prefix="out/")["Contents"]
    assert sorted(o["Key"] for o in after) == sorted(keys)

    bucket.delete_object(Bucket="reels", Key=next(key for key in keys if key.endswith(".mp4")))
    broken = run("verify", "s3://reels/out")
    assert broken.returncode == 1
    assert "renders/" in broken.stdout
