"""The network: Haar patches, factorised causal convolutions, one trunk with two heads.

    video ─ patches ─ fine blocks ─ merge ─ wide blocks ─┬─ 16 latents
                                                         └─ 6 numbers, rounded: one code
    latents or code ─ wide blocks ─ split ─ fine blocks ─ patches ─ video

Arrays are [B, T, H, W, C] throughout, which is what torch calls `channels_last_3d`: every linear
map is one matrix product and every convolution reads its channels side by side. A block is a 3 × 3
convolution inside a frame and then a convolution over this frame and the two before it; no
convolution over all three axes, which costs more and computes wrongly in bf16 in some releases.

Causality: the first frame is a patch of its own with its own linear maps, and each later group of
frames depends on itself and the past. Normalisation is over the channels of one position (Zhang and
Sennrich, "Root Mean Square Layer Normalization", 2019), so no statistic crosses a frame, and a
video encoded in chunks, with the last two frames of every temporal convolution carried over in a
`State`, gives the same result as encoded whole. Layout and codebook follow NVIDIA's "Cosmos World
Foundation Model Platform" (2025), whose tokenizers have some hundred times the weights.

In parallel with the network runs a linear map from patch to heads and back, which training
initialises with the principal components of `tokenizer.models.pca`. So training starts at the
baseline, and the network learns what a linear map cannot do.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from tokenizer.models import fsq
from tokenizer.models.causal.patch import Stem, Unstem
from tokenizer.models.interface import MAX_RATE, Compression, Head, TokenizerLoadError

CHANNELS = 16
DIGITS = len(fsq.LEVELS)
_PAST = 2
_MAX_CHANNELS, _MAX_BLOCKS, _MAX_PATCH = 4096, 64, 4096
State = dict[str, Tensor]
"""What a stream carries from chunk to chunk: the past of each temporal convolution, by name."""


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """The network's size."""

    time: int
    """Frames of a latent after the first."""
    space: int
    """Pixels of a latent, across and down."""
    patch_time: int
    """Frames of a fine patch; divides `time`."""
    patch_space: int
    """Pixels of a fine patch, across and down; divides `space`."""
    fine: int
    """Channels at the resolution of patches."""
    wide: int
    """Channels at the resolution of latents."""
    encoder: tuple[int, int]
    """Fine and wide blocks of the encoder."""
    decoder: tuple[int, int]
    """Fine and wide blocks of the decoder."""

    def __post_init__(self) -> None:
        """Raises `TokenizerLoadError` for sizes that no network of this kind has."""
        bounds = {
            "time": MAX_RATE, "space": MAX_RATE, "patch_time": self.time, "patch_space": self.space,
            "fine": _MAX_CHANNELS, "wide": _MAX_CHANNELS,
        }  # fmt: skip
        sizes = {name: getattr(self, name) for name in bounds}
        blocks = (*self.encoder, *self.decoder)
        if not all(type(size) is int for size in (*sizes.values(), *blocks)):
            raise TokenizerLoadError(f"sizes of a network are whole numbers, not {self}")
        for name, size in sizes.items():
            if not 1 <= size <= bounds[name]:
                raise TokenizerLoadError(f"{name} of a network is from 1 to {bounds[name]}: {size}")
        if len(blocks) != 4 or not all(0 <= count <= _MAX_BLOCKS for count in blocks):
            raise TokenizerLoadError(f"a network has up to {_MAX_BLOCKS} blocks a part: {blocks}")
        if 3 * self.patch_time * self.patch_space**2 > _MAX_PATCH:
            raise TokenizerLoadError(f"a patch has at most {_MAX_PATCH} numbers")

    @property
    def rate(self) -> Compression:
        """Compression in time and space."""
        return Compression(self.time, self.space)

    def to_json(self) -> str:
        """As text, for a file's metadata."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> NetworkConfig:
        """What `to_json` wrote; raises `TokenizerLoadError` for anything else."""
        try:
            values = json.loads(text)
            parts = {name: (*values[name],) for name in ("encoder", "decoder")}
            return cls(**{**values, **parts})
        except (ValueError, KeyError, TypeError) as error:
            raise TokenizerLoadError(f"no configuration of a network: {error}") from error


CONFIGS = {
    "4x8x8": NetworkConfig(4, 8, 4, 4, 64, 192, (1, 2), (2, 3)),
    "8x8x8": NetworkConfig(8, 8, 4, 4, 64, 192, (1, 2), (2, 3)),
    "8x16x16": NetworkConfig(8, 16, 4, 8, 96, 192, (1, 2), (2, 3)),
}
"""The shipped sizes, by rate."""


class Norm(nn.Module):
    """Root mean square over the channels of a position, times a learned gain."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """[..., C] in and out, in the type of x."""
        gain = self.weight.to(x.dtype)
        return F.rms_norm(x, gain.shape, gain, eps=1e-6)


class Block(nn.Module):
    """A residual block: 3 × 3 inside the frame, then this frame and the two before it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = Norm(channels)
        self.inside = nn.Conv2d(channels, channels, 3, padding=1)
        self.along = nn.Conv2d(channels, channels, (1 + _PAST, 1))

    def forward(self, x: Tensor, state: State | None, name: str) -> Tensor:
        """[B, T, H, W, C] in and out; `state` is read and replaced under `name`."""
        b, t, h, w, c = x.shape
        y = F.silu(self.norm(x)).reshape(b * t, h, w, c).permute(0, 3, 1, 2)
        y = F.silu(self.inside(y)).permute(0, 2, 3, 1).reshape(b, t, h * w, c)
        past = state.get(name) if state is not None else None
        y = torch.cat([y.new_zeros(b, _PAST, h * w, c) if past is None else past, y], dim=1)
        if state is not None:
            state[name] = y[:, -_PAST:].clone()
        y = self.along(y.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        output: Tensor = x + y.reshape(b, t, h, w, c)
        return output


class Trunk(nn.ModuleList):
    """Blocks in a row."""

    def __init__(self, count: int, channels: int) -> None:
        super().__init__(Block(channels) for _ in range(count))

    def forward(self, x: Tensor, state: State | None, name: str) -> Tensor:
        """[B, T, H, W, C] in and out."""
        for index, block in enumerate(self):
            x = block(x, state, f"{name}.{index}")
        return x


class Encoder(nn.Module):
    """Pixels in -1 to 1 to the two heads, before rounding."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        fine, wide = config.fine, config.wide
        self.patches = Stem(config.patch_time, config.patch_space, 3, fine, haar=True)
        self.fine = Trunk(config.encoder[0], fine)
        ratio = config.time // config.patch_time, config.space // config.patch_space
        self.merge = Stem(*ratio, fine, wide)
        self.wide = Trunk(config.encoder[1], wide)
        self.norm = Norm(wide)
        self.heads = nn.Linear(wide, CHANNELS + DIGITS)
        self.linear = Stem(config.time, config.space, 3, CHANNELS + DIGITS)
        nn.init.zeros_(self.heads.weight)
        nn.init.zeros_(self.heads.bias)

    def forward(self, x: Tensor, start: bool, state: State | None) -> Tensor:
        """[B, T, H, W, 3] to [B, 1 + k, h, w, 16 + 6]: latents, then digits near -1 to 1."""
        y = self.fine(self.patches(x, start), state, "encoder.fine")
        y = self.wide(self.merge(y, start), state, "encoder.wide")
        heads: Tensor = self.heads(self.norm(y)) + self.linear(x, start)
        return heads


class Decoder(nn.Module):
    """Either head back to pixels."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        fine, wide = config.fine, config.wide
        self.entry = nn.ModuleDict(
            {"latents": nn.Linear(CHANNELS, wide), "codes": nn.Linear(DIGITS, wide)}
        )
        self.wide = Trunk(config.decoder[1], wide)
        ratio = config.time // config.patch_time, config.space // config.patch_space
        self.split = Unstem(*ratio, wide, fine)
        self.fine = Trunk(config.decoder[0], fine)
        self.norm = Norm(fine)
        self.pixels = Unstem(config.patch_time, config.patch_space, fine, 3, haar=True)
        for linear in (self.pixels.first, self.pixels.later):
            nn.init.zeros_(linear.weight)
            nn.init.zeros_(linear.bias)
        self.linear = nn.ModuleDict(
            {
                "latents": Unstem(config.time, config.space, CHANNELS, 3),
                "codes": Unstem(config.time, config.space, DIGITS, 3),
            }
        )

    def forward(self, z: Tensor, head: Head, start: bool, state: State | None) -> Tensor:
        """[B, 1 + k, h, w, 16 or 6] to [B, T, H, W, 3], pixels near -1 to 1."""
        y = self.wide(self.entry[head](z), state, "decoder.wide")
        y = self.fine(self.split(y, start), state, "decoder.fine")
        pixels: Tensor = self.pixels(self.norm(y), start) + self.linear[head](z, start)
        return pixels


class Network(nn.Module):
    """Encoder and decoder."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)

    @property
    def context(self) -> int:
        """Latent frames before a slice that its decoding depends on."""
        fine, wide = self.config.decoder
        ratio = self.config.time // self.config.patch_time
        return _PAST * wide + -(-_PAST * fine // ratio)


def round_digits(z: Tensor) -> Tensor:
    """Each of the 6 digits [..., 6] on the nearest of its evenly spaced levels in [-1, 1]."""
    steps = torch.tensor([level - 1 for level in fsq.LEVELS], dtype=z.dtype, device=z.device) / 2
    return torch.round((z.clamp(-1, 1) + 1) * steps) / steps - 1
