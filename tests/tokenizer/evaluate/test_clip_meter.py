import dataclasses
import math

import numpy as np
import pytest

from curation.errors import MediaError
from curation.media.clip_reader import ClipReader
from tokenizer.evaluate.clip_metrics import Settings, measure
from tokenizer.evaluate.roundtrip import begin
from tokenizer.evaluate.ssim import ssim
from tokenizer.tokenize.psnr import psnr_db

NAMES = ("pca-8x8x8", "pca-4x8x8")


@pytest.fixture(scope="module")
def subjects(subject):
    return {name: subject(name) for name in NAMES}


@pytest.fixture(scope="module")
def clip(clip_of, pattern):
    return clip_of(pattern(30, 60, 90))


@pytest.fixture(scope="module")
def measures(clip, subjects):
    return measure(clip, subjects, Settings(max_frames=17, shown_frames=20))


@pytest.fixture(scope="module")
def decoded(clip, subjects):
    """Source and, by tokenizer and head, what each keeps; made apart from what is tested."""
    source = ClipReader(clip.uri, width=90, height=60, frames=30).read(range(30))
    trials = {
        name: begin(s, "independent").try_on([source[:17], source[17:]])
        for name, s in subjects.items()
    }
    kept = {
        (name, head): np.concatenate(rebuilt.videos)
        for name, trial in trials.items()
        for head, rebuilt in trial.heads.items()
    }
    return source, kept


def test_every_head_of_every_tokenizer_has_a_row(measures):
    assert [(row.tokenizer, row.head) for row in measures.rows] == [
        (name, head) for name in NAMES for head in ("codes", "latents")
    ]
    for row in measures.rows:
        assert (row.clip_id, row.source_id) == ("clip", "source of clip")
        assert (row.frames, row.width, row.height, row.windows) == (30, 90, 60, 2)
        assert row.lpips is None


def test_the_row_says_what_the_pictures_say(measures, decoded):
    source, kept = decoded
    for row in measures.rows:
        made = kept[row.tokenizer, row.head]
        error = np.square(source.astype(float) - made).mean((1, 2, 3))
        assert row.squared_error == pytest.approx(error.mean())
        assert row.psnr_db == pytest.approx(psnr_db(source, made))
        assert row.ssim == pytest.approx(ssim(source, made).mean())
        apart = [t for t in range(30) if t not in (16, 17)]
        change = np.diff(made.astype(float) - source, axis=0)
        change = np.square(change).mean((1, 2, 3))
        assert row.seams is not None
        assert row.seams.number == 1
        assert (row.seams.last, row.seams.first) == pytest.approx((error[16], error[17]))
        assert row.seams.apart == pytest.approx(error[apart].mean())
        assert row.seams.across == pytest.approx(change[16])
        assert row.seams.inside == pytest.approx(np.delete(change, 16).mean())


def test_slices_of_a_stream_share_its_first_frame(clip, subject):
    causal = {"causal-8x8x8": subject("causal-8x8x8")}
    whole = measure(clip, causal, Settings(max_frames=33)).rows
    slices = measure(clip, causal, Settings(max_frames=17, kind="stream")).rows
    for row, one in zip(slices, whole, strict=True):
        assert (row.windows, one.windows) == (2, 1)
        assert row.seams is not None
        assert row.seams.number == 1
        assert row.bits_per_pixel == one.bits_per_pixel
        assert row.psnr_db == pytest.approx(one.psnr_db, abs=0.01)


def test_bits_for_each_real_pixel(measures):
    latent_frames = {"pca-8x8x8": 3 + 3, "pca-4x8x8": 5 + 4}
    for row in measures.rows:
        tokens = latent_frames[row.tokenizer] * 8 * 12  # 60 × 90 padded to 64 × 96
        each = math.log2(64000) if row.head == "codes" else 256
        assert row.bits_per_pixel == pytest.approx(tokens * each / (30 * 60 * 90))


def test_codes_are_counted_once_for_a_tokenizer(measures):
    totals = {name: counts.sum() for name, counts in measures.codes.items()}
    assert totals == {"pca-8x8x8": 6 * 96, "pca-4x8x8": 9 * 96}


def test_the_first_frames_are_kept_to_be_shown(measures, decoded):
    source, kept = decoded
    assert (measures.source_shown == source[:20]).all()
    assert measures.shown.keys() == kept.keys()
    for key, video in measures.shown.items():
        assert (video == kept[key][:20]).all()


@pytest.mark.parametrize("windows", [2, 5])
def test_windows_at_once_change_nothing_but_the_time(clip, subjects, measures, windows):
    again = measure(clip, subjects, Settings(max_frames=17, shown_frames=20, windows=windows))
    plain = [dataclasses.replace(r, encode_s=0, decode_s=0) for r in measures.rows]
    assert [dataclasses.replace(r, encode_s=0, decode_s=0) for r in again.rows] == plain


def test_a_clip_shorter_than_a_window_has_no_seam(clip, subjects):
    found = measure(clip, subjects, Settings(clip_frames=12))
    assert {(row.frames, row.windows, row.seams) for row in found.rows} == {(12, 1, None)}
    assert found.source_shown.shape == (0, 60, 90, 3)


def test_pictures_are_made_smaller_not_larger(clip, subjects):
    found = measure(clip, subjects, Settings(short_side=40, clip_frames=1))
    assert {(row.width, row.height) for row in found.rows} == {(60, 40)}


def test_a_clip_that_is_cut_short_is_refused(clip_of, pattern, subjects, cut_short):
    clip = clip_of(pattern(30))
    cut_short(clip)
    with pytest.raises(MediaError):
        measure(clip, subjects, Settings())
    long = dataclasses.replace(clip_of(pattern(8)), frames=9)
    with pytest.raises(MediaError, match="truncated: 8 frames where 9 should be"):
        measure(long, subjects, Settings())
