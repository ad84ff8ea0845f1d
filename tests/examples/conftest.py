"""A small output whose tokens are of real videos, and running an example on it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from curation.dataset import Dataset
from curation.storage import Storage
from tests.rows import MeasuredClip, add_source, make_clip
from tests.tokenizer.clip_windows import clip_file, rows_of
from tests.tokenizer.conftest import moving_pattern
from tokenizer.models.load import load
from tokenizer.tokenize.shards import TokenWindow, shard_metadata, write_shard

ROOT = Path(__file__).parents[2]
CLIPS = 5
"""One of them held out; each has 41 frames, hence 6 latent frames and 4 windows of 3."""
SMALL = ("--held-out", "start_frame = 0", "--steps", "12", "--batch", "5", "--side", "6",
         "--every", "4", "--dream", "1")  # fmt: skip


@pytest.fixture(scope="session")
def tokens(tmp_path_factory) -> Path:
    """An output of five clips of one source with tokens, and nothing else."""
    place = tmp_path_factory.mktemp("examples")
    dataset, tokenizer = Dataset(place), load("pca-8x8x8")
    clips = [make_clip("s0", 100 * n, 100 * n + 41) for n in range(CLIPS)]
    scores = [{"motion": n / 10, "brightness": None} for n in range(CLIPS)]
    looks = [MeasuredClip(clip, scores=score) for clip, score in zip(clips, scores, strict=True)]
    add_source(dataset, "video.mp4", looks)
    rows = []
    for n, clip in enumerate(clips):
        video = moving_pattern(41, speed=1 + n / 4)
        rows += rows_of(clip_file(clip.clip_id, 41), np.roll(video, 13 * n, 2), tokenizer, 49)
    table = "tokens/pca-8x8x8-1"
    shard = write_shard(
        rows, Storage.at(place), table, shard_metadata(tokenizer, "fp32", "independent")
    )
    with dataset.catalog.writer("tokenize", {table: TokenWindow}) as writer:
        writer.add_files(table, [shard])
    return place


def started(*arguments: object, processes: int = 1) -> subprocess.Popen[str]:
    """An example as a process of its own, or as several."""
    several = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", processes)
    command = [sys.executable, *(several if processes > 1 else ()), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [str(each) for each in command], cwd=ROOT, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def ended(process: subprocess.Popen[str]) -> str:
    """What it printed, once it has ended well."""
    out, err = process.communicate(timeout=900)
    assert process.returncode == 0, err
    return out


def logged(run: Path) -> list[dict]:
    """The rows of a run's log."""
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
