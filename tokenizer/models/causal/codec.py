"""The network on its device: pixels as bytes in, tokens as bytes out."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tokenizer.models import fsq
from tokenizer.models.causal.network import CHANNELS, Network, State, round_digits
from tokenizer.models.inference import DeviceConfig, DeviceError
from tokenizer.models.interface import Head

_PLACE_VALUES = (1, *np.cumprod(fsq.LEVELS[:-1]).tolist())
_MAX_SHAPES = 256
_MAX_BF16_ERROR = 0.05
"""Relative RMS error of latents."""


@dataclass(frozen=True, eq=False)
class Codec:
    """A network and its device settings."""

    network: Network
    """In evaluation mode, on its device; never modified."""
    device_config: DeviceConfig
    """Device, precision, batch."""

    @classmethod
    def on(cls, network: Network, device_config: DeviceConfig) -> Codec:
        """Moves the network to its device.

        Raises `DeviceError` if the device cannot be used, or computes wrongly in bf16.
        """
        device_config.check()
        network.to(device_config.device)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        network.eval().requires_grad_(False)
        codec = cls(network, device_config)
        if device_config.precision == "bf16":
            codec._check_bf16()
        return codec

    @functools.cached_property
    def encode(self) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
        """`encode_chunk` for whole windows, compiled if configured."""
        return self._compiled(self.encode_chunk)

    @functools.cached_property
    def decode_codes(self) -> Callable[[Tensor], tuple[Tensor]]:
        """`decode_chunk` for the digits of whole windows."""
        return self._compiled(functools.partial(self.decode_chunk, "codes"))

    @functools.cached_property
    def decode_latents(self) -> Callable[[Tensor], tuple[Tensor]]:
        """`decode_chunk` for the latents of whole windows."""
        return self._compiled(functools.partial(self.decode_chunk, "latents"))

    def encode_chunk(
        self, video: Tensor, start: bool = True, state: State | None = None
    ) -> tuple[Tensor, Tensor]:
        """Codes uint16 [B, T', h, w] and latents float16 [B, 16, T', h, w].

        `video` is uint8 [B, T, H, W, 3]; `start` says whether it begins a stream, and `state` is
        carried over from the chunks before it.
        """
        with self._autocast():
            heads = self.network.encoder(video.float() / 127.5 - 1, start, state).float()
        latents = heads[..., :CHANNELS].half().movedim(-1, 1)
        steps = torch.tensor(fsq.LEVELS, device=video.device) - 1
        digits = torch.round((round_digits(heads[..., CHANNELS:]) + 1) / 2 * steps)
        place_values = torch.tensor(_PLACE_VALUES, device=video.device)
        return (digits.to(torch.int64) * place_values).sum(-1).to(torch.uint16), latents

    def decode_chunk(
        self, head: Head, z: Tensor, start: bool = True, state: State | None = None
    ) -> tuple[Tensor]:
        """Pixels uint8 [B, T, H, W, 3] of digits [B, T', h, w, 6] or latents [B, T', h, w, 16]."""
        with self._autocast():
            video = self.network.decoder(z.float(), head, start, state).float()
        return (((video.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8),)

    def _autocast(self) -> torch.autocast:
        kind = torch.device(self.device_config.device).type
        return torch.autocast(kind, torch.bfloat16, enabled=self.device_config.precision == "bf16")

    def _compiled(self, function: Callable[..., tuple[Tensor, ...]]) -> Callable[..., Any]:
        if not self.device_config.compile:
            return function
        # Beyond the limit torch would fall back to uncompiled code, whose last bits differ; with
        # `fullgraph` it raises instead.
        torch._dynamo.config.recompile_limit = _MAX_SHAPES
        return torch.compile(function, dynamic=False, fullgraph=True)

    @torch.inference_mode()
    def _check_bf16(self) -> None:
        """Raises `DeviceError` if bf16 is wrong here, as it is in some releases of torch."""
        config, device = self.network.config, self.device_config.device
        random = torch.Generator().manual_seed(0)
        shape = (1, 1 + 2 * config.time, 4 * config.space, 4 * config.space, 3)
        video = torch.randint(0, 256, shape, dtype=torch.uint8, generator=random).to(device)
        exact = Codec(self.network, DeviceConfig(device)).encode_chunk(video)[1].float()
        error = (self.encode_chunk(video)[1].float() - exact).square().mean().sqrt()
        if not error <= _MAX_BF16_ERROR * exact.square().mean().sqrt():
            raise DeviceError(
                f"torch {torch.__version__} computes this network wrongly in bf16 on {device}: its"
                f" latents are {float(error):.3g} from those in fp32; use precision: fp32"
            )
