"""One clip through several tokenizers: everything that is measured of it.

The clip is read once, a few windows at a time, and each tokenizer sees the same windows, so that
memory is bounded by windows, not by clips. Padding is cut off before anything is compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from curation.media.sandbox import Limits
from tokenizer.evaluate.candidate import Subject
from tokenizer.evaluate.codebook import Counts, count_codes
from tokenizer.evaluate.frechet import Features, SpanFeatures, VideoFeatures
from tokenizer.evaluate.lpips import STRIDE, Lpips
from tokenizer.evaluate.roundtrip import Rebuilt, begin
from tokenizer.evaluate.seams import Seams, at_seams, flicker
from tokenizer.evaluate.ssim import ssim
from tokenizer.models.interface import Head, Rate, Video
from tokenizer.tokenize.clip_windows import ClipFile, pieces
from tokenizer.tokenize.psnr import PerFrame, psnr_of, squared_errors
from tokenizer.tokenize.windows import MAX_FRAMES, Kind, Picture, fitted, split

_ANY = Rate(1, 1)
"""Windows and sizes as they are, before a tokenizer's own rate pads them."""
Key = tuple[str, Head]
"""A tokenizer, as it was asked for, and its head."""


@dataclass(frozen=True)
class Settings:
    """What is measured, and on what."""

    short_side: int = 256
    """The picture's short side is reduced to at most this many pixels."""
    max_frames: int = MAX_FRAMES
    """Frames of a window; 1 + rate · k."""
    clip_frames: int | None = None
    """At most this many frames of a clip, from its start; None for all."""
    kind: Kind = "independent"
    """Windows that stand alone, or slices of one stream a clip."""
    windows: int = 1
    """Windows that a tokenizer is given at once."""
    device: str = "cpu"
    """Where SSIM is computed."""
    shown_frames: int = 0
    """Frames of each clip that are kept for a video."""
    lpips: Lpips | None = None
    """Given its weights."""
    features: VideoFeatures | None = None
    """Given the weights, for the Fréchet video distance."""


@dataclass(frozen=True, slots=True)
class ClipRow:
    """One clip through one head of one tokenizer."""

    tokenizer: str
    """As it was asked for."""
    head: Head
    clip_id: str
    source_id: str
    frames: int
    width: int
    """Of the pictures that were compared."""
    height: int
    windows: int
    psnr_db: float
    """Of the mean squared error over the clip."""
    squared_error: float
    """Mean over all frames, pixels and colours, squared grey levels."""
    ssim: float
    """Mean over frames."""
    lpips: float | None
    """Mean over the frames that were looked at."""
    bits_per_pixel: float
    """Bits of all tokens, for each real pixel of each real frame."""
    encode_s: float
    """Seconds to encode, for all heads together."""
    decode_s: float
    """Seconds to decode this head."""
    seams: Seams | None
    """What it shows at the ends of windows; None if there is only one window."""


@dataclass(frozen=True)
class ClipMeasures:
    """All that one clip gave."""

    clip: ClipFile
    rows: list[ClipRow]
    codes: dict[str, Counts]
    """By tokenizer, how often each code came."""
    features: dict[Key, Features]
    """By tokenizer and head, vectors of its spans of frames."""
    source_features: Features
    """The same of the source."""
    shown: dict[Key, Video]
    """By tokenizer and head, the frames to show, [n, H, W, 3]."""
    source_shown: Video
    """The same frames of the source."""


def measure(clip: ClipFile, subjects: dict[str, Subject], settings: Settings) -> ClipMeasures:
    """Measures one clip; raises `MediaError` if it cannot be read, or a tokenizer refuses it."""
    picture = fitted(clip.width, clip.height, settings.short_side, _ANY)
    frames = min(clip.frames, settings.clip_frames or clip.frames)
    windows = split(max(frames, 1), 1, settings.max_frames, settings.kind)
    trials = {name: _TrialMeter(subject, settings) for name, subject in subjects.items()}
    spans, shown = SpanFeatures(settings.features), _Shown(settings.shown_frames)
    read = (piece.pixels for piece in pieces(clip, windows, picture, Limits()))
    for videos in _several(read, settings.windows):
        for video in videos:
            spans.add(video)
            shown.add(video)
        for meter in trials.values():
            meter.add(videos)
    starts = [window.start_frame for window in windows]
    meters = {(name, head): m for name, t in trials.items() for head, m in t.heads.items()}
    rows = [
        meter.row(key, clip, picture, starts, trials[key[0]].encode_s)
        for key, meter in meters.items()
    ]
    return ClipMeasures(
        clip=clip,
        rows=rows,
        codes={name: trial.codes for name, trial in trials.items() if trial.codes is not None},
        features={key: meter.spans.found() for key, meter in meters.items()},
        source_features=spans.found(),
        shown={key: meter.shown.video() for key, meter in meters.items()},
        source_shown=shown.video(),
    )


