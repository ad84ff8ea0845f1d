"""A clip through one tokenizer: its windows encoded, decoded, and stripped of their padding."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from curation.errors import InfrastructureError, MediaError
from tokenizer.evaluate.errors import EvaluationError
from tokenizer.models.inference import DeviceConfig
from tokenizer.models.interface import (
    Head,
    StreamingTokenizer,
    Tokenizer,
    Tokens,
    Video,
    decode_windows,
    heads_of,
)
from tokenizer.models.load import load
from tokenizer.models.pca import PcaTokenizer
from tokenizer.tokenize.encode import check_finite
from tokenizer.tokenize.windows import WindowMode, pad_video


@dataclass(frozen=True, slots=True)
class Candidate:
    """A tokenizer under evaluation, and where it computes."""

    tokenizer: Tokenizer
    device: str
    precision: str

    @classmethod
    def load(cls, name: str, device_config: DeviceConfig) -> Candidate:
        """A tokenizer by name, as in `tokenizer.models.load`; PCA always computes on the CPU."""
        tokenizer = load(name, device_config)
        if isinstance(tokenizer, PcaTokenizer):
            return cls(tokenizer, "cpu", "fp64")
        return cls(tokenizer, device_config.device, device_config.precision)

    @property
    def codebook_size(self) -> int:
        """Entries in its codebook; 1 without a discrete head."""
        return math.prod(self.tokenizer.levels)

    def bits(self, head: Head, windows: Sequence[Tokens]) -> float:
        """Bits of one head's tokens: log2 of the codebook's size for a code, 16 for a number of a
        latent. Tokens of padding count, as they have to be stored."""
        if head == "codes":
            codes = sum(tokens.codes.size for tokens in windows if tokens.codes is not None)
            return math.log2(self.codebook_size) * codes
        return 16.0 * sum(t.latents.size for t in windows if t.latents is not None)


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """Windows decoded from one head."""

    videos: list[Video]
    """In the order and the shapes of the windows, without padding."""
    bits: float
    """Of their tokens, see `Candidate.bits`."""
    decode_s: float
    """Seconds to decode all of them."""


@dataclass(frozen=True, slots=True)
class RoundtripResult:
    """Some windows encoded and decoded."""

    tokens: list[Tokens]
    encode_s: float
    """Seconds to encode all of them."""
    heads: dict[Head, Reconstruction]
    """By head that the tokenizer has."""


def start_roundtrip(candidate: Candidate, mode: WindowMode) -> Roundtrip:
    """The roundtrip of a new clip, cut into windows of this mode.

    Raises `EvaluationError` for slices of a stream if the tokenizer is not streaming.
    """
    if mode == "independent":
        return _IndependentRoundtrip(candidate)
    if not isinstance(candidate.tokenizer, StreamingTokenizer):
        raise EvaluationError(
            f"{candidate.tokenizer.name} cannot continue where a window ended: evaluate it in"
            " independent windows"
        )
    return _StreamRoundtrip(candidate, candidate.tokenizer)


class Roundtrip(ABC):
    """Takes the windows of one clip in their order."""

    def __init__(self, candidate: Candidate) -> None:
        self._candidate = candidate

    def run(self, windows: Sequence[Video]) -> RoundtripResult:
        """Encodes and decodes the next windows, uint8 [T, H, W, 3] of any length and size.

        Raises `MediaError` for windows that the tokenizer refuses or encodes as NaN, and
        `InfrastructureError` if the device runs out of memory.
        """
        tokenizer = self._candidate.tokenizer
        try:
            start = time.perf_counter()
            tokens = self._encode(windows)
            encode_s = time.perf_counter() - start
            for index, window_tokens in enumerate(tokens):
                check_finite(window_tokens, index)
            heads = {head: self._reconstruct(head, tokens, windows) for head in heads_of(tokenizer)}
        except ValueError as error:
            raise MediaError("no_tokens", f"{tokenizer.name}: {error}") from error
        except torch.OutOfMemoryError as error:
            message = str(error).strip().partition("\n")[0]
            raise InfrastructureError(f"{message}; lower the batch or the short side") from error
        return RoundtripResult(tokens, encode_s, heads)

    @abstractmethod
    def _encode(self, windows: Sequence[Video]) -> list[Tokens]: ...

    @abstractmethod
    def _decode(self, head: Head, tokens: Sequence[Tokens]) -> list[Video]: ...

    def _pad(self, video: Video, single_frames: int = 1) -> Video:
        """To the tokenizer's rate; the first `single_frames`, 0 or 1, have their own latent."""
        rate = self._candidate.tokenizer.rate
        bottom, right = (-side % rate.space for side in video.shape[1:3])
        return pad_video(video, -(len(video) - single_frames) % rate.time, bottom, right)

    def _reconstruct(
        self, head: Head, tokens: Sequence[Tokens], windows: Sequence[Video]
    ) -> Reconstruction:
        start = time.perf_counter()
        decoded = self._decode(head, tokens)
        decode_s = time.perf_counter() - start
        videos = [
            video[: len(window), : window.shape[1], : window.shape[2]]
            for video, window in zip(decoded, windows, strict=True)
        ]
        return Reconstruction(videos, self._candidate.bits(head, tokens), decode_s)


class _IndependentRoundtrip(Roundtrip):
    """Independent windows, all at once."""

    def _encode(self, windows: Sequence[Video]) -> list[Tokens]:
        return self._candidate.tokenizer.encode([self._pad(video) for video in windows])

    def _decode(self, head: Head, tokens: Sequence[Tokens]) -> list[Video]:
        return decode_windows(tokens, self._candidate.tokenizer, head)


class _StreamRoundtrip(Roundtrip):
    """Slices of one stream, one after the other."""

    def __init__(self, candidate: Candidate, tokenizer: StreamingTokenizer) -> None:
        super().__init__(candidate)
        self._encoder = tokenizer.stream_encoder()
        self._decoders = {head: tokenizer.stream_decoder(head) for head in heads_of(tokenizer)}
        self._single_frames = 1

    def _encode(self, windows: Sequence[Video]) -> list[Tokens]:
        tokens = []
        for video in windows:
            tokens.append(self._encoder.push(self._pad(video, self._single_frames)))
            self._single_frames = 0
        return tokens

    def _decode(self, head: Head, tokens: Sequence[Tokens]) -> list[Video]:
        return [self._decoders[head].push(window) for window in tokens]
