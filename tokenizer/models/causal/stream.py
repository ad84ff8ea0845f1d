"""A long video in pieces, with the past of every temporal convolution carried along."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from tokenizer.models import fsq
from tokenizer.models.causal.codec import Codec
from tokenizer.models.causal.network import CHANNELS, State
from tokenizer.models.inference import Placement, run_batched
from tokenizer.models.interface import Head, Tokens, Video, check_codes, check_latents, check_video


class Encoding:
    """A stream on its way in."""

    def __init__(self, codec: Codec) -> None:
        self._codec, self._state, self._start = codec, State(), True

    def push(self, video: Video) -> Tokens:
        """The next frames' tokens: 1 + time · k frames at first, time · k after that."""
        rate = self._codec.network.config.rate
        if not self._start:
            if not len(video) or len(video) % rate.time:
                raise ValueError(f"a later piece has {rate.time}·k frames, not {len(video)}")
            check_video(video[: 1 - rate.time or None], rate)
        else:
            check_video(video, rate)
        [outputs] = run_batched(self._step, [video], _alone(self._codec))
        self._start = False
        return Tokens(*outputs)

    def _step(self, video: Tensor) -> tuple[Tensor, Tensor]:
        return self._codec.encode_piece(video, self._start, self._state)


class Decoding:
    """A stream on its way out."""

    def __init__(self, codec: Codec, head: Head, start: bool) -> None:
        self._codec, self._head, self._state, self._start = codec, head, State(), start

    def push(self, tokens: Tokens) -> Video:
        """The next frames, from the head that the decoder was made for."""
        [(video,)] = run_batched(self._step, [self._numbers(tokens)], _alone(self._codec))
        self._start = False
        return video

    def _numbers(self, tokens: Tokens) -> np.ndarray:
        """What the decoder takes, [T', h, w, 6 or 16]."""
        if self._head == "codes" and tokens.codes is not None:
            check_codes(tokens.codes, fsq.SIZE)
            return fsq.dequantise(tokens.codes)
        if self._head == "latents" and tokens.latents is not None:
            check_latents(tokens.latents, CHANNELS)
            return np.moveaxis(tokens.latents, 0, -1)
        raise ValueError(f"these tokens have no {self._head}")

    def _step(self, z: Tensor) -> tuple[Tensor]:
        return self._codec.decode_piece(self._head, z, self._start, self._state)


def _alone(codec: Codec) -> Placement:
    """A stream is no window: it goes alone."""
    return Placement(codec.placement.device)
