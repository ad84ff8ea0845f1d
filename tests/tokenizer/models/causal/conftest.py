import numpy as np
import pytest
import torch

from tokenizer.models.causal.network import Network, NetworkConfig
from tokenizer.models.causal.tokenizer import CausalTokenizer
from tokenizer.models.inference import DeviceConfig

SMALL = {
    "4x8x8": NetworkConfig(4, 8, 4, 4, 8, 16, (1, 1), (2, 1)),
    "8x8x8": NetworkConfig(8, 8, 4, 4, 8, 16, (1, 2), (1, 2)),
    "8x16x16": NetworkConfig(8, 16, 4, 8, 8, 16, (2, 1), (1, 2)),
}


def untrained(rate: str, placement: DeviceConfig | None = None) -> CausalTokenizer:
    """A small tokenizer in which every weight is at work."""
    torch.manual_seed(7)
    network = Network(SMALL[rate])
    for weights in network.parameters():
        if weights.ndim < 2 or not weights.abs().sum():
            torch.nn.init.normal_(weights, std=0.1)
    return CausalTokenizer.of(network, [0.0] * 16, [1.0] * 16, placement)


def noise(frames: int, height: int = 32, width: int = 48, seed: int = 0) -> np.ndarray:
    shape = (frames, height, width, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture(params=SMALL)
def rate(request: pytest.FixtureRequest) -> str:
    return request.param
