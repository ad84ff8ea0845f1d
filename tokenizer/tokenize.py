"""The tokenize stage: rendered clips in, one shard of token windows out.

A clip is read at the size that the tokenizer takes, window by window, encoded, and decoded again
from both heads to record how much each keeps. A clip that fails fails alone; the shard holds all
windows of every other clip of the batch, in order.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np

from curation.media.child import Limits
from curation.media.clips import ClipReader
from curation.media.cut import Span
from curation.media.frames import read_span
from curation.media.probe import check_readable
from curation.original import original
from curation.reasons import EnvironmentFaultError, OutOfReachError
from curation.records import Source
from curation.stage import Away, Done, Failed, Needs, attempt
from curation.storage import Storage
from tokenizer import windows
from tokenizer.interface import Tokenizer, Video
from tokenizer.load import load
from tokenizer.shards import (
    Shard,
    TokenWindow,
    metadata,
    read_codes,
    read_latents,
    write_shard,
)

_MOST_DB = 100.0


@dataclass(frozen=True, slots=True)
class ClipFile:
    """A rendered clip."""

    clip_id: str
    """The clip."""
    source_id: str
    """Its source."""
    uri: str
    """The file to read: our own encode, a copy, or the source."""
    frames: int
    """Frames in the file."""
    width: int
    """Width in pixels."""
    height: int
    """Height in pixels."""
    fps: float
    """Frames a second."""
    start_frame: int
    """The clip's first frame, counted in the source."""
    start_s: float
    """The clip's start in seconds from the source's first frame."""
    source_frames_each: float = 1.0
    """Source frames for each frame of the file: not 1 where a render changed the rate."""
    source: Source | None = None
    """The source, if `uri` is the source itself."""
    span: Span | None = None
    """Which frames of the file to decode in a confined child; None for our own encode, which
    decord reads whole."""

    @property
    def key(self) -> str:
        """The clip's id."""
        return self.clip_id


@dataclass(frozen=True, slots=True)
class ClipBatch:
    """The clips of one shard. All their tokens are in memory at once: about 0.5 MB a window."""

    key: str
    """Names the batch among all batches."""
    clips: tuple[ClipFile, ...]
    """In the order of their rows."""
    storage: Storage
    """The output folder."""
    directory: str
    """Where the shard goes, relative to the output folder."""


@dataclass(frozen=True, slots=True)
class TokenizedClip:
    """One clip's outcome."""

    clip_id: str
    """The clip."""
    source_id: str
    """Its source."""
    outcome: str
    """`tokenized` or `failed`."""
    reason: str | None = None
    """For `failed`: one word of the closed list of reasons."""
    detail: str | None = None
    """For `failed`: what was seen."""
    windows: int | None = None
    """Rows in the shard."""
    psnr_codes_db: float | None = None
    """Mean over the clip's windows, weighted by their real frames."""
    psnr_latents_db: float | None = None
    """The same for the continuous head."""


@dataclass(frozen=True, slots=True)
class TokenizedBatch:
    """What one batch gave."""

    shard: Shard | None
    """None if every clip failed."""
    clips: list[TokenizedClip] = field(default_factory=list)
    """One outcome a clip, in the batch's order."""


@dataclass(frozen=True)
class Tokenize:
    """Rendered clips to token windows."""

    version: ClassVar[int] = 1

    tokenizer: str = "pca-8x8x8"
    """Name of a shipped tokenizer, or path of a `.safetensors` file."""
    short_side: int = 256
    """The picture's short side is reduced to at most this many pixels."""
    max_frames: int = windows.MAX_FRAMES
    """Frames of a window; 1 + rate · k."""
    limits: Limits = field(default_factory=Limits)
    """What the decoder of clips that are no files of their own may use."""

    def table(self) -> str:
        """Names the tokens by what decides them; `tokens/<table>` holds them."""
        tokenizer = load(self.tokenizer)
        decides = f"{tokenizer.digest} {self.short_side} {self.max_frames} {self.version}"
        return f"{tokenizer.name}-{hashlib.sha256(decides.encode()).hexdigest()[:8]}"

    @property
    def needs(self) -> Needs:
        """One core; the memory of a batch and of decord."""
        return Needs(cpus=1.0, memory_mb=2048)

    def setup(self) -> Callable[[ClipBatch], TokenizedBatch]:
        """Loads the weights; `ValueError` for a `max_frames` that they do not take."""
        tokenizer = load(self.tokenizer)
        windows.split(1, tokenizer.rate.time, self.max_frames)

        def work(batch: ClipBatch) -> TokenizedBatch:
            rows: list[TokenWindow] = []
            outcomes = []
            for clip in batch.clips:
                outcome, made = self._clip(clip, tokenizer)
                outcomes.append(outcome)
                rows += made
            if not rows:
                return TokenizedBatch(None, outcomes)
            shard = write_shard(rows, batch.storage, batch.directory, metadata(tokenizer))
            return TokenizedBatch(shard, outcomes)

        return work

    def _clip(
        self, clip: ClipFile, tokenizer: Tokenizer
    ) -> tuple[TokenizedClip, list[TokenWindow]]:
        """The clip's outcome and its rows, none if it failed."""
        result = attempt(lambda item: self._windows(item, tokenizer), clip)
        if isinstance(result, Failed):
            failed = TokenizedClip(
                clip.clip_id, clip.source_id, "failed", result.reason, result.detail
            )
            return failed, []
        if isinstance(result, Away):
            raise OutOfReachError(result.detail)
        if not isinstance(result, Done):
            raise EnvironmentFaultError(f"clip {clip.clip_id}: {result.detail}")
        rows: list[TokenWindow] = result.value
        weights = [row.frames for row in rows]
        done = TokenizedClip(
            clip.clip_id,
            clip.source_id,
            "tokenized",
            windows=len(rows),
            psnr_codes_db=float(np.average([row.psnr_codes_db for row in rows], weights=weights)),
            psnr_latents_db=float(
                np.average([row.psnr_latents_db for row in rows], weights=weights)
            ),
        )
        return done, rows

    def _windows(self, clip: ClipFile, tokenizer: Tokenizer) -> list[TokenWindow]:
        rate = tokenizer.rate
        width, height = windows.fitted_size(clip.width, clip.height, self.short_side, rate)
        rows = []
        with _opened(clip) as path:
            read = _reader(path, clip, width, height, self.limits)
            for window in windows.split(clip.frames, rate.time, self.max_frames):
                video = read(window.start_frame, window.start_frame + window.frames)
                rows.append(encode_window(video, window, clip, tokenizer))
        return rows


