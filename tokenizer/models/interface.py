"""The contract of a video tokenizer, and the shapes of its inputs and outputs.

Time is causal: the first frame becomes a latent frame of its own, and each further group of
`rate.time` frames becomes one more, so T = 1 + rate.time · k frames give 1 + k latent frames. A
wrong shape is an error here; several published tokenizers accept one silently and return another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from curation.errors import ReelmillError

Video = npt.NDArray[np.uint8]
"""RGB, [T, H, W, 3], 0 to 255."""
Codes = npt.NDArray[np.uint16]
"""[1 + k, H / space, W / space], each 0 to 63,999."""
Latents = npt.NDArray[np.float16]
"""[channels, 1 + k, H / space, W / space]."""
MAX_RATE = 64
"""Greatest compression along one axis that weights may state."""
Head = Literal["codes", "latents"]
"""The discrete or the continuous form of a window."""


class ShapeError(ReelmillError, ValueError):
    """Arrays or a rate that a tokenizer cannot use; the message names the nearest valid one."""


class TokenizerLoadError(ReelmillError, ValueError):
    """An unknown tokenizer, or weights that cannot be used."""


@dataclass(frozen=True, slots=True)
class Compression:
    """Frames, and pixels a side, per latent: the compression rate."""

    time: int
    """Frames in one latent frame after the first."""
    space: int
    """Pixels in one latent, across and down."""

    def __str__(self) -> str:
        return f"{self.time}x{self.space}x{self.space}"

    @classmethod
    def parse(cls, text: str) -> Compression:
        """Parses what `str` writes, such as `8x16x16`; raises `ShapeError` for anything else."""
        parts = text.split("x")
        if len(parts) != 3 or not all(part.isdecimal() for part in parts) or parts[1] != parts[2]:
            raise ShapeError(f"rate {text!r} is not of the form TIMExSPACExSPACE, such as 8x8x8")
        return cls(int(parts[0]), int(parts[1]))


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """The tokens of one window; at least one of the heads is not None."""

    codes: Codes | None
    """Discrete, [1 + k, H / space, W / space]; a later slice of a stream has k in time."""
    latents: Latents | None
    """Continuous, [channels, 1 + k, H / space, W / space]."""


class Tokenizer(Protocol):
    """A trained video tokenizer with a discrete head, a continuous head, or both.

    Windows go in and come out in lists, so that a device is kept busy; the shapes in a list may
    differ. A window's result is independent of batch composition and order, to the bit.
    """

    @property
    def name(self) -> str:
        """Family and rate, such as `pca-8x8x8`."""

    @property
    def digest(self) -> str:
        """sha256, as hex, of weights and configuration; its first 8 characters name tables."""

    @property
    def rate(self) -> Compression:
        """Compression in time and space."""

    @property
    def levels(self) -> tuple[int, ...]:
        """Levels of each digit of a code, lowest digit first; empty without a discrete head."""

    @property
    def channels(self) -> int:
        """Channels of the continuous head; 0 without one."""

    @property
    def latent_mean(self) -> tuple[float, ...]:
        """Mean of each latent channel over the training data."""

    @property
    def latent_std(self) -> tuple[float, ...]:
        """Standard deviation of each latent channel over the training data."""

    def encode(self, videos: Sequence[Video]) -> list[Tokens]:
        """The tokens of each window; `ShapeError` for a shape that the rate does not divide."""

    def decode_codes(self, windows: Sequence[Codes]) -> list[Video]:
        """Each window from its codes, [1 + time · k, H, W, 3]."""

    def decode_latents(self, windows: Sequence[Latents]) -> list[Video]:
        """Each window from its latents, [1 + time · k, H, W, 3]."""


class StreamEncoder(Protocol):
    """Encodes one long video in chunks, to the same result as encoding it whole."""

    def push(self, video: Video) -> Tokens:
        """The next frames' tokens: 1 + time · k frames at first, time · k after that."""


class StreamDecoder(Protocol):
    """Decodes one long stream in chunks, to the same result as decoding it whole."""

    def push(self, tokens: Tokens) -> Video:
        """The next frames, from the head that the decoder was made for."""


@runtime_checkable
class StreamingTokenizer(Tokenizer, Protocol):
    """A tokenizer whose state carries over from chunk to chunk."""

    @property
    def context(self) -> int:
        """Latent frames before a slice that an exact decoding needs; 0 for none."""

    def stream_encoder(self) -> StreamEncoder:
        """An encoder at the start of a stream."""

    def stream_decoder(self, head: Head, start: bool = True) -> StreamDecoder:
        """A decoder at the start of a stream, or (`start=False`) within one.

        Within a stream the frames of the first `context` latent frames are inexact, and all after
        them exact.
        """


