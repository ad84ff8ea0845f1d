"""The tokenize stage: rendered clips in, one shard of token windows out.

Threads read clips ahead, at the size that the tokenizer takes; windows of several clips are encoded
together, and decoded again to record the PSNR of each head. A clip that fails in a batch, for
whatever reason, is retried alone, and then fails alone; the shard holds all windows of every other
clip of the batch, in order. A window's tokens are independent of batch composition, so that a
shard's bytes do not depend on the batch, on the readers or on the number of workers.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from curation.catalog import Catalog
from curation.data_file import NewFile
from curation.device_memory import DeviceMemory
from curation.errors import InfrastructureError, MediaError, ReelmillError, UnavailableError
from curation.lineage import RenderOrigin, name_with_profile
from curation.media.sandbox import Limits
from curation.records import TokenizedClip
from curation.render.rendered_clip import RenderedClip
from curation.signals.blocks import read_clip_signals
from curation.stage import Done, Failed, Resources, Unavailable, attempt
from curation.storage import Storage
from tokenizer.models.inference import DeviceConfig, Precision
from tokenizer.models.interface import Compression, StreamingTokenizer, Tokenizer
from tokenizer.models.load import load
from tokenizer.tokenize.actions import with_actions
from tokenizer.tokenize.clip_windows import ClipWindow, read_windows
from tokenizer.tokenize.encode import (
    BATCHES_PER_CALL,
    RowEncoder,
    SliceEncoder,
    WindowEncoder,
    encode_clips,
)
from tokenizer.tokenize.prefetch import ItemSource
from tokenizer.tokenize.psnr import MeasuredWindows
from tokenizer.tokenize.shards import TokenWindow, shard_metadata, write_shard
from tokenizer.tokenize.windows import (
    MAX_FRAMES,
    Fit,
    SampleShape,
    Tail,
    Window,
    WindowMode,
    fit_shape,
    fit_size,
    nearest_shape,
    split_windows,
)

EVERY = ("*",)
"""Carries every signal."""


@dataclass(frozen=True, slots=True)
class ClipBatch:
    """The clips of one shard. All their tokens are in memory at once: about 0.5 MB a window."""

    key: str
    """Names the batch among all batches."""
    clips: tuple[RenderedClip, ...]
    """In the order of their rows."""
    storage: Storage
    """The output folder."""
    directory: str
    """Where the shard goes, relative to the output folder."""
    origins: tuple[RenderOrigin, ...]
    """Which render each clip is, in their order."""


@dataclass(frozen=True, slots=True)
class TokenizedBatch:
    """The result of one batch."""

    shard: NewFile | None
    """None if every clip failed."""
    clips: list[TokenizedClip] = field(default_factory=list)
    """One outcome a clip, in the batch's order."""


class TokenizeSettingsError(ReelmillError, ValueError):
    """Settings of the tokenize stage that cannot be used."""


