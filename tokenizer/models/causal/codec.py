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
from tokenizer.models.inference import Placement
from tokenizer.models.interface import Head

_PLACES = (1, *np.cumprod(fsq.LEVELS[:-1]).tolist())
_SHAPES = 256
_MOST_APART = 0.05


@dataclass(frozen=True, eq=False)
class Codec:
    """A network, where and how it computes."""

    network: Network
    """In evaluation mode, on its device; not to be changed."""
    placement: Placement
    """Device, precision, batch."""

    @classmethod
    def on(cls, network: Network, placement: Placement) -> Codec:
        """Moves the network to its device.

        Raises `ValueError` if there is no such device, or if it computes wrongly in bf16.
        """
        placement.check()
        network.to(placement.device)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        network.eval().requires_grad_(False)
        codec = cls(network, placement)
        if placement.precision == "bf16":
            codec._compare()
        return codec

    @functools.cached_property
    def encode(self) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
        """`encode_piece` for whole windows, compiled if the placement says so."""
        return self._compiled(self.encode_piece)

    @functools.cached_property
    def decode_codes(self) -> Callable[[Tensor], tuple[Tensor]]:
        """`decode_piece` for the digits of whole windows."""
        return self._compiled(functools.partial(self.decode_piece, "codes"))

    @functools.cached_property
    def decode_latents(self) -> Callable[[Tensor], tuple[Tensor]]:
        """`decode_piece` for the latents of whole windows."""
        return self._compiled(functools.partial(self.decode_piece, "latents"))

    def encode_piece(
        self, video: Tensor, start: bool = True, state: State | None = None
    ) -> tuple[Tensor, Tensor]:
        """Codes uint16 [B, T', h, w] and latents float16 [B, 16, T', h, w].

        `video` is uint8 [B, T, H, W, 3]; `start` says whether it begins a stream, and `state` is
        what the pieces before it left.
        """
        with self._autocast():
            heads = self.network.encoder(video.float() / 127.5 - 1, start, state).float()
        latents = heads[..., :CHANNELS].half().movedim(-1, 1)
        steps = torch.tensor(fsq.LEVELS, device=video.device) - 1
        digits = torch.round((round_digits(heads[..., CHANNELS:]) + 1) / 2 * steps)
        places = torch.tensor(_PLACES, device=video.device)
        return (digits.to(torch.int64) * places).sum(-1).to(torch.uint16), latents

    def decode_piece(
        self, head: Head, z: Tensor, start: bool = True, state: State | None = None
    ) -> tuple[Tensor]:
        """Pixels uint8 [B, T, H, W, 3] of digits [B, T', h, w, 6] or latents [B, T', h, w, 16]."""
        with self._autocast():
            video = self.network.decoder(z.float(), head, start, state).float()
        return (((video.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8),)

    def _autocast(self) -> torch.autocast:
        kind = torch.device(self.placement.device).type
        return torch.autocast(kind, torch.bfloat16, enabled=self.placement.precision == "bf16")

    def _compiled(self, function: Callable[..., tuple[Tensor, ...]]) -> Callable[..., Any]:
        if not self.placement.compile:
            return function
        # Beyond the limit torch would go on without compiling, whose last bits differ; with
        # `fullgraph` it says so instead.
        torch._dynamo.config.recompile_limit = _SHAPES
        return torch.compile(function, dynamic=False, fullgraph=True)

    @torch.inference_mode()
    def _compare(self) -> None:
        """Raises `ValueError` if bf16 goes wrong here, as in some releases of torch it does."""
        config, device = self.network.config, self.placement.device
        random = torch.Generator().manual_seed(0)
        shape = (1, 1 + 2 * config.time, 4 * config.space, 4 * config.space, 3)
        video = torch.randint(0, 256, shape, dtype=torch.uint8, generator=random).to(device)
        exact = Codec(self.network, Placement(device)).encode_piece(video)[1].float()
        apart = (self.encode_piece(video)[1].float() - exact).square().mean().sqrt()
        if not apart <= _MOST_APART * exact.square().mean().sqrt():
            raise ValueError(
                f"torch {torch.__version__} computes this network wrongly in bf16 on {device}: its"
                f" latents lie {float(apart):.3g} from those in fp32; use precision: fp32"
            )
