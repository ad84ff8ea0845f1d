"""Initialises training: the principal components of the crops as the network's linear path.

The linear path from patch to heads and back is set to what `tokenizer.models.pca` would fit to the
same crops, with each latent channel scaled to unit variance; the rest of the network starts at zero
output. So the first step decodes exactly as well as the baseline. Only torch, numpy and safetensors
are needed.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from tokenizer.models.causal.network import DIGITS, Network
from tokenizer.models.interface import Video
from tokenizer.models.pca import Basis, split_patches
from tokenizer.train.pca_fit import fit_pca

_WINDOWS = 512
_STATISTICS_WINDOWS = 64


def init_from_pca(network: Network, crops: Tensor, seed: int = 0) -> None:
    """Sets the linear path from crops uint8 [N, T, H, W, 3]."""
    rate = network.config.rate
    frames = 1 + (crops.shape[1] - 1) // rate.time * rate.time
    order = np.random.default_rng(seed).permutation(len(crops))[:_WINDOWS]
    windows = [crops[index, :frames].cpu().numpy() for index in order]
    pca = fit_pca(windows, rate, seed=seed)
    sample = windows[:_STATISTICS_WINDOWS]
    firsts = [split_patches(video[:1], 1, rate.space) for video in sample]
    groups = [split_patches(video[1:], rate.time, rate.space) for video in sample]
    with torch.no_grad():
        _set_linear(network, "first", pca.first, _coordinate_std(pca.first, firsts))
        _set_linear(network, "later", pca.group, _coordinate_std(pca.group, groups))


def _coordinate_std(basis: Basis, patches: list[Video]) -> Tensor:
    """Standard deviation of each of the 16 coordinates over patches [n, m, D]."""
    flat = np.concatenate([group.reshape(-1, basis.mean.size) for group in patches])
    return torch.from_numpy(basis.project(flat).std(axis=0))


def _set_linear(network: Network, side: str, basis: Basis, std: Tensor) -> None:
    """Sets encoder and decoder of one kind of patch; `std` is that of each latent, [16]."""
    size = basis.mean.size
    components = torch.from_numpy(basis.components)
    mean, bounds = torch.from_numpy(basis.mean), torch.from_numpy(basis.bounds)
    scales = torch.cat([std, bounds])
    directions = torch.cat([components, components[:DIGITS]])
    weight = directions / size**0.5 / scales[:, None]
    _copy_linear(network.encoder.linear, side, weight, -(weight @ mean))
    back = directions.T * size**0.5 * scales
    decoders = network.decoder.linear
    _copy_linear(decoders["latents"], side, back[:, :-DIGITS], mean)
    _copy_linear(decoders["codes"], side, back[:, -DIGITS:], mean)


def _copy_linear(maps: nn.Module, side: str, weight: Tensor, bias: Tensor) -> None:
    linear = getattr(maps, side)
    linear.weight.copy_(weight)
    linear.bias.copy_(bias)