@contextlib.contextmanager
def _opened(clip: ClipFile) -> Iterator[str]:
    if clip.source is not None:
        with original(clip.source) as path:
            yield path
    else:
        with Storage.at(clip.uri).local() as path:
            check_readable(path)
            yield path


def _reader(
    path: str, clip: ClipFile, width: int, height: int, limits: Limits
) -> Callable[[int, int], Video]:
    """Reads frames from a first to an end number, exclusive, at the given size."""
    if clip.span is not None:
        frames = read_span(path, clip.span, width, height, limits)
        return lambda start, end: frames[start:end]
    reader = ClipReader(path, width=width, height=height, frames=clip.frames)
    return lambda start, end: reader.read(range(start, end))


def encode_window(
    video: Video, window: windows.Window, clip: ClipFile, tokenizer: Tokenizer
) -> TokenWindow:
    """The row of one window; `video` is its real frames, uint8 [frames, H, W, 3]."""
    tokens = tokenizer.encode(windows.padded(video, window.pad_frames))
    frames, height, width = tokens.codes.shape
    return TokenWindow(
        clip_id=clip.clip_id,
        source_id=clip.source_id,
        window=window.index,
        start_frame=clip.start_frame + round(window.start_frame * clip.source_frames_each),
        start_s=clip.start_s + window.start_frame / clip.fps,
        frames=window.frames,
        pad_frames=window.pad_frames,
        fps=clip.fps,
        causal_first=True,
        pixel_height=video.shape[1],
        pixel_width=video.shape[2],
        latent_frames=frames,
        latent_height=height,
        latent_width=width,
        channels=tokenizer.channels,
        codes=tokens.codes.astype("<u2").tobytes(),
        codes_dtype="uint16",
        latents=tokens.latents.astype("<f2").tobytes(),
        latents_dtype="float16",
        tokenizer=tokenizer.name,
        tokenizer_digest=tokenizer.digest,
        psnr_codes_db=psnr_db(video, tokenizer.decode_codes(tokens.codes)[: window.frames]),
        psnr_latents_db=psnr_db(video, tokenizer.decode_latents(tokens.latents)[: window.frames]),
    )


def psnr_db(video: Video, other: Video) -> float:
    """Peak signal-to-noise ratio of two uint8 videos of one shape, over all frames; at most 100."""
    squares = sum(
        float(np.square(a.astype(np.int32) - b).sum()) for a, b in zip(video, other, strict=True)
    )
    error = squares / video.size
    return _MOST_DB if error == 0 else min(_MOST_DB, float(10 * np.log10(255**2 / error)))


def decode_clip(
    rows: Sequence[TokenWindow],
    tokenizer: Tokenizer,
    *,
    head: Literal["codes", "latents"] = "codes",
) -> Video:
    """The clip, uint8 [n, H, W, 3], from all its rows in order of `window`; padding is dropped.

    Raises `ValueError` if rows are missing, of several clips, or by another tokenizer.
    """
    for place, row in enumerate(rows):
        if row.tokenizer_digest != tokenizer.digest:
            raise ValueError(
                f"window {row.window} was made by {row.tokenizer} {row.tokenizer_digest[:8]},"
                f" not by {tokenizer.name} {tokenizer.digest[:8]}"
            )
        if row.window != place or row.clip_id != rows[0].clip_id:
            raise ValueError(f"row {place} is window {row.window} of clip {row.clip_id}")
    if not rows:
        raise ValueError("a clip needs at least one row")
    if head == "codes":
        parts = [tokenizer.decode_codes(read_codes(row))[: row.frames] for row in rows]
    else:
        parts = [tokenizer.decode_latents(read_latents(row))[: row.frames] for row in rows]
    return np.concatenate(parts)
