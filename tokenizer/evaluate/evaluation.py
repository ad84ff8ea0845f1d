"""Tokenizers side by side on the same clips of an output.

A clip that cannot be read, or that any of the tokenizers refuses, is left out for all of them, with
its reason, so that every line of the result is about the same pictures.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from curation.dataset import Dataset
from curation.errors import InfrastructureError
from curation.render.rendered_clip import RenderedClip
from curation.stage import Done, Failed, Unavailable, attempt
from tokenizer.evaluate.clip_metrics import (
    ClipMetrics,
    CodeCounts,
    ComparedClip,
    HeadKey,
    MetricSettings,
    measure_clip,
)
from tokenizer.evaluate.clip_sampling import (
    coarse_to_fine,
    read_held_out,
    rendered_clips,
    sample_evenly,
)
from tokenizer.evaluate.comparison_video import comparison_video, frames_per_clip
from tokenizer.evaluate.errors import EvaluationError, NoClipsError
from tokenizer.evaluate.frechet import Features, VideoFeatures
from tokenizer.evaluate.perceptual import Lpips
from tokenizer.evaluate.roundtrip import Candidate, start_roundtrip
from tokenizer.evaluate.summary import FrechetDistance, Summary, summarise
from tokenizer.models.inference import DeviceConfig
from tokenizer.models.interface import heads_of
from tokenizer.models.load import shipped
from tokenizer.tokenize.windows import MAX_FRAMES, WindowMode, split_windows

_WINDOWS = 2
"""Of a clip where there is a limit of time: the fewest that have a seam."""
_PROBES = 3
"""Clips that are tried to estimate the cost."""
ProgressCallback = Callable[[int, int, Counter[str]], None]
"""Receives clips finished, clips in all, and outcomes so far."""


@dataclass(frozen=True, slots=True)
class SkippedClip:
    """A clip that was left out."""

    clip_id: str
    reason: str
    """One of the closed list of reasons, or `unavailable`."""
    detail: str


@dataclass(frozen=True)
class Evaluation:
    """The result."""

    summaries: list[Summary]
    """One for each tokenizer and head, in the requested order."""
    clips: list[ComparedClip]
    """One for each clip, tokenizer and head."""
    skipped: list[SkippedClip]
    stopped: str | None = None
    """Why it ended before all clips were measured: `interrupted` or `time`."""


@dataclass(frozen=True)
class Cost:
    """What an evaluation takes, from one window of one clip."""

    clips: int
    frames: int
    seconds: float
    """On this machine as it is now."""


@dataclass(frozen=True)
class EvaluationPlan:
    """Which tokenizers, on which clips, and which optional metrics. A field is a JSON key of the
    result."""

    tokenizers: Sequence[str] = field(default_factory=shipped)
    """Names, as in `tokenizer.models.load`."""
    clips: int = 50
    """Largest number of clips, evenly sampled."""
    split: Path | None = None
    """JSON whose list `validation` names the groups to use; None for all."""
    by: str = "source_id"
    """What the groups are: a column of the input list, `source_id`, or `name` for file names."""
    selection: str | None = None
    """Whose kept clips to use: None for the newest selection's, `all` for every rendered clip."""
    short_side: int = 256
    """Largest short side of the pictures in pixels; larger ones are scaled down."""
    max_frames: int = MAX_FRAMES
    """Frames of a window; 1 + rate · k."""
    windows: WindowMode = "independent"
    """Independent windows, or slices of one stream a clip."""
    clip_frames: int | None = None
    """Largest number of frames of a clip, from its start; None for all, or for two windows where
    there is a limit of time."""
    minutes: float | None = None
    """After how long no other clip is begun; None for no limit. The clips that were measured are
    then spread evenly over all."""
    placement: DeviceConfig = field(default_factory=DeviceConfig)
    """Where networks compute; `batch` windows at once."""
    lpips: Path | None = None
    """ONNX network for LPIPS."""
    fvd: Path | None = None
    """TorchScript network for the Fréchet video distance."""
    video: Path | None = None
    """Where to write source, reconstruction and difference."""

    def run(
        self,
        dataset: Dataset,
        progress: ProgressCallback = lambda *_: None,
        announce: Callable[[Cost], None] = lambda _: None,
    ) -> Evaluation:
        """Evaluates; what cannot be done raises `ValueError` or `OSError` before it starts.

        `announce` receives the cost before the first clip. Ctrl-C ends it with the clips so far.
        """
        started = time.monotonic()
        groups = None if self.split is None else read_held_out(self.split)
        clips = sample_evenly(rendered_clips(dataset, groups, self.by, self.selection), self.clips)
        clips = coarse_to_fine(clips)
        self.placement.check()
        candidates = load_candidates(self.tokenizers, self.placement, self.max_frames, self.windows)
        settings = MetricSettings(
            short_side=self.short_side,
            max_frames=self.max_frames,
            clip_frames=self._clip_frames,
            window_mode=self.windows,
            batch_size=self.placement.batch,
            device=self.placement.device,
            preview_frames=frames_per_clip(len(clips)) if self.video else 0,
            lpips=Lpips(self.lpips) if self.lpips else None,
            features=VideoFeatures(self.fvd, self.placement.device) if self.fvd else None,
        )
        with contextlib.ExitStack() as stack:
            write: Callable[[ClipMetrics], None] = lambda _: None  # noqa: E731
            if self.video is not None:
                rows = sum(len(heads_of(c.tokenizer)) for c in candidates.values())
                video = comparison_video(self.video, rows, self.short_side, clips[0].fps)
                write = stack.enter_context(video)
            if cost := estimate_cost(clips, candidates, settings):
                announce(cost)
            ends = None if self.minutes is None else started + 60 * self.minutes
            return evaluate(
                clips, candidates, settings, progress=progress, preview=write, ends=ends
            )

    @property
    def _clip_frames(self) -> int | None:
        if self.clip_frames is None and self.minutes is not None:
            return _WINDOWS * self.max_frames
        return self.clip_frames

    def facts(self) -> dict[str, Any]:
        """The plan as a JSON object, with the frames that are taken of a clip."""
        plan = dataclasses.asdict(self) | {"clip_frames": self._clip_frames}
        return {
            name: str(value) if isinstance(value, Path) else value for name, value in plan.items()
        }


