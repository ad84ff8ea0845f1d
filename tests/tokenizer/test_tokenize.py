import dataclasses
import errno
import pickle

import numpy as np
import pyarrow.parquet as pq
import pytest

from curation.reasons import EnvironmentFaultError
from curation.records import records, schema
from curation.storage import Storage
from tokenizer import tokenize
from tokenizer.load import load
from tokenizer.shards import TokenWindow
from tokenizer.tokenize import (
    ClipBatch,
    ClipFile,
    Tokenize,
    TokenizedClip,
    decode_clip,
    psnr_db,
)


def clip_file(name: str, frames: int) -> ClipFile:
    return ClipFile(name, "s0", f"clips/{name}.mp4", frames, 96, 64, 24.0, 10, 0.5)


@pytest.fixture
def output(tmp_path, pattern, write_clip) -> Storage:
    (tmp_path / "clips").mkdir()
    for name, frames in (("a", 60), ("b", 9)):
        write_clip(tmp_path / "clips" / f"{name}.mp4", pattern(frames))
    return Storage.at(tmp_path)


def batch(output: Storage, *clips: ClipFile) -> ClipBatch:
    """A batch of clips whose addresses are relative to the output."""
    placed = tuple(dataclasses.replace(clip, uri=output.uri(clip.uri)) for clip in clips)
    return ClipBatch("k", placed, output, "tokens/t")


def rows_of(output: Storage, path: str) -> list[TokenWindow]:
    return records(TokenWindow, pq.read_table(output.uri(path)))


def test_a_batch_becomes_one_shard(output):
    done = Tokenize().setup()(batch(output, clip_file("a", 60), clip_file("b", 9)))
    rows = rows_of(output, done.shard.path)
    assert [(row.clip_id, row.window, row.frames, row.pad_frames) for row in rows] == [
        ("a", 0, 49, 0),
        ("a", 1, 11, 6),
        ("b", 0, 9, 0),
    ]
    assert [row.start_frame for row in rows] == [10, 59, 10]
    assert [(c.clip_id, c.outcome, c.windows) for c in done.clips] == [
        ("a", "tokenized", 2),
        ("b", "tokenized", 1),
    ]
    mean = (49 * rows[0].psnr_codes_db + 11 * rows[1].psnr_codes_db) / 60
    assert done.clips[0].psnr_codes_db == pytest.approx(mean)
    assert Tokenize().setup()(batch(output, clip_file("a", 60), clip_file("b", 9))) == done


def test_a_clip_decodes_to_all_its_frames(output, pattern):
    tokenizer = load("pca-8x8x8")
    done = Tokenize().setup()(batch(output, clip_file("a", 60)))
    rows, video = rows_of(output, done.shard.path), pattern(60)
    codes = decode_clip(rows, tokenizer)
    latents = decode_clip(rows, tokenizer, head="latents")
    assert codes.shape == latents.shape == video.shape
    assert psnr_db(video, codes) > 19
    assert psnr_db(video, latents) > psnr_db(video, codes) + 1
    with pytest.raises(ValueError, match="row 0 is window 1"):
        decode_clip(rows[1:], tokenizer)
    with pytest.raises(ValueError, match="not by pca-4x8x8"):
        decode_clip(rows, load("pca-4x8x8"))
    with pytest.raises(ValueError, match="at least one row"):
        decode_clip([], tokenizer)


def test_a_window_is_the_same_alone_and_among_others(output):
    work = Tokenize().setup()
    alone = rows_of(output, work(batch(output, clip_file("b", 9))).shard.path)
    among = rows_of(output, work(batch(output, clip_file("a", 60), clip_file("b", 9))).shard.path)
    assert alone == among[2:]


def test_a_bad_clip_fails_alone(output):
    bad = (clip_file("gone", 9), clip_file("a", 61))
    done = Tokenize().setup()(batch(output, *bad, clip_file("b", 9)))
    assert [(c.outcome, c.reason) for c in done.clips] == [
        ("failed", "missing"),
        ("failed", "truncated"),
        ("tokenized", None),
    ]
    assert done.shard.rows == 1


def test_without_a_good_clip_there_is_no_shard(output):
    done = Tokenize().setup()(batch(output, clip_file("gone", 9)))
    assert done.shard is None
    assert done.clips[0].detail


def test_a_fluke_is_tried_once_more_and_a_bug_fails_its_clip(output, monkeypatch):
    encode, calls = tokenize.encode_window, []

    def flaky(video, window, clip, tokenizer):
        calls.append(clip.clip_id)
        if clip.clip_id == "a" or len(calls) == 1:
            raise RuntimeError("no luck")
        return encode(video, window, clip, tokenizer)

    monkeypatch.setattr(tokenize, "encode_window", flaky)
    done = Tokenize().setup()(batch(output, clip_file("b", 9), clip_file("a", 60)))
    assert [(c.outcome, c.reason) for c in done.clips] == [
        ("tokenized", None),
        ("failed", "internal"),
    ]
    assert "no luck" in done.clips[1].detail
    assert calls == ["b", "b", "a", "a"]


def test_a_full_disk_is_no_verdict(output, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tokenize, "encode_window", full)
    with pytest.raises(EnvironmentFaultError, match="No space left"):
        Tokenize().setup()(batch(output, clip_file("b", 9)))


def test_the_stage_travels_and_checks_its_settings(output):
    stage = Tokenize(short_side=40)
    assert pickle.loads(pickle.dumps(stage)) == stage
    item = pickle.loads(pickle.dumps(batch(output, clip_file("b", 9))))
    (row,) = rows_of(output, stage.setup()(item).shard.path)
    assert (row.pixel_width, row.pixel_height) == (64, 40)
    with pytest.raises(ValueError, match="the nearest is 49"):
        Tokenize(max_frames=50).setup()


def test_an_outcome_is_a_record():
    assert schema(TokenizedClip).names[:4] == ["clip_id", "source_id", "outcome", "reason"]


def test_psnr_is_of_the_mean_error_and_bounded():
    black = np.zeros((2, 4, 4, 3), np.uint8)
    assert psnr_db(black, black) == 100
    assert psnr_db(black, black + 255) == 0
    assert psnr_db(black, black + 5) == pytest.approx(34.151, abs=1e-3)
