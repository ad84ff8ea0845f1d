"""All metrics of one clip through several tokenizers.

The clip is read once, a few windows at a time, and each tokenizer gets the same windows: memory is
bounded by windows, not by clips. Padding is cut off before anything is compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from curation.media.sandbox import Limits
from curation.render.rendered_clip import RenderedClip
from tokenizer.evaluate.frechet import Features, SpanFeatures, VideoFeatures
from tokenizer.evaluate.perceptual import LPIPS_STRIDE, Lpips, ssim
from tokenizer.evaluate.roundtrip import Candidate, Reconstruction, start_roundtrip
from tokenizer.evaluate.seams import Seams, flicker, measure_seams
from tokenizer.models.interface import Codes, Compression, Head, Video
from tokenizer.tokenize.clip_windows import read_windows
from tokenizer.tokenize.psnr import PerFrame, frame_mse, psnr_from_mse
from tokenizer.tokenize.windows import MAX_FRAMES, PaddedSize, WindowMode, fit_size, split_windows

_UNPADDED = Compression(1, 1)
"""Windows and sizes before each tokenizer pads them to its own rate."""
HeadKey = tuple[str, Head]
"""A tokenizer by its requested name, and its head."""
CodeCounts = npt.NDArray[np.int64]
"""Occurrences of each entry of a codebook, [size]."""


@dataclass(frozen=True)
class MetricSettings:
    """What is measured, and on what."""

    short_side: int = 256
    """Largest short side of the pictures in pixels; larger ones are scaled down."""
    max_frames: int = MAX_FRAMES
    """Frames of a window; 1 + rate · k."""
    clip_frames: int | None = None
    """Largest number of frames of a clip, from its start; None for all."""
    window_mode: WindowMode = "independent"
    """Independent windows, or slices of one stream a clip."""
    batch_size: int = 1
    """Windows that a tokenizer gets at once."""
    device: str = "cpu"
    """Where SSIM is computed."""
    preview_frames: int = 0
    """Frames of each clip to keep for a video."""
    lpips: Lpips | None = None
    """If its weights are given."""
    features: VideoFeatures | None = None
    """For the Fréchet video distance, if its weights are given."""


@dataclass(frozen=True, slots=True)
class ComparedClip:
    """One clip through one head of one tokenizer."""

    tokenizer: str
    """Name as requested."""
    head: Head
    clip_id: str
    source_id: str
    frames: int
    width: int
    """Of the compared pictures."""
    height: int
    windows: int
    psnr_db: float
    """Of the mean squared error over the clip."""
    squared_error: float
    """Mean over all frames, pixels and colours, squared grey levels."""
    ssim: float
    """Mean over frames."""
    lpips: float | None
    """Mean over the measured frames."""
    bits_per_pixel: float
    """Bits of all tokens, for each real pixel of each real frame."""
    encode_s: float
    """Seconds to encode, for all heads together."""
    decode_s: float
    """Seconds to decode this head."""
    seams: Seams | None
    """Errors at the ends of windows; None for a single window."""


@dataclass(frozen=True)
class ClipMetrics:
    """All metrics of one clip."""

    clip: RenderedClip
    rows: list[ComparedClip]
    codes: dict[str, CodeCounts]
    """By tokenizer."""
    features: dict[HeadKey, Features]
    """By tokenizer and head, vectors of its spans of frames."""
    source_features: Features
    """The same of the source."""
    previews: dict[HeadKey, Video]
    """By tokenizer and head, frames for a video, [n, H, W, 3]."""
    source_preview: Video
    """The same frames of the source."""


def measure_clip(
    clip: RenderedClip, candidates: dict[str, Candidate], settings: MetricSettings
) -> ClipMetrics:
    """Measures one clip; raises `MediaError` if it cannot be read, or a tokenizer refuses it."""
    size = fit_size(clip.width, clip.height, settings.short_side, _UNPADDED)
    frames = min(clip.frames, settings.clip_frames or clip.frames)
    windows = split_windows(max(frames, 1), 1, settings.max_frames, settings.window_mode)
    meters = {name: _CandidateMeter(candidate, settings) for name, candidate in candidates.items()}
    spans, preview = SpanFeatures(settings.features), _Preview(settings.preview_frames)
    pixels = (window.pixels for window in read_windows(clip, windows, size, Limits()))
    for videos in _batched(pixels, settings.batch_size):
        for video in videos:
            spans.add(video)
            preview.add(video)
        for meter in meters.values():
            meter.add(videos)
    starts = [window.start_frame for window in windows]
    heads = {(name, head): h for name, m in meters.items() for head, h in m.heads.items()}
    return ClipMetrics(
        clip=clip,
        rows=[
            meter.row(key, clip, size, starts, meters[key[0]].encode_s)
            for key, meter in heads.items()
        ],
        codes={name: meter.codes for name, meter in meters.items() if meter.codes is not None},
        features={key: meter.spans.features() for key, meter in heads.items()},
        source_features=spans.features(),
        previews={key: meter.preview.video() for key, meter in heads.items()},
        source_preview=preview.video(),
    )


def count_codes(codes: Codes, size: int) -> CodeCounts:
    """Occurrences of each of `size` entries in codes of any shape."""
    return np.bincount(codes.reshape(-1), minlength=size).astype(np.int64)


def _batched(videos: Iterator[Video], size: int) -> Iterator[list[Video]]:
    batch: list[Video] = []
    for video in videos:
        batch.append(video)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


class _CandidateMeter:
    """Measures one tokenizer on a clip."""

    def __init__(self, candidate: Candidate, settings: MetricSettings) -> None:
        self.codes: CodeCounts | None = None
        self.encode_s = 0.0
        self.heads: dict[Head, _HeadMeter] = {}
        self._candidate, self._settings = candidate, settings
        self._roundtrip = start_roundtrip(candidate, settings.window_mode)

    def add(self, videos: Sequence[Video]) -> None:
        """Encodes, decodes and measures the next windows."""
        result = self._roundtrip.run(videos)
        self.encode_s += result.encode_s
        for tokens in result.tokens:
            if tokens.codes is not None:
                counts = count_codes(tokens.codes, self._candidate.codebook_size)
                self.codes = counts if self.codes is None else self.codes + counts
        for head, reconstruction in result.heads.items():
            if head not in self.heads:
                self.heads[head] = _HeadMeter(self._settings, self._candidate.tokenizer.rate.time)
            self.heads[head].add(videos, reconstruction)


@dataclass
class _HeadMeter:
    """Measures one head on a clip."""

    settings: MetricSettings
    frames_per_latent: int
    errors: list[PerFrame] = field(default_factory=list)
    similarities: list[PerFrame] = field(default_factory=list)
    changes: list[PerFrame] = field(default_factory=list)
    distances: list[PerFrame] = field(default_factory=list)
    bits: float = 0.0
    decode_s: float = 0.0
    frames: int = 0

    def __post_init__(self) -> None:
        self.spans = SpanFeatures(self.settings.features)
        self.preview = _Preview(self.settings.preview_frames)
        self._last_frames: tuple[Video, Video] | None = None

    def add(self, videos: Sequence[Video], reconstruction: Reconstruction) -> None:
        """Compares the next windows with their sources."""
        self.bits += reconstruction.bits
        self.decode_s += reconstruction.decode_s
        for video, decoded in zip(videos, reconstruction.videos, strict=True):
            self.errors.append(frame_mse(video, decoded))
            self.similarities.append(ssim(video, decoded, self.settings.device))
            self._add_flicker(video, decoded)
            if self.settings.lpips is not None:
                measured = slice(-self.frames % LPIPS_STRIDE, None, LPIPS_STRIDE)
                self.distances.append(self.settings.lpips(video[measured], decoded[measured]))
            self.spans.add(decoded)
            self.preview.add(decoded)
            self.frames += len(video)

    def _add_flicker(self, video: Video, decoded: Video) -> None:
        pair = video, decoded
        if self._last_frames is not None:
            video, decoded = map(np.concatenate, zip(self._last_frames, pair, strict=True))
        self._last_frames = video[-1:], decoded[-1:]
        self.changes.append(flicker(video, decoded))

    def row(
        self, key: HeadKey, clip: RenderedClip, size: PaddedSize, starts: Sequence[int],
        encode_s: float,
    ) -> ComparedClip:  # fmt: skip
        """The metrics of the whole clip; `starts` are the first frames of its windows."""
        errors = np.concatenate(self.errors)
        squared_error = float(errors.mean())
        return ComparedClip(
            tokenizer=key[0],
            head=key[1],
            clip_id=clip.clip_id,
            source_id=clip.source_id,
            frames=self.frames,
            width=size.width,
            height=size.height,
            windows=len(starts),
            psnr_db=psnr_from_mse(squared_error),
            squared_error=squared_error,
            ssim=float(np.concatenate(self.similarities).mean()),
            lpips=float(np.concatenate(self.distances).mean()) if self.distances else None,
            bits_per_pixel=self.bits / (self.frames * size.height * size.width),
            encode_s=encode_s,
            decode_s=self.decode_s,
            seams=measure_seams(
                errors,
                np.concatenate(self.changes),
                starts,
                self.frames_per_latent,
                independent=self.settings.window_mode == "independent",
            ),
        )


class _Preview:
    """The first frames of a video."""

    def __init__(self, frames: int) -> None:
        self._missing = frames
        self._parts: list[Video] = []

    def add(self, video: Video) -> None:
        """The next frames."""
        self._parts.append(video[: self._missing])
        self._missing -= len(self._parts[-1])

    def video(self) -> Video:
        """[n, H, W, 3]."""
        return np.concatenate(self._parts)
