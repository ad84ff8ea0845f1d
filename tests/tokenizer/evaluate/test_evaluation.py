import dataclasses
import math
from collections import Counter

import numpy as np
import pytest

from tokenizer.evaluate.clip_metrics import MetricSettings
from tokenizer.evaluate.errors import NoClipsError
from tokenizer.evaluate.evaluation import evaluate, load_candidates
from tokenizer.models.inference import DeviceConfig


@pytest.fixture
def clips(clip_of, pattern):
    return [clip_of(pattern(20), "long"), clip_of(pattern(6, 96, 64, speed=3), "tall")]


def test_summaries_cover_all_clips(clips, candidate):
    result = evaluate(clips, {"mine": candidate()}, MetricSettings(max_frames=9))
    assert [(line.tokenizer, line.head) for line in result.summaries] == [
        ("mine", "codes"), ("mine", "latents"),
    ]  # fmt: skip
    assert result.skipped == []
    for line in result.summaries:
        long, tall = (row for row in result.clips if row.head == line.head)
        assert (line.clips, line.frames) == (2, 26)
        assert line.psnr_db == pytest.approx((20 * long.psnr_db + 6 * tall.psnr_db) / 26)
        assert line.ssim == pytest.approx((20 * long.ssim + 6 * tall.ssim) / 26)
        error = (20 * long.squared_error + 6 * tall.squared_error) / 26
        assert line.pooled_psnr_db == pytest.approx(10 * math.log10(255**2 / error))
        assert line.seams is not None
        assert line.seams.seams == 2  # both of the long one
        assert line.decode_fps == pytest.approx(np.median([20 / long.decode_s, 6 / tall.decode_s]))
        assert line.lpips is line.fvd is None
    codes, latents = result.summaries
    assert codes.codebook is not None
    assert codes.codebook.codes == (2 + 2 + 2 + 2) * 96
    assert latents.codebook is None
    assert codes.digest == candidate().tokenizer.digest


def test_a_bad_clip_is_left_out_with_its_reason(clips, clip_of, pattern, candidate):
    short = dataclasses.replace(clip_of(pattern(8), "short"), frames=9)
    gone = dataclasses.replace(short, clip_id="gone", uri="/gone.mp4")
    told, shown = [], []
    result = evaluate(
        [short, *clips, gone],
        {"a": candidate()},
        MetricSettings(),
        progress=lambda done, total, counts: told.append((done, total, Counter(counts))),
        preview=lambda metrics: shown.append(metrics.clip.clip_id),
    )
    assert [(one.clip_id, one.reason) for one in result.skipped] == [
        ("short", "truncated"), ("gone", "missing"),
    ]  # fmt: skip
    assert "8 frames where 9 should be" in result.skipped[0].detail
    assert shown == ["long", "tall"]
    assert told[0] == (0, 4, Counter())
    assert told[-1] == (4, 4, Counter(evaluated=2, truncated=1, missing=1))
    alone = evaluate(clips, {"a": candidate()}, MetricSettings())
    assert [line.psnr_db for line in result.summaries] == [line.psnr_db for line in alone.summaries]


def test_a_clip_that_one_tokenizer_refuses_is_left_out(clips, clip_of, pattern, candidate, nan):
    one = clip_of(pattern(1), "one")
    result = evaluate(
        [*clips, one], {"good": candidate(), "bad": nan(candidate())}, MetricSettings()
    )
    assert {row.clip_id for row in result.clips} == {"one"}
    assert {line.tokenizer for line in result.summaries} == {"good", "bad"}
    assert [one.reason for one in result.skipped] == ["no_tokens", "no_tokens"]
    with pytest.raises(NoClipsError, match="none of 2 clips could be evaluated: long: no_tokens: "):
        evaluate(clips, {"bad": nan(candidate())}, MetricSettings())


def test_tokenizers_are_loaded_and_checked_by_name():
    loaded = load_candidates(["pca-8x8x8", "pca-4x8x8", "pca-8x8x8"], DeviceConfig(), 49)
    assert list(loaded) == ["pca-8x8x8", "pca-4x8x8"]
    with pytest.raises(ValueError, match="unknown tokenizer 'pca-9'"):
        load_candidates(["pca-9"], DeviceConfig(), 49)
    with pytest.raises(ValueError, match=r"pca-8x8x8: max_frames 21 is not 1 \+ 8·k"):
        load_candidates(["pca-4x8x8", "pca-8x8x8"], DeviceConfig(), 21)