@dataclass(frozen=True)
class Tokenize:
    """Rendered clips to token windows."""

    version: ClassVar[int] = 2

    tokenizer: str = "causal-8x8x8"
    """A name for `models.load`: a shipped tokenizer, a file, or an external model."""
    short_side: int = 256
    """Frames shrink until their short side is at most this many pixels."""
    max_frames: int = MAX_FRAMES
    """Frames of a window; 1 + rate · k."""
    shape: str | None = None
    """A fixed shape of all samples, FRAMESxHEIGHTxWIDTH, such as `49x256x448`, in place of
    `short_side` and `max_frames`; of several, separated by commas, each clip takes the one of the
    nearest aspect ratio."""
    fit: Fit = "pad"
    """How a picture gets a fixed shape: `pad` shows all of it, with its last row and column
    repeated; `crop` cuts its middle out. Neither enlarges it."""
    tail: Tail = "pad"
    """Frames at a clip's end that fill no window: `pad` repeats the last one, `drop` leaves them
    out, and with them clips shorter than a window; `overlap` begins the last window earlier."""
    windows: WindowMode = "independent"
    """`independent` windows decode alone; `stream` makes slices of one stream per clip, which have
    a slightly higher PSNR and need those before them to decode."""
    device: str = "cpu"
    """`cpu`, `cuda`, or one of several such as `cuda:1`."""
    precision: Precision = "fp32"
    """What the network computes in."""
    batch: int = 1
    """Windows that the network computes at once."""
    compile: bool = False
    """Whether `torch.compile` fuses the network."""
    quality: MeasuredWindows = "first"
    """Which windows are decoded again to record their PSNR: the first of each clip, all, or none.
    Decoding from both heads costs several times as much as encoding."""
    signals: tuple[str, ...] = EVERY
    """Signals that windows carry, by name or pattern, such as `action*`."""
    readers: int = 1
    """Threads that decode clips ahead of the tokenizer; each reserves a core."""
    limits: Limits = field(default_factory=Limits)
    """Of the sandboxed decoder, for clips without a file of their own."""

    def __post_init__(self) -> None:
        """Raises `TokenizeSettingsError` for settings that no tokenizer takes."""
        if not re.fullmatch(r"cpu|cuda(:\d+)?", self.device):
            raise TokenizeSettingsError(
                f"device {self.device!r} is neither cpu nor cuda, such as cuda:0"
            )
        if self.readers < 1:
            raise TokenizeSettingsError(f"readers: clips need at least one, not {self.readers}")
        self.device_config  # noqa: B018  which checks its own
        if self.fit != "pad" and not self.shapes:
            raise TokenizeSettingsError(f"fit: {self.fit} needs a shape, such as 49x256x448")

    @property
    def shapes(self) -> tuple[SampleShape, ...]:
        """The fixed shapes; none where pictures and tails keep theirs. Raises `WindowError`."""
        return () if self.shape is None else SampleShape.parse_all(self.shape)

    @property
    def device_config(self) -> DeviceConfig:
        """Where and how the network computes."""
        return DeviceConfig(self.device, self.precision, self.batch, self.compile)

    def table(self, renders: str) -> str:
        """Names the tokens by all that decides them; `tokens/<table>` holds them.

        That includes `renders`, the table of renders that are read. Device, batch and compilation
        change only the last bits of what a network computes, so that a run may continue elsewhere
        and fill the same table; precision changes more.
        """
        tokenizer = load(self.tokenizer)
        settings: list[Any] = [self.windows, self.precision, self.version]
        if self.shapes:
            settings = [[str(shape) for shape in self.shapes], self.fit, *settings]
        else:
            settings = [self.short_side, self.max_frames, *settings]
        if self.signals != EVERY:
            settings.append(list(self.signals))
        if self.tail != "pad":
            settings.append(self.tail)
        content = json.dumps([tokenizer.digest, *settings])
        digest = hashlib.sha256(content.encode()).hexdigest()[:8]
        return name_with_profile(f"{tokenizer.name}-{digest}", renders)

    @property
    def resources(self) -> Resources:
        """A core for each reader, a GPU for a network on one, and memory for buffered windows."""
        pixels = [shape.frames * shape.height * shape.width for shape in self.shapes]
        pixels = pixels or [self.max_frames * 2 * self.short_side**2]  # of frames twice as wide
        window_mb = 3 * max(pixels) >> 20
        windows = 2 * BATCHES_PER_CALL * self.batch + 4 * (self.readers + 1)
        gpus = 0.0 if self.device == "cpu" else 1.0
        return Resources(float(self.readers), gpus, 1024 + 512 * self.readers + windows * window_mb)

    def check(self, tokenizer: Tokenizer) -> None:
        """Raises `TokenizeSettingsError` or `WindowError` for windows that it does not take."""
        if self.windows == "stream" and not isinstance(tokenizer, StreamingTokenizer):
            raise TokenizeSettingsError(
                f"windows: {tokenizer.name} cannot carry its state from slice to slice; choose"
                " independent windows or another tokenizer"
            )
        for shape in self.shapes:
            shape.check(tokenizer.rate)
        for frames in [shape.frames for shape in self.shapes] or [self.max_frames]:
            self._split(1, frames, tokenizer.rate)

    def setup(self) -> Callable[[ClipBatch], TokenizedBatch]:
        """Loads the weights; `ValueError` for settings that they or this machine do not take."""
        if self.device != "cpu":
            self.device_config.check()
        tokenizer = load(self.tokenizer, self.device_config)
        self.check(tokenizer)
        return functools.partial(self._tokenize_batch, tokenizer, DeviceMemory())

    def _tokenize_batch(
        self, tokenizer: Tokenizer, memory: DeviceMemory, batch: ClipBatch
    ) -> TokenizedBatch:
        outcomes: list[TokenizedClip] = []
        rows: list[TokenWindow] = []
        encode = functools.partial(self._encode, tokenizer, memory)
        results = encode(batch.clips)
        signals = read_clip_signals(Catalog(batch.storage), {clip.clip_id for clip in batch.clips})
        for clip, origin, first in zip(batch.clips, batch.origins, results, strict=True):
            result = _retry(clip, encode, first) if isinstance(first, Exception) else first
            if isinstance(result, Failed):
                outcomes.append(failed_row(clip, result, origin))
            else:
                outcomes.append(_tokenized_row(clip, result, origin))
                profile, sha256 = origin.render_profile, origin.render_sha256
                if clip.clip_id in signals:
                    recorded, time = signals[clip.clip_id], tokenizer.rate.time
                    result = with_actions(clip, result, recorded, self.signals, time)
                rows += [replace(r, render_profile=profile, render_sha256=sha256) for r in result]
        if not rows:
            return TokenizedBatch(None, outcomes)
        metadata = shard_metadata(tokenizer, self.precision, self.windows)
        shard = write_shard(rows, batch.storage, batch.directory, metadata)
        return TokenizedBatch(shard, outcomes)

    def _encode(
        self,
        tokenizer: Tokenizer,
        memory: DeviceMemory,
        clips: Sequence[RenderedClip],
        list_size: int | None = None,
    ) -> list[list[TokenWindow] | Exception]:
        """The rows of each clip, or its error; `list_size` windows at a time."""
        encoder: RowEncoder
        if self.windows == "stream" and isinstance(tokenizer, StreamingTokenizer):
            encoder = SliceEncoder(tokenizer, quality=self.quality, memory=memory)
        else:
            encoder = WindowEncoder(
                tokenizer, self.batch, list_size, quality=self.quality, memory=memory
            )
        sources = {clip.clip_id: self._source(clip, tokenizer.rate) for clip in clips}
        results = encode_clips(sources, encoder, self.readers)
        return [results[clip.clip_id] for clip in clips]

    def _source(self, clip: RenderedClip, rate: Compression) -> ItemSource[ClipWindow]:
        width, height = max(clip.width, 1), max(clip.height, 1)
        if shapes := self.shapes:
            shape = nearest_shape(width, height, shapes)
            length, size = shape.frames, fit_shape(width, height, shape, self.fit)
        else:
            length, size = self.max_frames, fit_size(width, height, self.short_side, rate)
        windows = self._split(max(clip.frames, 1), length, rate)

        def read() -> Generator[ClipWindow, None, None]:
            if not windows:
                raise MediaError(
                    "no_tokens",
                    f"{clip.frames} frames are fewer than a window of {length}, and tokenize.tail"
                    " is drop; pad or overlap would keep the clip",
                )
            yield from read_windows(clip, windows, size, self.limits)

        return read

    def _split(self, frames: int, length: int, rate: Compression) -> list[Window]:
        return split_windows(
            frames, rate.time, length, self.windows, self.tail, is_fixed=bool(self.shapes)
        )


