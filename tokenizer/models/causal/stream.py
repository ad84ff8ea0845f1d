"""A long video in chunks, with the past of every temporal convolution carried over."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from tokenizer.models import fsq
from tokenizer.models.causal.codec import Codec
from tokenizer.models.causal.network import CHANNELS, State
from tokenizer.models.inference import DeviceConfig, run_batched
from tokenizer.models.interface import (
    Head,
    ShapeError,
    Tokens,
    Video,
    check_codes,
    check_latents,
    check_video,
)


class CausalStreamEncoder:
    """A `StreamEncoder`."""

    def __init__(self, codec: Codec) -> None:
        self._codec, self._state, self._start = codec, State(), True

    def push(self, video: Video) -> Tokens:
        """The next frames' tokens: 1 + time · k frames at first, time · k after that."""
        rate = self._codec.network.config.rate
        if not self._start:
            if not len(video) or len(video) % rate.time:
                raise ShapeError(f"a later chunk has {rate.time}·k frames, not {len(video)}")
            check_video(video[: 1 - rate.time or None], rate)
        else:
            check_video(video, rate)
        [outputs] = run_batched(self._encode, [video], _unbatched(self._codec))
        self._start = False
        return Tokens(*outputs)

    def _encode(self, video: Tensor) -> tuple[Tensor, Tensor]:
        return self._codec.encode_chunk(video, self._start, self._state)


class CausalStreamDecoder:
    """A `StreamDecoder`."""

    def __init__(self, codec: Codec, head: Head, start: bool) -> None:
        self._codec, self._head, self._state, self._start = codec, head, State(), start

    def push(self, tokens: Tokens) -> Video:
        """The next frames, from the decoder's head."""
        [(video,)] = run_batched(self._decode, [self._input(tokens)], _unbatched(self._codec))
        self._start = False
        return video

    def _input(self, tokens: Tokens) -> np.ndarray:
        """The network's input, [T', h, w, 6 or 16]."""
        if self._head == "codes" and tokens.codes is not None:
            check_codes(tokens.codes, fsq.SIZE)
            return fsq.dequantise(tokens.codes)
        if self._head == "latents" and tokens.latents is not None:
            check_latents(tokens.latents, CHANNELS)
            return np.moveaxis(tokens.latents, 0, -1)
        raise ShapeError(f"these tokens have no {self._head}")

    def _decode(self, z: Tensor) -> tuple[Tensor]:
        return self._codec.decode_chunk(self._head, z, self._start, self._state)


def _unbatched(codec: Codec) -> DeviceConfig:
    return DeviceConfig(codec.device_config.device)
