"""What external tokenizers share: a published network with one head, behind `Tokenizer`.

Such a network is an encoder and a decoder over pixels [B, 3, T, H, W] in -1 to 1. It declares
little of itself, and most accept a wrong length silently and return another. So it is probed on a
small window when it is loaded: the shapes give the rate, changed late frames must leave earlier
latents unchanged, and the decoder must return as many frames as went in. That costs two encodings
and three decodings of at most 25 frames of 64 × 64 pixels, twice that for batches.

Latents are stored as the network gives them; models that were published with it are trained on
(latent - mean) / std, with `latent_mean` and `latent_std`.
"""

from __future__ import annotations

import hashlib
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from curation.errors import ReelmillError
from curation.storage import file_sha256
from tokenizer.models.inference import DeviceConfig, run_batched
from tokenizer.models.interface import (
    Codes,
    Compression,
    Latents,
    ShapeError,
    TokenizerLoadError,
    Tokens,
    Video,
    check_codes,
    check_latents,
    check_video,
)

_FRAMES, _SIDE = 25, 64
"""Of the probe: 24 later frames are whole groups at 4, 6 and 8 frames a latent."""


class NetworkOutputError(ReelmillError, ValueError):
    """A network returned something unusable for a window; the message names its index."""


class ExternalTokenizer(ABC):
    """A published network as a `Tokenizer` that has codes or latents, not both.

    A subclass loads its network on `device_config.device` in `dtype`, calls `_probe`, and sets the
    attributes that `_probe` does not. Raises `TokenizerLoadError` for a network that it refuses.
    """

    name: str
    digest: str
    rate: Compression
    levels: tuple[int, ...] = ()
    channels: int
    latent_mean: tuple[float, ...] = ()
    latent_std: tuple[float, ...] = ()

    def __init__(self, source: str, device_config: DeviceConfig | None) -> None:
        self.source = source
        self.device_config = device_config or DeviceConfig()
        self.device_config.check()
        self.dtype = torch.bfloat16 if self.device_config.precision == "bf16" else torch.float32

    @abstractmethod
    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """Latents [B, C, t, h, w], or codes as integers [B, t, h, w], of pixels [B, 3, T, H, W]."""

    @abstractmethod
    def decode_tokens(self, tokens: Tensor) -> Tensor:
        """Pixels, about -1 to 1, [B, 3, T, H, W], of latents, or of codes as int32."""

    def encode(self, videos: Sequence[Video]) -> list[Tokens]:
        """The one head of windows uint8 RGB [1 + time · k, H, W, 3].

        Raises `ShapeError` for a shape that the rate does not divide, and `NetworkOutputError` for
        a window, named by its index, whose tokens are NaN or beyond float16 or the codebook.
        """
        for video in videos:
            check_video(video, self.rate)
        outputs = run_batched(self._compiled(self._encode), videos, self.device_config)
        return [
            self._tokens(array, video.shape, index)
            for index, ((array,), video) in enumerate(zip(outputs, videos, strict=True))
        ]

    def decode_codes(self, windows: Sequence[Codes]) -> list[Video]:
        """Windows from their codes, each uint16 [1 + k, h, w]."""
        if self.channels:
            raise ShapeError(f"{self.name} has no codes; decode its latents")
        for codes in windows:
            check_codes(codes, math.prod(self.levels))
        return self._decode_windows(windows)

    def decode_latents(self, windows: Sequence[Latents]) -> list[Video]:
        """Windows from their latents, each float16 [channels, 1 + k, h, w]."""
        if not self.channels:
            raise ShapeError(f"{self.name} has no latents; decode its codes")
        for latents in windows:
            check_latents(latents, self.channels)
        return self._decode_windows(windows)

    def _encode(self, video: Tensor) -> tuple[Tensor]:
        """Codes int32 [B, t, h, w] or latents float16 [B, C, t, h, w] of uint8 [B, T, H, W, 3]."""
        pixels = (video.movedim(-1, 1).float() / 127.5 - 1).to(self.dtype)
        tokens = self.encode_pixels(pixels.contiguous())
        return (tokens.half() if tokens.is_floating_point() else tokens.int(),)

    def _decode(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels uint8 [B, T, H, W, 3], and for each window whether it is finite."""
        tokens = tokens.to(self.dtype) if tokens.is_floating_point() else tokens.int()
        video = self.decode_tokens(tokens).float()
        is_finite = video.isfinite().flatten(1).all(1)
        pixels = ((video.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        return pixels.movedim(1, -1).contiguous(), is_finite

    def _tokens(self, array: npt.NDArray[Any], shape: tuple[int, ...], index: int) -> Tokens:
        frames, height, width = shape[:3]
        time, space = self.rate.time, self.rate.space
        expected = (1 + (frames - 1) // time, height // space, width // space)
        if array.shape[-3:] != expected:
            raise NetworkOutputError(
                f"window {index}: {self.source} gave {array.shape} for {shape}"
            )
        if self.channels:
            if not np.isfinite(array).all():
                raise NetworkOutputError(
                    f"window {index}: {self.source} gave latents that are NaN or beyond float16's"
                    f" ±65,504 in {self.device_config.precision}; try the other precision"
                )
            return Tokens(None, array)
        if array.min() < 0 or array.max() >= math.prod(self.levels):
            raise NetworkOutputError(
                f"window {index}: {self.source} gave codes {array.min()} to {array.max()}, outside"
                f" its codebook's 0 to {math.prod(self.levels) - 1}"
            )
        return Tokens(array.astype(np.uint16), None)

    def _decode_windows(self, windows: Sequence[npt.NDArray[Any]]) -> list[Video]:
        outputs = run_batched(self._compiled(self._decode), windows, self.device_config)
        for index, (_, is_finite) in enumerate(outputs):
            if not is_finite:
                raise NetworkOutputError(f"window {index}: {self.source} decoded it to NaN")
        return [pixels for pixels, _ in outputs]

    def _compiled(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return torch.compile(function, dynamic=False) if self.device_config.compile else function

    def _probe(self) -> None:
        """Sets `rate` and `channels` (0 for codes) by running the network."""
        shape = (min(self.device_config.batch, 2), 3, _FRAMES, _SIDE, _SIDE)
        pattern = torch.arange(math.prod(shape), device=self.device_config.device) * 37 % 251
        pixels = (pattern / 125 - 1).reshape(shape).to(self.dtype)
        try:
            with torch.inference_mode():
                tokens = self.encode_pixels(pixels)
                if not tokens.isfinite().all():
                    raise TokenizerLoadError(f"{self.source} encodes to NaN or infinity")
                self.rate = self._rate(tokens)
                self.channels = tokens.shape[1] if tokens.is_floating_point() else 0
                self._check_causal(pixels, tokens)
                self._check_decoder(tokens)
        except RuntimeError as error:
            last_line = str(error).strip().splitlines()[-1]
            raise TokenizerLoadError(
                f"{self.source} does not run in {self.device_config.precision} on"
                f" {self.device_config.device} (try the other precision): {last_line}"
            ) from error

    def _rate(self, tokens: Tensor) -> Compression:
        frames, height, width = tokens.shape[-3:] if tokens.ndim >= 3 else (0, 0, 0)
        later = _FRAMES - 1
        is_whole = (
            frames > 1 and later % (frames - 1) == 0 and height == width > 0 and _SIDE % height == 0
        )
        if len(tokens) != min(self.device_config.batch, 2):
            raise TokenizerLoadError(f"{self.source} does not take batches; set batch: 1")
        if not is_whole or tokens.ndim != (5 if tokens.is_floating_point() else 4):
            raise TokenizerLoadError(
                f"{self.source} is no video tokenizer with whole rates: it encodes {_FRAMES} frames"
                f" of {_SIDE} × {_SIDE} as {list(tokens.shape)}"
            )
        return Compression(later // (frames - 1), _SIDE // height)

    def _check_causal(self, pixels: Tensor, tokens: Tensor) -> None:
        unchanged = _FRAMES // 2
        changed = torch.cat([pixels[:, :, : unchanged + 1], -pixels[:, :, unchanged + 1 :]], dim=2)
        early = slice(0, 1 + unchanged // self.rate.time)
        difference = tokens[..., early, :, :] - self.encode_pixels(changed)[..., early, :, :]
        if difference.abs().max() > 1e-3:
            raise TokenizerLoadError(f"{self.source} is not causal: its latents see later frames")

    def _check_decoder(self, tokens: Tensor) -> None:
        for latent_frames in (1, 2, tokens.shape[-3]):
            video = self.decode_tokens(tokens[..., :latent_frames, :, :])
            frames = 1 + self.rate.time * (latent_frames - 1)
            if video.shape != (len(tokens), 3, frames, _SIDE, _SIDE):
                raise TokenizerLoadError(
                    f"{self.source} encodes at {self.rate} but decodes {latent_frames} latent"
                    f" frames as {list(video.shape)}, not {frames} frames of {_SIDE} × {_SIDE}"
                )


def files_digest(files: Sequence[Path]) -> str:
    """sha256, as hex, over the names and bytes of files in the given order."""
    parts = [[file.name, file_sha256(str(file))] for file in files]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def pool_statistics(
    mean: Iterable[float], std: Iterable[float], channels: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel, from one or several latent frames of each channel.

    Some tokenizers are published with statistics of each of the first latent frames, [channels,
    frames] flattened; those frames weigh the same. Raises `TokenizerLoadError` for other numbers of
    values.
    """
    means, stds = (np.asarray(list(values), np.float64) for values in (mean, std))
    if not means.size or means.size != stds.size or means.size % channels:
        raise TokenizerLoadError(
            f"{means.size} means and {stds.size} deviations do not belong to {channels} channels"
        )
    means, stds = means.reshape(channels, -1), stds.reshape(channels, -1)
    mean_of_means = means.mean(1)
    pooled_std = np.sqrt((stds**2 + (means - mean_of_means[:, None]) ** 2).mean(1))
    return tuple(mean_of_means.tolist()), tuple(pooled_std.tolist())