def _retry(
    clip: RenderedClip, encode: Callable[..., list[list[TokenWindow] | Exception]], error: Exception
) -> list[TokenWindow] | Failed:
    """The result of a clip that failed in a batch: its rows, or the reason."""
    errors = [error]

    def encode_alone(clip: RenderedClip) -> list[TokenWindow]:
        result = errors.pop() if errors else encode([clip], list_size=1)[0]
        if isinstance(result, Exception):
            raise result
        return result

    outcome = attempt(encode_alone, clip)
    if isinstance(outcome, Done):
        rows: list[TokenWindow] = outcome.value
        return rows
    if isinstance(outcome, Failed):
        return outcome
    if isinstance(outcome, Unavailable):
        raise UnavailableError(outcome.detail)
    raise InfrastructureError(f"clip {clip.clip_id}: {outcome.detail}")


def failed_row(clip: RenderedClip, outcome: Failed, origin: RenderOrigin) -> TokenizedClip:
    """The outcome of a clip that failed, with its render."""
    ids = clip.clip_id, clip.source_id
    return TokenizedClip(*ids, "failed", outcome.reason, outcome.detail, **asdict(origin))


def _tokenized_row(
    clip: RenderedClip, rows: Sequence[TokenWindow], origin: RenderOrigin
) -> TokenizedClip:
    codes_db = _weighted_mean([(row.psnr_codes_db, row.frames) for row in rows])
    latents_db = _weighted_mean([(row.psnr_latents_db, row.frames) for row in rows])
    return TokenizedClip(
        clip.clip_id, clip.source_id, "tokenized", windows=len(rows), psnr_codes_db=codes_db,
        psnr_latents_db=latents_db, **asdict(origin),
    )  # fmt: skip


def _weighted_mean(weighted: Sequence[tuple[float | None, int]]) -> float | None:
    """The mean of the values that are not None, with their weights; None without any."""
    pairs = [(value, weight) for value, weight in weighted if value is not None]
    if not pairs:
        return None
    values, weights = zip(*pairs, strict=True)
    return float(np.average(values, weights=weights))
