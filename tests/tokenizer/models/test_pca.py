from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tokenizer.models import pca
from tokenizer.models.load import load
from tokenizer.models.pca import PcaTokenizer, split_patches
from tokenizer.tokenize.psnr import psnr_db

WEIGHTS = Path(pca.__file__).parents[1] / "weights"
NAMES = ["pca-4x8x8", "pca-8x8x8", "pca-8x16x16"]


@pytest.mark.parametrize("name", NAMES)
def test_shapes_follow_the_rate(name, pattern):
    tokenizer = load(name)
    tokens = tokenizer.encode([pattern(17)])[0]
    space, later = tokenizer.rate.space, 16 // tokenizer.rate.time
    assert tokens.codes.shape == (1 + later, 64 // space, 96 // space)
    assert tokens.codes.dtype == np.uint16
    assert tokens.latents.shape == (16, *tokens.codes.shape)
    assert tokens.latents.dtype == np.float16
    assert tokenizer.decode_codes([tokens.codes])[0].shape == (17, 64, 96, 3)
    assert tokenizer.decode_latents([tokens.latents])[0].dtype == np.uint8


@pytest.mark.parametrize(
    ("name", "codes_floor", "latents_floor"),
    [("pca-4x8x8", 20, 25), ("pca-8x8x8", 20, 24), ("pca-8x16x16", 18, 21)],
)
def test_quality_on_a_moving_pattern(name, codes_floor, latents_floor, pattern):
    tokenizer, video = load(name), pattern(17)
    tokens = tokenizer.encode([video])[0]
    codes_db = psnr_db(video, tokenizer.decode_codes([tokens.codes])[0])
    latents_db = psnr_db(video, tokenizer.decode_latents([tokens.latents])[0])
    assert codes_db > codes_floor
    assert latents_db > latents_floor
    assert latents_db > codes_db + 1


@pytest.mark.parametrize("name", NAMES)
def test_a_single_frame_is_a_window(name, pattern):
    tokenizer, video = load(name), pattern(1)
    tokens = tokenizer.encode([video])[0]
    assert tokens.codes.shape[0] == tokens.latents.shape[1] == 1
    assert tokenizer.decode_codes([tokens.codes])[0].shape == video.shape
    assert np.array_equal(tokens.codes, tokenizer.encode([pattern(17)])[0].codes[:1])


def test_a_group_sees_neither_later_frames_nor_other_groups(pattern):
    tokenizer, video = load("pca-8x8x8"), pattern(33)
    long, short = tokenizer.encode([video])[0], tokenizer.encode([video[:17]])[0]
    assert np.array_equal(long.codes[:3], short.codes)
    assert np.array_equal(long.latents[:, :3], short.latents)
    again = tokenizer.encode([video])[0]
    assert np.array_equal(again.latents, long.latents)


def test_patches_hold_a_block_of_time_and_space():
    video = np.arange(4 * 4 * 6 * 3, dtype=np.uint8).reshape(4, 4, 6, 3)
    patches = split_patches(video, time=2, space=2)
    assert patches.shape == (2, 6, 24)
    assert np.array_equal(patches[1, 4], video[2:4, 2:4, 2:4].ravel())


def test_saving_keeps_everything(tmp_path):
    tokenizer = PcaTokenizer.load(WEIGHTS / "pca-8x8x8.safetensors")
    tokenizer.save(tmp_path / "copy.safetensors")
    copy = PcaTokenizer.load(tmp_path / "copy.safetensors")
    assert copy.digest == tokenizer.digest
    assert copy.card == tokenizer.card
    assert copy.latent_std == tokenizer.latent_std
    assert np.array_equal(copy.group.components, tokenizer.group.components)


def test_altered_weights_are_refused(tmp_path):
    source, path = WEIGHTS / "pca-8x8x8.safetensors", tmp_path / "altered.safetensors"
    tensors = load_file(source)
    tensors["first.mean"][0] += 1
    facts = {"kind": "pca", "rate": "8x8x8", "digest": load("pca-8x8x8").digest}
    save_file(tensors, path, metadata=facts)
    with pytest.raises(ValueError, match="was altered"):
        PcaTokenizer.load(path)
    save_file(tensors, path)
    with pytest.raises(ValueError, match="holds no PCA tokenizer"):
        PcaTokenizer.load(path)
