import numpy as np
import pytest

from curation.media.clip_reader import ClipReader
from tokenizer.models.interface import Compression
from tokenizer.tokenize.psnr import psnr_db
from tokenizer.train.pca_clips import clip_windows, fit_from_clips
from tokenizer.train.pca_fit import fit_pca

RATE = Compression(2, 8)


def test_a_fit_serves_its_own_kind_of_video_best(pattern):
    tokenizer = fit_pca([pattern(17, speed=s) for s in (1.0, 2.0)], RATE, card={"licence": "ours"})
    video = pattern(17)
    tokens = tokenizer.encode([video])[0]
    assert psnr_db(video, tokenizer.decode_latents([tokens.latents])[0]) > 28
    assert psnr_db(video, tokenizer.decode_codes([tokens.codes])[0]) > 23
    assert tokenizer.card == {"licence": "ours"}
    spread = tokens.latents[:, 1:].astype(np.float32).std(axis=(1, 2, 3))
    assert np.allclose(spread, tokenizer.latent_std, rtol=0.5, atol=0.005)


def test_the_same_windows_give_the_same_weights(pattern):
    first, second = (fit_pca([pattern(9)], RATE).digest for _ in range(2))
    assert first == second
    assert fit_pca([pattern(9, speed=3)], RATE).digest != first


def test_components_are_those_of_the_full_decomposition(pattern):
    video = pattern(9, height=80, width=80)
    basis = fit_pca([video], RATE, seed=5).first
    frames = video[::2].astype(np.float64) / 127.5 - 1
    patches = frames.reshape(5, 10, 8, 10, 8, 3).transpose(0, 1, 3, 2, 4, 5).reshape(-1, 192)
    explained = np.linalg.eigvalsh(np.cov(patches.T))[::-1][:16].sum()
    captured = np.var(patches @ basis.components.T, axis=0).sum()
    assert captured == pytest.approx(explained, rel=0.01)


def test_too_little_video_is_an_error(pattern):
    with pytest.raises(ValueError, match="0 of groups are too few"):
        fit_pca([pattern(1)], RATE)


def test_clips_give_whole_windows_spread_evenly(tmp_path, pattern, write_clip):
    write_clip(tmp_path / "clip.mp4", pattern(130))
    clip = ClipReader((tmp_path / "clip.mp4").read_bytes(), width=96, height=64, frames=130)
    assert [len(w) for w in clip_windows([clip], RATE, per_clip=4)] == [49, 49]
    (only,) = clip_windows([clip], RATE, per_clip=1)
    assert np.array_equal(only, clip.read(range(49)))
    assert fit_from_clips([clip], RATE).digest == fit_pca(clip_windows([clip], RATE), RATE).digest