def check_video(video: npt.NDArray[Any], rate: Compression) -> None:
    """Raises `ShapeError` unless this is uint8 [T, H, W, 3] of a size that the rate divides."""
    if video.dtype != np.uint8 or video.ndim != 4 or video.shape[3] != 3:
        raise ShapeError(f"need uint8 [T, H, W, 3], got {video.dtype} {list(video.shape)}")
    frames, height, width, _ = video.shape
    nearest = [
        1 + rate.time * max(0, round((frames - 1) / rate.time)),
        *(rate.space * max(1, round(side / rate.space)) for side in (height, width)),
        3,
    ]
    if nearest != list(video.shape):
        raise ShapeError(
            f"video {list(video.shape)} does not fit rate {rate}: frames must be 1 + {rate.time}·k,"
            f" height and width multiples of {rate.space}; the nearest valid shape is {nearest}"
        )


def check_codes(codes: npt.NDArray[Any], size: int) -> None:
    """Raises `ShapeError` unless this is uint16 [T, H, W], not empty, with values under `size`."""
    if codes.dtype != np.uint16 or codes.ndim != 3 or codes.size == 0:
        raise ShapeError(f"need codes as uint16 [T, H, W], got {codes.dtype} {list(codes.shape)}")
    if int(codes.max()) >= size:
        raise ShapeError(f"code {int(codes.max())} is beyond the codebook's {size} entries")


def check_latents(latents: npt.NDArray[Any], channels: int) -> None:
    """Raises `ShapeError` unless this is finite float16 [channels, T, H, W], not empty."""
    fits = latents.ndim == 4 and latents.shape[0] == channels and latents.size > 0
    if latents.dtype != np.float16 or not fits:
        raise ShapeError(
            f"need latents as float16 [{channels}, T, H, W], got {latents.dtype}"
            f" {list(latents.shape)}"
        )
    if not np.isfinite(latents).all():
        raise ShapeError("latents are NaN or infinite")


def heads_of(tokenizer: Tokenizer) -> tuple[Head, ...]:
    """The heads that a tokenizer has, the discrete one first."""
    codes: tuple[Head, ...] = ("codes",) if tokenizer.levels else ()
    return (*codes, "latents") if tokenizer.channels else codes


def decode_windows(windows: Sequence[Tokens], tokenizer: Tokenizer, head: Head) -> list[Video]:
    """Each window decoded from one head, uint8 [1 + time · k, H, W, 3].

    Raises `ShapeError` for tokens without this head.
    """
    codes = [tokens.codes for tokens in windows if tokens.codes is not None]
    latents = [tokens.latents for tokens in windows if tokens.latents is not None]
    if len(codes if head == "codes" else latents) < len(windows):
        raise ShapeError(f"tokens of {tokenizer.name} without {head}")
    return tokenizer.decode_codes(codes) if head == "codes" else tokenizer.decode_latents(latents)


def parse_rate(path: str | Path, metadata: Mapping[str, str]) -> Compression:
    """The rate that a weights file states; raises `TokenizerLoadError` for none or a wrong one."""
    try:
        rate = Compression.parse(metadata.get("rate", ""))
    except ShapeError as error:
        raise TokenizerLoadError(f"{path}: {error}") from error
    if not (1 <= rate.time <= MAX_RATE and 1 <= rate.space <= MAX_RATE):
        raise TokenizerLoadError(f"{path}: rate {rate} is not from 1 to {MAX_RATE}")
    return rate


def check_tensors(
    path: str | Path,
    tensors: Mapping[str, npt.NDArray[Any]],
    shapes: Mapping[str, tuple[int, ...]],
) -> None:
    """Raises `TokenizerLoadError` unless a file holds finite float32 tensors of these shapes."""
    if missing := sorted(shapes.keys() - tensors.keys()):
        raise TokenizerLoadError(f"{path}: the tensors {', '.join(missing)} are missing")
    for name, shape in shapes.items():
        tensor = tensors[name]
        if tensor.dtype != np.float32 or tensor.shape != shape:
            raise TokenizerLoadError(
                f"{path}: {name} is {tensor.dtype} {list(tensor.shape)}, not float32 {list(shape)}"
            )
        if not np.isfinite(tensor).all():
            raise TokenizerLoadError(f"{path}: {name} is NaN or infinite")


def check_digest(path: str | Path, digest: str, recorded: str | None) -> None:
    """Raises `TokenizerLoadError` unless a weights file has the digest that it records."""
    if digest != recorded:
        raise TokenizerLoadError(f"{path} was altered: digest {digest}, recorded {recorded}")
