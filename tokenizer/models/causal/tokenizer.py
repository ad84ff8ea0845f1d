"""The learned tokenizer as a `Tokenizer`: weights files, windows, streams.

Weights are one safetensors file, float16; the network computes with exactly these numbers. Its
configuration, the statistics of its latents, a digest and a card are in the file's metadata.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from tokenizer.models import fsq
from tokenizer.models.causal.codec import Codec
from tokenizer.models.causal.network import CHANNELS, Network, NetworkConfig
from tokenizer.models.causal.stream import CausalStreamDecoder, CausalStreamEncoder
from tokenizer.models.inference import DeviceConfig, run_batched
from tokenizer.models.interface import (
    Codes,
    Compression,
    Head,
    Latents,
    StreamDecoder,
    StreamEncoder,
    TokenizerLoadError,
    Tokens,
    Video,
    check_codes,
    check_digest,
    check_latents,
    check_video,
)

KIND = "causal"
_METADATA = ("kind", "config", "digest", "latent_mean", "latent_std")


@dataclass(frozen=True, eq=False)
class CausalTokenizer:
    """A trained `StreamingTokenizer`."""

    codec: Codec
    """The network on its device."""
    digest: str
    """sha256 over configuration, statistics and every tensor as float16."""
    latent_mean: tuple[float, ...]
    latent_std: tuple[float, ...]
    card: Mapping[str, str] = field(default_factory=dict)
    """Data, licence, steps and psnr of the weights; not part of the digest."""
    levels: tuple[int, ...] = field(default=fsq.LEVELS, init=False)
    channels: int = field(default=CHANNELS, init=False)

    @property
    def name(self) -> str:
        """`causal-` and the rate."""
        return f"{KIND}-{self.rate}"

    @property
    def rate(self) -> Compression:
        """Compression in time and space."""
        return self.codec.network.config.rate

    @property
    def context(self) -> int:
        """Latent frames before a slice that its decoding depends on."""
        return self.codec.network.context

    def encode(self, videos: Sequence[Video]) -> list[Tokens]:
        """Both heads of windows uint8 RGB [1 + time · k, H, W, 3]."""
        for video in videos:
            check_video(video, self.rate)
        outputs = run_batched(self.codec.encode, videos, self.codec.device_config)
        return [Tokens(codes, latents) for codes, latents in outputs]

    def decode_codes(self, windows: Sequence[Codes]) -> list[Video]:
        """Windows from their codes, each uint16 [1 + k, h, w]."""
        for codes in windows:
            check_codes(codes, fsq.SIZE)
        digits = [fsq.dequantise(codes) for codes in windows]
        outputs = run_batched(self.codec.decode_codes, digits, self.codec.device_config)
        return [video for (video,) in outputs]

    def decode_latents(self, windows: Sequence[Latents]) -> list[Video]:
        """Windows from their latents, each float16 [16, 1 + k, h, w]."""
        for latents in windows:
            check_latents(latents, CHANNELS)
        channels_last = [np.moveaxis(latents, 0, -1) for latents in windows]
        outputs = run_batched(self.codec.decode_latents, channels_last, self.codec.device_config)
        return [video for (video,) in outputs]

    def stream_encoder(self) -> StreamEncoder:
        """An encoder at the start of a stream."""
        return CausalStreamEncoder(self.codec)

    def stream_decoder(self, head: Head, start: bool = True) -> StreamDecoder:
        """A decoder at the start of a stream, or within one, `context` latent frames early."""
        return CausalStreamDecoder(self.codec, head, start)

    @classmethod
    def of(
        cls,
        network: Network,
        mean: Sequence[float],
        std: Sequence[float],
        device_config: DeviceConfig | None = None,
        card: Mapping[str, str] | None = None,
    ) -> CausalTokenizer:
        """A tokenizer around a network, whose weights are rounded to float16 in place.

        `mean` and `std` are those of its latents, 16 each. Raises `DeviceError` if the device
        cannot be used, and `TokenizerLoadError` if a weight is not finite.
        """
        weights = _float16_weights(network)
        broken = [name for name, tensor in weights.items() if not tensor.isfinite().all()]
        if broken:
            raise TokenizerLoadError(f"weights that are no finite numbers in {', '.join(broken)}")
        network.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
        digest = _digest(network.config, weights, [list(mean), list(std)])
        codec = Codec.on(network, device_config or DeviceConfig())
        return cls(codec, digest, tuple(mean), tuple(std), dict(card or {}))

    def save(self, path: str | Path) -> None:
        """Writes weights, configuration and card as one safetensors file."""
        metadata = {
            "kind": KIND,
            "config": self.codec.network.config.to_json(),
            "digest": self.digest,
            "latent_mean": json.dumps(self.latent_mean),
            "latent_std": json.dumps(self.latent_std),
        }
        weights = _float16_weights(self.codec.network)
        save_file(weights, str(path), metadata={**self.card, **metadata})

    @classmethod
    def load(cls, path: str | Path, device_config: DeviceConfig | None = None) -> CausalTokenizer:
        """Reads what `save` wrote.

        Raises `TokenizerLoadError` for other, altered or damaged files, and for weights that do not
        fit their configuration.
        """
        metadata, tensors = _read(path)
        if metadata.get("kind") != KIND:
            raise TokenizerLoadError(
                f"{path} holds no causal tokenizer; its metadata is {sorted(metadata)}"
            )
        try:
            config = NetworkConfig.from_json(metadata.get("config", ""))
        except TokenizerLoadError as error:
            raise TokenizerLoadError(f"{path}: {error}") from error
        network = _network(path, config, tensors)
        mean, std = (_statistics(path, metadata, key) for key in ("latent_mean", "latent_std"))
        card = {key: text for key, text in metadata.items() if key not in _METADATA}
        tokenizer = cls.of(network, mean, std, device_config, card)
        check_digest(path, tokenizer.digest, metadata.get("digest"))
        return tokenizer


def _network(path: str | Path, config: NetworkConfig, tensors: Mapping[str, Tensor]) -> Network:
    """The network with these weights; nothing is allocated for sizes that the file lacks."""
    with torch.device("meta"):
        expected = {name: t.shape for name, t in Network(config).state_dict().items()}
    actual = {name: tensor.shape for name, tensor in tensors.items()}
    if wrong := sorted(name for name, _ in expected.items() ^ actual.items()):
        raise TokenizerLoadError(
            f"{path}: weights do not fit their configuration: {', '.join(dict.fromkeys(wrong))}"
        )
    network = Network(config)
    network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    return network


def _statistics(path: str | Path, metadata: Mapping[str, str], key: str) -> list[float]:
    """The mean or deviation of each latent channel."""
    try:
        values = json.loads(metadata.get(key, ""))
        if len(values) == CHANNELS and all(math.isfinite(value) for value in values):
            return list(values)
    except (ValueError, TypeError):
        pass
    raise TokenizerLoadError(f"{path}: {key} is no list of {CHANNELS} finite numbers")


def _read(path: str | Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    try:
        with safe_open(str(path), framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return dict(file.metadata() or {}), tensors
    except SafetensorError as error:
        raise TokenizerLoadError(f"{path} cannot be read as safetensors: {error}") from error


def _float16_weights(network: Network) -> dict[str, Tensor]:
    state = network.state_dict()
    return {name: tensor.detach().half().cpu().contiguous() for name, tensor in state.items()}


def _digest(config: NetworkConfig, weights: Mapping[str, Tensor], statistics: object) -> str:
    sha = hashlib.sha256(json.dumps([KIND, config.to_json(), fsq.LEVELS, statistics]).encode())
    for name in sorted(weights):
        sha.update(name.encode() + weights[name].numpy().tobytes())
    return sha.hexdigest()
