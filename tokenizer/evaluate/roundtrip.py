"""A clip's way through one tokenizer: its windows encoded, decoded, and without their padding."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from curation.errors import InfrastructureError, MediaError
from tokenizer.evaluate.candidate import Subject
from tokenizer.models.interface import (
    Head,
    StreamingTokenizer,
    Tokens,
    Video,
    decode_windows,
    heads_of,
)
from tokenizer.tokenize.encode import check_finite
from tokenizer.tokenize.windows import Kind, padded


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """Windows as one head keeps them."""

    videos: list[Video]
    """In the windows' order and of their shapes: padding is cut off again."""
    bits: float
    """What their tokens take, as in `Subject.bits`."""
    decode_s: float
    """Seconds to decode all of them."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What a tokenizer made of some windows."""

    tokens: list[Tokens]
    encode_s: float
    """Seconds to encode all of them."""
    heads: dict[Head, Rebuilt]
    """By head, those that the tokenizer has."""


def begin(subject: Subject, kind: Kind) -> Course:
    """The way of a new clip, cut into windows of this kind.

    Raises `ValueError` for slices of a stream if the tokenizer carries no state.
    """
    if kind == "independent":
        return _Apart(subject)
    if not isinstance(subject.tokenizer, StreamingTokenizer):
        raise ValueError(
            f"{subject.tokenizer.name} cannot go on where a window ended: evaluate it in"
            " independent windows"
        )
    return _Streamed(subject, subject.tokenizer)


class Course(ABC):
    """Takes the windows of one clip, in their order."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject

    def try_on(self, windows: Sequence[Video]) -> Trial:
        """Encodes and decodes the next windows, uint8 [T, H, W, 3] of any length and size.

        Raises `MediaError` for windows that the tokenizer refuses or makes NaN of, and
        `EnvironmentFaultError` where the device runs out of memory.
        """
        tokenizer = self._subject.tokenizer
        try:
            start = time.perf_counter()
            tokens = self._encode(windows)
            encode_s = time.perf_counter() - start
            for place, window in enumerate(tokens):
                check_finite(window, place)
            heads = {head: self._rebuilt(head, tokens, windows) for head in heads_of(tokenizer)}
        except ValueError as error:
            raise MediaError("no_tokens", f"{tokenizer.name}: {error}") from error
        except torch.OutOfMemoryError as error:
            words = str(error).strip().partition("\n")[0]
            raise InfrastructureError(f"{words}; lower the batch or the short side") from error
        return Trial(tokens, encode_s, heads)

    @abstractmethod
    def _encode(self, windows: Sequence[Video]) -> list[Tokens]: ...

    @abstractmethod
    def _decode(self, head: Head, tokens: Sequence[Tokens]) -> list[Video]: ...

    def _padded(self, video: Video, alone: int = 1) -> Video:
        """To what the rate takes, where the first `alone` frames, 0 or 1, have their own latent."""
        rate = self._subject.tokenizer.rate
        beside = (-side % rate.space for side in video.shape[1:3])
        return padded(video, -(len(video) - alone) % rate.time, *beside)

    def _rebuilt(self, head: Head, tokens: Sequence[Tokens], windows: Sequence[Video]) -> Rebuilt:
        start = time.perf_counter()
        videos = self._decode(head, tokens)
        decode_s = time.perf_counter() - start
        real = [
            made[: len(video), : video.shape[1], : video.shape[2]]
            for made, video in zip(videos, windows, strict=True)
        ]
        return Rebuilt(real, self._subject.bits(head, tokens), decode_s)


class _Apart(Course):
    """Independent windows, all at once."""

    def _encode(self, windows: Sequence[Video]) -> list[Tokens]:
        return self._subject.tokenizer.encode([self._padded(video) for video in windows])

    def _decode(self, head: Head, tokens: Sequence[Tokens]) -> list[Video]:
        return decode_windows(tokens, self._subject.tokenizer, head)


class _Streamed(Course):
    """Slices of one stream, one after the other."""

    def __init__(self, subject: Subject, tokenizer: StreamingTokenizer) -> None:
        super().__init__(subject)
        self._encoder = tokenizer.stream_encoder()
        self._decoders = {head: tokenizer.stream_decoder(head) for head in heads_of(tokenizer)}
        self._is_first = True

    def _encode(self, windows: Sequence[Video]) -> list[Tokens]:
        return [self._next(video) for video in windows]

    def _next(self, video: Video) -> Tokens:
        alone, self._is_first = int(self._is_first), False
        return self._encoder.push(self._padded(video, alone))

    def _decode(self, head: Head, tokens: Sequence[Tokens]) -> list[Video]:
        return [self._decoders[head].push(window) for window in tokens]
