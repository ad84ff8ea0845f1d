"""Autoencoders of diffusers: tiny and random, written by `save_pretrained`, read as users' are."""

import functools
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from curation.extras import install_command
from tests.tokenizer.models import autoencoders
from tests.tokenizer.models.autoencoders import CLASSES, STATISTICS, WAN, write
from tokenizer.models.diffusers_vae import FAMILIES, DiffusersVae
from tokenizer.models.inference import DeviceConfig
from tokenizer.models.interface import Compression
from tokenizer.models.load import load

pytestmark = pytest.mark.models

diffusers = autoencoders.diffusers()

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Networks this small only wait for one another on several."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("autoencoders")
    return {name: write(root / name, *made) for name, made in CLASSES.items()}


@pytest.fixture(scope="module")
def tokenizers(folders):
    """By name, each loaded once, for batches of two."""
    return functools.cache(lambda name: DiffusersVae(folders[name], DeviceConfig(batch=2)))


@pytest.fixture
def wan(folders, tmp_path):
    """A copy of a Wan autoencoder, to be spoilt."""
    return Path(shutil.copytree(folders["wan-4x8x8"], tmp_path / "wan"))


def window(frames: int, height: int = 32, width: int = 64) -> np.ndarray:
    random = np.random.default_rng(frames)
    return random.integers(0, 256, (frames, height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", CLASSES)
def test_every_length_survives_a_roundtrip(name, tokenizers):
    tokenizer = tokenizers(name)
    rate = Compression.parse(name.rsplit("-", 1)[1])
    assert (tokenizer.name, tokenizer.rate, tokenizer.channels) == (name, rate, 4)
    assert tokenizer.levels == ()
    for groups in (0, 1, 3):
        [tokens] = tokenizer.encode([window(1 + rate.time * groups, rate.space, 2 * rate.space)])
        assert tokens.codes is None
        assert tokens.latents.dtype == np.float16
        assert tokens.latents.shape == (4, 1 + groups, 1, 2)
        [decoded] = tokenizer.decode_latents([tokens.latents])
        assert decoded.dtype == np.uint8
        assert decoded.shape == (1 + rate.time * groups, rate.space, 2 * rate.space, 3)


@pytest.mark.parametrize("name", CLASSES)
def test_normalisation_is_recorded(name, tokenizers):
    tokenizer, (mean, std) = tokenizers(name), STATISTICS[name]
    assert tokenizer.latent_mean == pytest.approx(mean)
    assert tokenizer.latent_std == pytest.approx(std)


@pytest.mark.parametrize("name", ["wan-4x8x8", "cosmos-vae-8x8x8"])
def test_latents_and_pixels_are_those_of_the_library(name, folders):
    tokenizer, video = DiffusersVae(folders[name]), window(17)
    [tokens] = tokenizer.encode([video])
    [decoded] = tokenizer.decode_latents([tokens.latents])
    vae = getattr(diffusers, CLASSES[name][0]).from_pretrained(folders[name]).eval()
    with torch.inference_mode():
        pixels = torch.from_numpy(video).movedim(-1, 0)[None].float() / 127.5 - 1
        latents = vae.encode(pixels).latent_dist.mode().half()
        shown = vae.decode(latents.float()).sample[0].movedim(0, -1).clamp(-1, 1)
    assert np.array_equal(tokens.latents, latents[0].numpy())
    assert np.array_equal(decoded, ((shown + 1) * 127.5).round().numpy().astype(np.uint8))
    assert len(np.unique(decoded)) > 10


@pytest.mark.parametrize("name", CLASSES)
def test_tokens_are_independent_of_batch_composition(name, tokenizers):
    tokenizer = tokenizers(name)
    video = window(1 + tokenizer.rate.time)
    videos = [video, video[::-1].copy(), window(1), video[:, ::-1].copy()]
    together, alone = tokenizer.encode(videos), [tokenizer.encode([v])[0] for v in videos]
    for one, other in zip(together, alone, strict=True):
        assert np.array_equal(one.latents, other.latents)
    assert not np.array_equal(together[0].latents, together[1].latents)


def test_bfloat16_is_near_single_precision(folders):
    video = window(9)
    [exact] = DiffusersVae(folders["wan-4x8x8"]).encode([video])
    [near] = DiffusersVae(folders["wan-4x8x8"], DeviceConfig(precision="bf16")).encode([video])
    error = np.abs(exact.latents.astype(np.float32) - near.latents).max()
    assert 0 < error < 0.05 * np.abs(exact.latents).max()


def test_shapes_that_do_not_fit_are_refused(tokenizers):
    tokenizer = tokenizers("wan-4x16x16")
    with pytest.raises(ValueError, match=r"\[8, 32, 64, 3\] does not fit rate 4x16x16"):
        tokenizer.encode([window(9), window(8)])
    with pytest.raises(ValueError, match=r"\[9, 40, 64, 3\] does not fit rate 4x16x16"):
        tokenizer.encode([window(9, height=40)])
    with pytest.raises(ValueError, match=r"need latents as float16 \[4, T, H, W\]"):
        tokenizer.decode_latents([np.zeros((3, 1, 2, 2), np.float16)])
    with pytest.raises(ValueError, match="has no codes"):
        tokenizer.decode_codes([np.zeros((1, 2, 2), np.uint16)])


def spoil(folder: Path, name: str, tensor: torch.Tensor | None) -> None:
    tensors = load_file(folder / WEIGHTS)
    tensors.pop(name, None)
    save_file(tensors if tensor is None else {**tensors, name: tensor}, folder / WEIGHTS)


def configure(folder: Path, **changes: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


def test_weights_that_encode_to_nan_are_refused(wan):
    spoil(wan, "quant_conv.bias", torch.full((8,), float("nan")))
    with pytest.raises(ValueError, match=r"wan encodes to NaN or infinity"):
        DiffusersVae(wan)


def test_values_beyond_float16_name_the_window(wan):
    spoil(wan, "quant_conv.bias", torch.full((8,), 1e5))
    with pytest.raises(ValueError, match=r"window 0: .* beyond float16"):
        DiffusersVae(wan).encode([window(5)])


def test_missing_files_are_named(wan):
    with pytest.raises(FileNotFoundError, match=r"nowhere/config\.json; .* `vae` inside"):
        DiffusersVae(wan / "nowhere")
    (wan / WEIGHTS).rename(wan / "diffusion_pytorch_model.bin")
    with pytest.raises(FileNotFoundError, match=rf"no .*{WEIGHTS}; .* safetensors alone"):
        DiffusersVae(wan)


@pytest.mark.parametrize("keep", [0, 6, 2000])
def test_a_damaged_weight_file_is_named(wan, keep):
    whole = (wan / WEIGHTS).read_bytes()
    (wan / WEIGHTS).write_bytes(whole[:keep])
    with pytest.raises(ValueError, match=rf"{WEIGHTS} is damaged"):
        DiffusersVae(wan)


def test_weights_that_do_not_fit_the_configuration_are_refused(wan):
    kept = load_file(wan / WEIGHTS)["quant_conv.weight"]
    for tensor in (None, kept[:4].contiguous()):
        spoil(wan, "quant_conv.weight", tensor)
        with pytest.raises(
            ValueError, match=r"weights do not fit config\.json.*quant_conv\.weight"
        ):
            DiffusersVae(wan)
    spoil(wan, "quant_conv.weight", kept)
    spoil(wan, "more.weight", torch.zeros(1))
    with pytest.raises(
        ValueError, match=r"1 tensors are missing or left over, such as more\.weight"
    ):
        DiffusersVae(wan)


def test_other_classes_are_refused_with_a_list(wan):
    for name in ("AutoencoderKLCogVideoX", "AutoencoderKLHunyuanVideo", "UNet2DModel"):
        configure(wan, _class_name=name)
        with pytest.raises(ValueError, match=rf"holds {name}, .*AutoencoderKLWan, .*Mochi are"):
            DiffusersVae(wan)


@pytest.mark.parametrize("kind", ["AutoencoderKLHunyuanVideo", "AutoencoderKLCogVideoX"])
def test_classes_whose_latents_depend_on_later_frames_are_refused(tmp_path, monkeypatch, kind):
    config = {"block_out_channels": (8, 8, 8, 8), "layers_per_block": 1, "norm_num_groups": 2}
    folder = write(tmp_path / "vae", kind, {**config, "latent_channels": 4})
    monkeypatch.setitem(FAMILIES, kind, "other")
    with pytest.raises(ValueError, match="is not causal"):
        DiffusersVae(folder)


@pytest.mark.parametrize("content", ["{", "[]", "{}", "3"])
def test_other_configurations_are_refused(wan, content):
    (wan / "config.json").write_text(content)
    with pytest.raises(ValueError, match=r"config\.json is no diffusers configuration"):
        DiffusersVae(wan)


def test_a_decoder_that_denoises_is_refused(folders, tmp_path):
    folder = Path(shutil.copytree(folders["ltx-8x32x32"], tmp_path / "ltx"))
    configure(folder, timestep_conditioning=True)
    with pytest.raises(ValueError, match="timestep_conditioning"):
        DiffusersVae(folder)


def test_a_rate_that_the_library_does_not_run_is_refused(tmp_path):
    """Wan's code steps four frames at a time, whatever its configuration says."""
    config = {**WAN, "temperal_downsample": [True, True, True], "scale_factor_temporal": 8}
    with pytest.raises(ValueError, match="wan8"):
        DiffusersVae(write(tmp_path / "wan8", "AutoencoderKLWan", config))


def test_weights_in_several_files_give_the_same_tokens(wan, tmp_path):
    kind, config = CLASSES["wan-4x8x8"]
    folder = write(tmp_path / "sharded", kind, config, max_shard_size="20KB")
    shards = sorted(folder.glob("*-of-*.safetensors"))
    assert len(shards) > 1
    sharded, single = DiffusersVae(folder), DiffusersVae(wan)
    [one], [other] = sharded.encode([window(5)]), single.encode([window(5)])
    assert np.array_equal(one.latents, other.latents)
    assert sharded.digest != single.digest
    shards[1].unlink()
    with pytest.raises(FileNotFoundError, match=shards[1].name):
        DiffusersVae(folder)


def test_the_digest_covers_configuration_and_weights_and_no_path(folders, wan):
    digest = DiffusersVae(folders["wan-4x8x8"]).digest
    assert load(f"diffusers:{wan}").digest == digest
    configure(wan, latents_mean=[0.0, 0.0, 0.0, 0.0])
    configured = DiffusersVae(wan).digest
    spoil(wan, "quant_conv.bias", torch.ones(8))
    assert len({digest, configured, DiffusersVae(wan).digest}) == 3


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty cache of the hub, and no network."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def test_a_hub_id_is_read_through_the_hubs_cache(folders, hub):
    repository, commit = hub / "models--someone--Wan-Diffusers", "0" * 40
    shutil.copytree(folders["wan-4x8x8"], repository / "snapshots" / commit / "vae")
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text(commit)
    tokenizer = DiffusersVae("someone/Wan-Diffusers/vae")
    assert tokenizer.name == "wan-4x8x8"
    assert tokenizer.digest == DiffusersVae(folders["wan-4x8x8"]).digest
    with pytest.raises(FileNotFoundError, match="often `vae` inside"):
        DiffusersVae("someone/Wan-Diffusers")


def test_a_hub_id_that_cannot_be_fetched_says_so(hub):
    with pytest.raises(FileNotFoundError, match="the hub did not give someone/nothing"):
        DiffusersVae("someone/nothing/vae")


def test_a_missing_package_names_the_extra(wan, monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(
        ValueError, match=re.escape(f"diffusers is not installed: {install_command('diffusers')}")
    ):
        DiffusersVae(wan)
