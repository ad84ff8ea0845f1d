import numpy as np
import pytest

from tokenizer.evaluate.clip_metrics import ComparedClip
from tokenizer.evaluate.summary import CodebookUse, FrechetDistance, summarise


def row(frames, size, squared_error, lpips=None, seconds=1.0):
    return ComparedClip(
        "mine", "codes", "c", "s", frames, *size, 1, psnr_db=float(frames),
        squared_error=squared_error, ssim=frames / 100, lpips=lpips, bits_per_pixel=1 / frames,
        encode_s=seconds, decode_s=2 * seconds, seams=None,
    )  # fmt: skip


def test_means_weigh_frames_and_pools_weigh_pixels(candidate):
    rows = [row(10, (4, 5), 9.0, lpips=0.2), row(30, (8, 5), 2.0, lpips=0.4)]
    result = summarise(rows, candidate(), None, None)
    assert (result.clips, result.frames) == (2, 40)
    assert result.psnr_db == pytest.approx((10 * 10 + 30 * 30) / 40)
    assert result.ssim == pytest.approx((10 * 0.1 + 30 * 0.3) / 40)
    assert result.lpips == pytest.approx((10 * 0.2 + 30 * 0.4) / 40)
    error = (10 * 20 * 9 + 30 * 40 * 2) / (10 * 20 + 30 * 40)
    assert result.pooled_psnr_db == pytest.approx(10 * np.log10(255**2 / error))
    bits = (10 * 20 / 10 + 30 * 40 / 30) / (10 * 20 + 30 * 40)
    assert result.bits_per_pixel == pytest.approx(bits)
    assert (result.codebook, result.seams, result.fvd) == (None, None, None)
    assert (result.device, result.precision) == ("cpu", "fp64")


def test_speed_is_the_median_so_that_a_slow_first_clip_does_not_count(candidate):
    rows = [row(10, (4, 4), 1.0, seconds=s) for s in (100.0, 0.5, 0.25)]
    result = summarise(rows, candidate(), None, None)
    assert (result.encode_fps, result.decode_fps) == (20, 10)
    assert result.lpips is None


def test_a_distance_has_its_sample_size():
    vectors = np.random.default_rng(0).normal(size=(6, 3))
    result = FrechetDistance.of(vectors, vectors + np.array([1, 0, 2]))
    assert result is not None
    assert (result.value, result.spans, result.dimensions) == (pytest.approx(5), 6, 3)
    assert FrechetDistance.of(vectors[:1], vectors) is None
    assert FrechetDistance.of(np.zeros((0, 0)), np.zeros((0, 0))) is None


@pytest.mark.parametrize(
    ("counts", "share", "entropy"),
    [
        ([4, 0, 0, 0], 0.25, 0.0),
        ([2, 2, 0, 0], 0.5, 1.0),
        ([1, 1, 1, 1], 1.0, 2.0),
        ([2, 1, 1, 0], 0.75, 1.5),
    ],
)
def test_share_and_entropy_by_hand(counts, share, entropy):
    use = CodebookUse.of(np.array(counts))
    assert (use.codes, use.size, use.share) == (4, 4, share)
    assert use.entropy_bits == pytest.approx(entropy)
    assert str(use.entropy_bits) != "-0.0"
