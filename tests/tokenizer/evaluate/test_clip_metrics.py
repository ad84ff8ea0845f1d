import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from curation.errors import MediaError
from curation.media.clip_reader import ClipReader
from tokenizer.evaluate.clip_metrics import MetricSettings, count_codes, measure_clip
from tokenizer.evaluate.perceptual import ssim
from tokenizer.evaluate.roundtrip import start_roundtrip
from tokenizer.tokenize.psnr import psnr_db

NAMES = ("pca-8x8x8", "pca-4x8x8")


@pytest.fixture(scope="module")
def candidates(candidate):
    return {name: candidate(name) for name in NAMES}


@pytest.fixture(scope="module")
def clip(clip_of, pattern):
    return clip_of(pattern(30, 60, 90))


@pytest.fixture(scope="module")
def metrics(clip, candidates):
    return measure_clip(clip, candidates, MetricSettings(max_frames=17, preview_frames=20))


@pytest.fixture(scope="module")
def decoded(clip, candidates):
    """Source and, by tokenizer and head, its reconstruction, without the code under test."""
    source = ClipReader(Path(clip.uri).read_bytes(), width=90, height=60, frames=30).read(range(30))
    results = {
        name: start_roundtrip(s, "independent").run([source[:17], source[17:]])
        for name, s in candidates.items()
    }
    decoded_videos = {
        (name, head): np.concatenate(reconstruction.videos)
        for name, result in results.items()
        for head, reconstruction in result.heads.items()
    }
    return source, decoded_videos


def test_every_head_of_every_tokenizer_has_a_row(metrics):
    assert [(row.tokenizer, row.head) for row in metrics.rows] == [
        (name, head) for name in NAMES for head in ("codes", "latents")
    ]
    for row in metrics.rows:
        assert (row.clip_id, row.source_id) == ("clip", "source of clip")
        assert (row.frames, row.width, row.height, row.windows) == (30, 90, 60, 2)
        assert row.lpips is None


def test_a_row_has_the_metrics_of_the_pictures(metrics, decoded):
    source, decoded_videos = decoded
    for row in metrics.rows:
        video = decoded_videos[row.tokenizer, row.head]
        error = np.square(source.astype(float) - video).mean((1, 2, 3))
        assert row.squared_error == pytest.approx(error.mean())
        assert row.psnr_db == pytest.approx(psnr_db(source, video))
        assert row.ssim == pytest.approx(ssim(source, video).mean())
        apart = [t for t in range(30) if t not in (16, 17)]
        change = np.diff(video.astype(float) - source, axis=0)
        change = np.square(change).mean((1, 2, 3))
        assert row.seams is not None
        assert row.seams.number == 1
        assert (row.seams.last, row.seams.first) == pytest.approx((error[16], error[17]))
        assert row.seams.apart == pytest.approx(error[apart].mean())
        assert row.seams.across == pytest.approx(change[16])
        assert row.seams.inside == pytest.approx(np.delete(change, 16).mean())


def test_slices_of_a_stream_share_its_first_frame(clip, candidate):
    causal = {"causal-8x8x8": candidate("causal-8x8x8")}
    whole = measure_clip(clip, causal, MetricSettings(max_frames=33)).rows
    slices = measure_clip(clip, causal, MetricSettings(max_frames=17, window_mode="stream")).rows
    for row, one in zip(slices, whole, strict=True):
        assert (row.windows, one.windows) == (2, 1)
        assert row.seams is not None
        assert row.seams.number == 1
        assert row.bits_per_pixel == one.bits_per_pixel
        assert row.psnr_db == pytest.approx(one.psnr_db, abs=0.01)


def test_bits_for_each_real_pixel(metrics):
    latent_frames = {"pca-8x8x8": 3 + 3, "pca-4x8x8": 5 + 4}
    for row in metrics.rows:
        tokens = latent_frames[row.tokenizer] * 8 * 12  # 60 × 90 padded to 64 × 96
        each = math.log2(64000) if row.head == "codes" else 256
        assert row.bits_per_pixel == pytest.approx(tokens * each / (30 * 60 * 90))


def test_codes_are_counted_once_for_each_tokenizer(metrics):
    totals = {name: counts.sum() for name, counts in metrics.codes.items()}
    assert totals == {"pca-8x8x8": 6 * 96, "pca-4x8x8": 9 * 96}


def test_the_first_frames_are_previews(metrics, decoded):
    source, decoded_videos = decoded
    assert (metrics.source_preview == source[:20]).all()
    assert metrics.previews.keys() == decoded_videos.keys()
    for key, video in metrics.previews.items():
        assert (video == decoded_videos[key][:20]).all()


@pytest.mark.parametrize("windows", [2, 5])
def test_metrics_are_independent_of_the_batch_size(clip, candidates, metrics, windows):
    batched = measure_clip(
        clip, candidates, MetricSettings(max_frames=17, preview_frames=20, batch_size=windows)
    )
    plain = [dataclasses.replace(r, encode_s=0, decode_s=0) for r in metrics.rows]
    assert [dataclasses.replace(r, encode_s=0, decode_s=0) for r in batched.rows] == plain


def test_a_clip_shorter_than_a_window_has_no_seam(clip, candidates):
    clip_metrics = measure_clip(clip, candidates, MetricSettings(clip_frames=12))
    assert {(row.frames, row.windows, row.seams) for row in clip_metrics.rows} == {(12, 1, None)}
    assert clip_metrics.source_preview.shape == (0, 60, 90, 3)


def test_pictures_are_scaled_down_only(clip, candidates):
    clip_metrics = measure_clip(clip, candidates, MetricSettings(short_side=40, clip_frames=1))
    assert {(row.width, row.height) for row in clip_metrics.rows} == {(60, 40)}


def test_a_clip_that_is_cut_short_is_refused(clip_of, pattern, candidates, cut_short):
    clip = clip_of(pattern(30))
    cut_short(clip)
    with pytest.raises(MediaError):
        measure_clip(clip, candidates, MetricSettings())
    long = dataclasses.replace(clip_of(pattern(8)), frames=9)
    with pytest.raises(MediaError, match="truncated: 8 frames where 9 should be"):
        measure_clip(long, candidates, MetricSettings())


def test_counts_of_codes_of_any_shape():
    codes = np.array([[[0, 3], [3, 1]]], np.uint16)
    assert count_codes(codes, 5).tolist() == [1, 1, 0, 2, 0]
