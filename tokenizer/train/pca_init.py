"""Where training starts: the principal components of the crops, as the network's linear path.

The linear path from patch to heads and back is set to what `tokenizer.models.pca` would do on the
same crops, with each latent channel scaled to unit variance, and everything else adds nothing yet.
So the first step decodes exactly as well as the baseline.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from tokenizer.models.causal.network import DIGITS, Network
from tokenizer.models.interface import Video
from tokenizer.models.pca import Basis, cut
from tokenizer.train.pca_fit import fit

_WINDOWS = 512
_MEASURED = 64


def start_at_pca(network: Network, crops: Tensor, seed: int = 0) -> None:
    """Sets the linear path from crops uint8 [N, T, H, W, 3]."""
    rate = network.config.rate
    frames = 1 + (crops.shape[1] - 1) // rate.time * rate.time
    order = np.random.default_rng(seed).permutation(len(crops))[:_WINDOWS]
    windows = [crops[place, :frames].cpu().numpy() for place in order]
    pca = fit(windows, rate, seed=seed)
    measured = windows[:_MEASURED]
    firsts = [cut(video[:1], 1, rate.space) for video in measured]
    groups = [cut(video[1:], rate.time, rate.space) for video in measured]
    with torch.no_grad():
        _set(network, "first", pca.first, _spread(pca.first, firsts))
        _set(network, "later", pca.group, _spread(pca.group, groups))


def _spread(basis: Basis, patches: list[Video]) -> Tensor:
    """Standard deviation of each of the 16 coordinates over patches [n, m, D]."""
    flat = np.concatenate([part.reshape(-1, basis.mean.size) for part in patches])
    return torch.from_numpy(basis.analyse(flat).std(axis=0))


def _set(network: Network, side: str, basis: Basis, spread: Tensor) -> None:
    """Encoder and decoder of one kind of patch; `spread` is the deviation of each latent [16]."""
    size = basis.mean.size
    components = torch.from_numpy(basis.components)
    mean, bounds = torch.from_numpy(basis.mean), torch.from_numpy(basis.bounds)
    scales = torch.cat([spread, bounds])
    directions = torch.cat([components, components[:DIGITS]])
    weight = directions / size**0.5 / scales[:, None]
    _fill(network.encoder.linear, side, weight, -(weight @ mean))
    back = directions.T * size**0.5 * scales
    decoders = network.decoder.linear
    _fill(decoders["latents"], side, back[:, :-DIGITS], mean)
    _fill(decoders["codes"], side, back[:, -DIGITS:], mean)


def _fill(maps: nn.Module, side: str, weight: Tensor, bias: Tensor) -> None:
    linear = getattr(maps, side)
    linear.weight.copy_(weight)
    linear.bias.copy_(bias)