def load_candidates(
    names: Sequence[str],
    device_config: DeviceConfig,
    max_frames: int,
    mode: WindowMode = "independent",
) -> dict[str, Candidate]:
    """Loads the tokenizers of these names.

    Raises `ValueError` and `FileNotFoundError` as `tokenizer.models.load` does, and
    `EvaluationError` for windows of a length or mode that one of them does not take.
    """
    candidates = {name: Candidate.load(name, device_config) for name in dict.fromkeys(names)}
    for name, candidate in candidates.items():
        try:
            split_windows(1, candidate.tokenizer.rate.time, max_frames, mode)
            start_roundtrip(candidate, mode)
        except ValueError as error:
            raise EvaluationError(f"{name}: {error}") from error
    return candidates


def evaluate(
    clips: Sequence[RenderedClip],
    candidates: Mapping[str, Candidate],
    settings: MetricSettings,
    *,
    progress: ProgressCallback = lambda *_: None,
    preview: Callable[[ClipMetrics], None] = lambda _: None,
    ends: float | None = None,
) -> Evaluation:
    """Measures every tokenizer on every clip; `preview` receives each clip that succeeds.

    Ctrl-C ends it with what was measured, and so does a clip that would outlast `ends`, a time of
    `time.monotonic`. Raises `NoClipsError` if no clip succeeds, and `InfrastructureError` for
    faults of the machine.
    """
    results, skipped, counts = _Results(), list[SkippedClip](), Counter[str]()
    progress(0, len(clips), counts)
    stopped, longest_s = None, 0.0
    for done, clip in enumerate(clips, 1):
        began = time.monotonic()
        if ends is not None and results.rows and began + longest_s > ends:
            stopped = "time"
            break
        try:
            outcome = attempt(lambda item: measure_clip(item, dict(candidates), settings), clip)
        except KeyboardInterrupt:
            if not results.rows:
                raise
            stopped = "interrupted"
            break
        longest_s = max(longest_s, time.monotonic() - began)
        if isinstance(outcome, Done):
            results.add(outcome.value)
            preview(outcome.value)
            counts["evaluated"] += 1
        else:
            skipped.append(_skipped_clip(clip, outcome))
            counts[skipped[-1].reason] += 1
        progress(done, len(clips), counts)
    if not results.rows:
        reasons = "; ".join(f"{s.clip_id[:8]}: {s.reason}: {s.detail}" for s in skipped[:3])
        raise NoClipsError(f"none of {len(clips)} clips could be evaluated: {reasons}")
    rows = [row for head_rows in results.rows.values() for row in head_rows]
    return Evaluation(results.summaries(candidates), rows, skipped, stopped)


def estimate_cost(
    clips: Sequence[RenderedClip], candidates: Mapping[str, Candidate], settings: MetricSettings
) -> Cost | None:
    """What all clips will take, from the first window of one; None if none of the first can be
    measured."""
    limit = settings.clip_frames
    frames = sum(min(clip.frames, limit or clip.frames) for clip in clips)
    window = min(settings.max_frames, limit or settings.max_frames)
    probe = dataclasses.replace(settings, clip_frames=window, preview_frames=0)
    for clip in clips[:_PROBES]:
        began = time.monotonic()
        outcome = attempt(lambda item: measure_clip(item, dict(candidates), probe), clip)
        if isinstance(outcome, Done):
            seconds = (time.monotonic() - began) / max(min(clip.frames, window), 1)
            return Cost(len(clips), frames, seconds * frames)
    return None


def _skipped_clip(clip: RenderedClip, outcome: object) -> SkippedClip:
    if isinstance(outcome, Failed):
        return SkippedClip(clip.clip_id, outcome.reason, outcome.detail)
    if isinstance(outcome, Unavailable):
        return SkippedClip(clip.clip_id, "unavailable", outcome.detail)
    raise InfrastructureError(f"clip {clip.clip_id}: {getattr(outcome, 'detail', outcome)}")


@dataclass
class _Results:
    """The metrics of all clips so far."""

    rows: dict[HeadKey, list[ComparedClip]] = field(default_factory=dict)
    codes: dict[str, CodeCounts] = field(default_factory=dict)
    features: dict[HeadKey, list[Features]] = field(default_factory=dict)
    source_features: list[Features] = field(default_factory=list)

    def add(self, metrics: ClipMetrics) -> None:
        for row in metrics.rows:
            self.rows.setdefault((row.tokenizer, row.head), []).append(row)
        for name, counts in metrics.codes.items():
            self.codes[name] = self.codes[name] + counts if name in self.codes else counts
        for key, vectors in metrics.features.items():
            if len(vectors):
                self.features.setdefault(key, []).append(vectors)
        if len(metrics.source_features):
            self.source_features.append(metrics.source_features)

    def summaries(self, candidates: Mapping[str, Candidate]) -> list[Summary]:
        summaries = []
        for (name, head), rows in self.rows.items():
            codes = self.codes.get(name) if head == "codes" else None
            distance = None
            if (name, head) in self.features:
                features = np.concatenate(self.features[name, head])
                distance = FrechetDistance.of(np.concatenate(self.source_features), features)
            summaries.append(summarise(rows, candidates[name], codes, distance))
        return summaries