def _several(videos: Iterator[Video], count: int) -> Iterator[list[Video]]:
    held: list[Video] = []
    for video in videos:
        held.append(video)
        if len(held) == count:
            yield held
            held = []
    if held:
        yield held


class _TrialMeter:
    """One tokenizer's part of a clip."""

    def __init__(self, subject: Subject, settings: Settings) -> None:
        self.codes: Counts | None = None
        self.encode_s = 0.0
        self.heads: dict[Head, _HeadMeter] = {}
        self._subject, self._settings = subject, settings
        self._course = begin(subject, settings.kind)
        self._frames_a_latent = subject.tokenizer.rate.time

    def add(self, videos: Sequence[Video]) -> None:
        """Encodes, decodes and measures the next windows."""
        trial = self._course.try_on(videos)
        self.encode_s += trial.encode_s
        for tokens in trial.tokens:
            if tokens.codes is not None:
                counts = count_codes(tokens.codes, self._subject.codebook)
                self.codes = counts if self.codes is None else self.codes + counts
        for head, rebuilt in trial.heads.items():
            meter = self.heads.setdefault(head, _HeadMeter(self._settings, self._frames_a_latent))
            meter.add(videos, rebuilt)


@dataclass
class _HeadMeter:
    """One head's part of a clip."""

    settings: Settings
    frames_a_latent: int
    errors: list[PerFrame] = field(default_factory=list)
    likeness: list[PerFrame] = field(default_factory=list)
    changes: list[PerFrame] = field(default_factory=list)
    distances: list[PerFrame] = field(default_factory=list)
    bits: float = 0.0
    decode_s: float = 0.0
    frames: int = 0

    def __post_init__(self) -> None:
        self.spans = SpanFeatures(self.settings.features)
        self.shown = _Shown(self.settings.shown_frames)
        self._last: tuple[Video, Video] | None = None

    def add(self, videos: Sequence[Video], rebuilt: Rebuilt) -> None:
        """Compares the next windows with their sources."""
        self.bits += rebuilt.bits
        self.decode_s += rebuilt.decode_s
        for video, made in zip(videos, rebuilt.videos, strict=True):
            self.errors.append(squared_errors(video, made))
            self.likeness.append(ssim(video, made, self.settings.device))
            self._compare_change(video, made)
            if self.settings.lpips is not None:
                looked = slice(-self.frames % STRIDE, None, STRIDE)
                self.distances.append(self.settings.lpips(video[looked], made[looked]))
            self.spans.add(made)
            self.shown.add(made)
            self.frames += len(video)

    def _compare_change(self, video: Video, made: Video) -> None:
        before = self._last
        self._last = video[-1:], made[-1:]
        if before is not None:
            video, made = np.concatenate([before[0], video]), np.concatenate([before[1], made])
        self.changes.append(flicker(video, made))

    def row(
        self, key: Key, clip: ClipFile, picture: Picture, starts: Sequence[int], encode_s: float
    ) -> ClipRow:
        """What came of the whole clip; its windows start at these frames."""
        errors = np.concatenate(self.errors)
        squared_error = float(errors.mean())
        distances = np.concatenate(self.distances) if self.distances else None
        return ClipRow(
            tokenizer=key[0],
            head=key[1],
            clip_id=clip.clip_id,
            source_id=clip.source_id,
            frames=self.frames,
            width=picture.width,
            height=picture.height,
            windows=len(starts),
            psnr_db=psnr_of(squared_error),
            squared_error=squared_error,
            ssim=float(np.concatenate(self.likeness).mean()),
            lpips=None if distances is None else float(distances.mean()),
            bits_per_pixel=self.bits / (self.frames * picture.height * picture.width),
            encode_s=encode_s,
            decode_s=self.decode_s,
            seams=at_seams(
                errors,
                np.concatenate(self.changes),
                starts,
                self.frames_a_latent,
                begins_anew=self.settings.kind == "independent",
            ),
        )


class _Shown:
    """The first frames of a video, kept to be shown."""

    def __init__(self, most: int) -> None:
        self._left = most
        self._parts: list[Video] = []

    def add(self, video: Video) -> None:
        """The next frames."""
        self._parts.append(video[: self._left])
        self._left -= len(self._parts[-1])

    def video(self) -> Video:
        """What was kept, [n, H, W, 3]."""
        return np.concatenate(self._parts)
