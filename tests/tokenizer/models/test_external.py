"""Somebody else's networks behind our interface: scripted ones that do what real ones may.

What real networks do is in `test_cosmos` and `test_diffusers_vae`.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tokenizer.models import fsq
from tokenizer.models.cosmos import CosmosJit
from tokenizer.models.external import pool_statistics
from tokenizer.models.inference import DeviceConfig
from tokenizer.models.interface import Compression

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")


UNDECODABLE = 99.0


class Blocks(nn.Module):
    """An encoder for 4x8x8 that takes the mean of each block, times a factor."""

    def __init__(
        self, factor: float = 1.0, *, ahead: bool = False, one: bool = False, nan: bool = False
    ) -> None:
        super().__init__()
        self.factor, self.ahead, self.one, self.nan_in_black = factor, ahead, one, nan

    def forward(self, pixels: Tensor) -> Tensor:
        if self.one:
            pixels = pixels[:1]
        first = functional.avg_pool3d(pixels[:, :, :1], [1, 8, 8])
        parts = [first]
        if pixels.shape[2] > 1:
            parts.append(functional.avg_pool3d(pixels[:, :, 1:], [4, 8, 8]))
        means = torch.cat(parts, 2) * self.factor
        if self.nan_in_black:
            means = means * ((means + 1) / (means + 1))
        return means - means.mean(2, keepdim=True) if self.ahead else means


class Codes(nn.Module):
    """The brightness of each block as a code, which is too large where it is bright."""

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        means = functional.avg_pool3d(pixels.mean(1), [1, 8, 8])
        first = means[:, :1]
        later = means[:, 1:]
        parts = [first] if later.shape[1] == 0 else [first, later[:, ::4]]
        return ((torch.cat(parts, 1) + 1) * 40000).int(), means


class Spread(nn.Module):
    """A decoder that repeats each latent over its block; after the first frame `time` times.

    It makes NaN of latents that are `UNDECODABLE`.
    """

    def __init__(self, time: int = 4) -> None:
        super().__init__()
        self.time, self.undecodable = time, UNDECODABLE

    def forward(self, tokens: Tensor) -> Tensor:
        latents = tokens if tokens.dim() == 5 else tokens.unsqueeze(1).repeat(1, 3, 1, 1, 1)
        latents = latents * ((latents - self.undecodable) / (latents - self.undecodable))
        wide = latents.repeat_interleave(8, 3).repeat_interleave(8, 4).float()
        return torch.cat([wide[:, :, :1], wide[:, :, 1:].repeat_interleave(self.time, 2)], 2)


def script(folder: Path, encoder: nn.Module, decoder: nn.Module) -> Path:
    torch.jit.script(encoder.eval()).save(folder / "encoder.jit")
    torch.jit.script(decoder.eval()).save(folder / "decoder.jit")
    return folder


def test_a_window_that_float16_cannot_hold_is_named(tmp_path):
    tokenizer = CosmosJit(script(tmp_path, Blocks(factor=1e5), Spread()), DeviceConfig(batch=2))
    grey, white = np.full((5, 16, 16, 3), 128, np.uint8), np.full((5, 16, 16, 3), 255, np.uint8)
    assert tokenizer.name == "cosmos-cv-4x8x8"
    assert tokenizer.encode([grey])[0].latents[0, 0, 0, 0] == np.float16(1e5 / 255)
    with pytest.raises(ValueError, match=r"window 1: .* beyond float16"):
        tokenizer.encode([grey, white])


def test_nan_is_refused_both_ways(tmp_path):
    tokenizer = CosmosJit(script(tmp_path, Blocks(nan=True), Spread()))
    with pytest.raises(ValueError, match=r"window 0: .* NaN"):
        tokenizer.encode([np.zeros((5, 16, 16, 3), np.uint8)])
    finite = np.zeros((3, 1, 2, 2), np.float16)
    with pytest.raises(ValueError, match=r"window 1: .* decoded it to NaN"):
        tokenizer.decode_latents([finite, np.full_like(finite, UNDECODABLE)])
    with pytest.raises(ValueError, match="latents are NaN or infinite"):
        tokenizer.decode_latents([finite, np.full_like(finite, np.nan)])
    with pytest.raises(ValueError, match="encodes to NaN or infinity"):
        CosmosJit(script(tmp_path, Blocks(factor=float("nan")), Spread()))


def test_a_code_beyond_the_codebook_is_refused(tmp_path):
    tokenizer = CosmosJit(script(tmp_path, Codes(), Spread()))
    dark, bright = np.full((5, 16, 16, 3), 51, np.uint8), np.full((5, 16, 16, 3), 255, np.uint8)
    assert (tokenizer.name, tokenizer.levels) == ("cosmos-dv-4x8x8", fsq.LEVELS)
    assert np.all(tokenizer.encode([dark])[0].codes == 16000)
    with pytest.raises(ValueError, match=r"window 1: .* codes 80000 to 80000, outside .* 63999"):
        tokenizer.encode([dark, bright])


@pytest.mark.parametrize(
    ("encoder", "decoder", "reason"),
    [
        (Blocks(ahead=True), Spread(), "not causal"),
        (Blocks(), Spread(time=5), "decodes 2 latent frames as .*, not 5 frames"),
        (nn.Conv3d(3, 4, 7, stride=7), Spread(), r"no video tokenizer .* \[1, 4, 3, 9, 9\]"),
        (nn.Conv2d(3, 4, 8, stride=8), Spread(), "does not run in fp32 on cpu"),
    ],
)
def test_networks_of_another_kind_are_refused(tmp_path, encoder, decoder, reason):
    with pytest.raises(ValueError, match=reason):
        CosmosJit(script(tmp_path, encoder, decoder))


def test_a_network_that_takes_one_window_is_refused_for_batches(tmp_path):
    folder = script(tmp_path, Blocks(one=True), Spread())
    assert CosmosJit(folder).rate == Compression(4, 8)
    with pytest.raises(ValueError, match="batches"):
        CosmosJit(folder, DeviceConfig(batch=2))


def test_statistics_of_several_latent_frames_are_pooled():
    random = np.random.default_rng(0)
    samples = random.normal(size=(2, 3, 1000)) + np.arange(6.0).reshape(2, 3, 1)
    mean, std = pool_statistics(samples.mean(2).ravel(), samples.std(2).ravel(), channels=2)
    assert mean == pytest.approx(samples.reshape(2, -1).mean(1))
    assert std == pytest.approx(samples.reshape(2, -1).std(1))
    for means, stds in (([], []), ([0.0] * 3, [1.0] * 3), ([0.0] * 2, [1.0] * 4)):
        with pytest.raises(ValueError, match="do not belong to 2 channels"):
            pool_statistics(means, stds, channels=2)
