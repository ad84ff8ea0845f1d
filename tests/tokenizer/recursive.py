"""The smallest tokenizers with one head, or with a state that goes on from frame to frame.

A latent is the mean gray level of a block, less a share of the two latents before it. Encoding so
depends on all that came before; decoding adds the shares again, and needs two latents of context.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tokenizer.models.interface import Codes, Compression, Head, Latents, Tokens, Video, check_video

CONTEXT = 2


@dataclass(frozen=True, eq=False)
class Recursive:
    """A `StreamingTokenizer` with codes, latents, or both. Gray level g_t of a block becomes

    code    c_t = (g_t + 3 c_{t-1} + 5 c_{t-2}) mod 256
    latent  z_t = g_t - z_{t-1} / 2 - z_{t-2} / 4
    """

    heads: tuple[Head, ...] = ("codes", "latents")
    context: int = CONTEXT
    broken_at: int | None = None
    """Pictures whose first pixel has this level give NaN."""

    rate = Compression(4, 8)
    name = "recursive-4x8x8"
    digest = "5" * 64
    latent_mean = (128.0,)
    latent_std = (50.0,)

    @property
    def levels(self) -> tuple[int, ...]:
        return (16, 16) if "codes" in self.heads else ()

    @property
    def channels(self) -> int:
        return 1 if "latents" in self.heads else 0

    def encode(self, videos: Sequence[Video]) -> list[Tokens]:
        return [self.stream_encoder().push(video) for video in videos]

    def decode_codes(self, windows: Sequence[Codes]) -> list[Video]:
        return [self.stream_decoder("codes").push(Tokens(codes, None)) for codes in windows]

    def decode_latents(self, windows: Sequence[Latents]) -> list[Video]:
        return [self.stream_decoder("latents").push(Tokens(None, z)) for z in windows]

    def stream_encoder(self) -> Encoding:
        return Encoding(self)

    def stream_decoder(self, head: Head, start: bool = True) -> Decoding:
        return Decoding(self, head, start)


def gray(video: Video, rate: Compression, start: bool) -> np.ndarray:
    """Mean level of each block, rounded, int64 [T', h, w]."""
    first = [video[:1]] if start else []
    rest = video[1:] if start else video
    groups = [*first, *np.split(rest, len(rest) // rate.time)] if len(rest) else first
    _, height, width, _ = video.shape
    blocks = (height // rate.space, rate.space, width // rate.space, rate.space)
    levels = [g.mean((0, 3)).reshape(blocks).mean((1, 3)) for g in groups]
    return np.rint(levels).astype(np.int64)


class Encoding:
    def __init__(self, of: Recursive) -> None:
        self._of = of
        self._codes: list[np.ndarray] = []
        self._latents: list[np.ndarray] = []

    def push(self, video: Video) -> Tokens:
        start = not self._codes
        if start:
            check_video(video, self._of.rate)
        elif len(video) % self._of.rate.time:
            raise ValueError(f"{len(video)} frames")
        levels = gray(video, self._of.rate, start)
        for level in levels:
            before, last = [*[np.zeros_like(level)] * 2, *self._codes][-2:]
            self._codes.append((level + 3 * last + 5 * before) % 256)
            before, last = [*[np.zeros(level.shape)] * 2, *self._latents][-2:]
            self._latents.append(np.float16(level - last / 2 - before / 4))
        codes = np.stack(self._codes[-len(levels) :]).astype(np.uint16)
        latents = np.stack(self._latents[-len(levels) :])[None]
        if video[0, 0, 0, 0] == self._of.broken_at:
            latents = latents * np.float16("nan")
        heads = self._of.heads
        return Tokens(codes if "codes" in heads else None, latents if "latents" in heads else None)


class Decoding:
    def __init__(self, of: Recursive, head: Head, start: bool) -> None:
        self._of, self._head, self._start = of, head, start
        self._past: list[np.ndarray] = []

    def push(self, tokens: Tokens) -> Video:
        given = tokens.codes if self._head == "codes" else tokens.latents[0]
        frames = []
        for z in given.astype(np.float64):
            before, last = [*[np.zeros_like(z)] * 2, *self._past][-2:]
            coded = (z - 3 * last - 5 * before) % 256
            level = coded if self._head == "codes" else z + last / 2 + before / 4
            self._past.append(z)
            space = self._of.rate.space
            picture = np.clip(np.rint(level), 0, 255).astype(np.uint8)
            picture = picture.repeat(space, 0).repeat(space, 1)[..., None].repeat(3, 2)
            frames += [picture] * (1 if self._start else self._of.rate.time)
            self._start = False
        return np.stack(frames)
