import pytest
import torch

from tests.tokenizer.models.causal.conftest import noise, untrained
from tokenizer.models import fsq
from tokenizer.models.causal.network import CONFIGS, Network, NetworkConfig, round_digits


def test_shipped_configurations_stay_small():
    for rate, config in CONFIGS.items():
        assert str(config.rate) == rate
        assert NetworkConfig.from_json(config.to_json()) == config
        assert sum(p.numel() for p in Network(config).parameters()) < 4_000_000


def test_digits_are_rounded_to_the_levels_of_the_codebook():
    every = torch.from_numpy(fsq.dequantise(torch.arange(fsq.SIZE).to(torch.uint16).numpy()))
    assert torch.allclose(round_digits(every), every, atol=1e-6)
    assert round_digits(torch.tensor([[5.0, -5.0, 0.1, 0.1, -0.3, 0.24]])).tolist() == [
        pytest.approx([1, -1, 1 / 7, 0, -0.5, 0])
    ]


def test_no_latent_depends_on_a_later_frame(rate):
    tokenizer = untrained(rate)
    video = noise(25)
    changed = video.copy()
    first_changed = 1 + 2 * tokenizer.rate.time
    changed[first_changed:] = 255 - changed[first_changed:]
    before, after = tokenizer.encode([video, changed])
    assert (before.latents[:, :3] == after.latents[:, :3]).all()
    assert (before.latents[:, 3:] != after.latents[:, 3:]).mean() > 0.5
    decoded, redecoded = tokenizer.decode_latents([before.latents, after.latents])
    assert (decoded[:first_changed] == redecoded[:first_changed]).all()
    assert (decoded[first_changed:] != redecoded[first_changed:]).mean() > 0.5


def test_every_weight_affects_the_output(rate):
    network = untrained(rate).codec.network.requires_grad_(True)
    video = torch.from_numpy(noise(17))[None].float() / 127.5 - 1
    heads = network.encoder(video, True, None)
    latents, digits = heads[..., :16], heads[..., 16:]
    decoded = [network.decoder(latents, "latents", True, None)]
    decoded.append(network.decoder(digits, "codes", True, None))
    sum(video.square().mean() for video in decoded).backward()
    idle = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert idle == []
