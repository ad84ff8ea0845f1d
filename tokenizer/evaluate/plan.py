"""An evaluation on the clips of an output, as somebody asks for it."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from curation.dataset import Dataset
from tokenizer.evaluate.candidate import Subject
from tokenizer.evaluate.clip_metrics import ClipMeasures, Settings
from tokenizer.evaluate.clip_sampling import evenly, read_held_out, rendered_clips
from tokenizer.evaluate.comparison import comparison, frames_each
from tokenizer.evaluate.evaluation import Evaluation, Watch, evaluate, subjects
from tokenizer.evaluate.frechet import VideoFeatures
from tokenizer.evaluate.lpips import Lpips
from tokenizer.models.inference import Placement
from tokenizer.models.interface import heads_of
from tokenizer.models.load import shipped
from tokenizer.tokenize.clip_windows import ClipFile
from tokenizer.tokenize.windows import MAX_FRAMES, Kind


@dataclass(frozen=True)
class Plan:
    """Which tokenizers, on which clips, and what beside the usual figures."""

    tokenizers: Sequence[str] = field(default_factory=shipped)
    """Names, as in `tokenizer.models.load`."""
    clips: int = 50
    """At most this many, evenly chosen."""
    split: Path | None = None
    """JSON whose list `validation` names the groups to use; all are used without."""
    by: str = "source_id"
    """What the groups are: a column of the input list, `source_id`, or `name` for file names."""
    selection: str | None = None
    """Whose kept clips to use: None for the newest selection's, `all` for every rendered clip."""
    short_side: int = 256
    """The picture's short side is reduced to at most this many pixels."""
    max_frames: int = MAX_FRAMES
    """Frames of a window; 1 + rate · k."""
    windows: Kind = "independent"
    """Windows that stand alone, or slices of one stream a clip."""
    clip_frames: int | None = None
    """At most this many frames of a clip, from its start."""
    placement: Placement = field(default_factory=Placement)
    """Where networks compute; `batch` windows are given at once."""
    lpips: Path | None = None
    """ONNX network for LPIPS."""
    fvd: Path | None = None
    """TorchScript network for the Fréchet video distance."""
    video: Path | None = None
    """Where to write source, reconstruction and difference."""

    def run(self, dataset: Dataset, watch: Watch = lambda *_: None) -> Evaluation:
        """Evaluates; what cannot be done raises `ValueError` or `OSError` before it starts."""
        groups = None if self.split is None else read_held_out(self.split)
        clips = evenly(rendered_clips(dataset, groups, self.by, self.selection), self.clips)
        self.placement.check()
        loaded = subjects(self.tokenizers, self.placement, self.max_frames, self.windows)
        settings = Settings(
            short_side=self.short_side,
            max_frames=self.max_frames,
            clip_frames=self.clip_frames,
            kind=self.windows,
            windows=self.placement.batch,
            device=self.placement.device,
            shown_frames=frames_each(len(clips)) if self.video else 0,
            lpips=Lpips(self.lpips) if self.lpips else None,
            features=VideoFeatures(self.fvd, self.placement.device) if self.fvd else None,
        )
        with self._shown(clips, list(loaded.values())) as show:
            return evaluate(clips, loaded, settings, watch=watch, show=show)

    def facts(self) -> dict[str, Any]:
        """The plan as JSON can hold it."""
        return {
            name: str(value) if isinstance(value, Path) else value
            for name, value in dataclasses.asdict(self).items()
        }

    @contextlib.contextmanager
    def _shown(
        self, clips: Sequence[ClipFile], loaded: Sequence[Subject]
    ) -> Iterator[Callable[[ClipMeasures], None]]:
        if self.video is None:
            yield lambda _: None
            return
        rows = sum(len(heads_of(subject.tokenizer)) for subject in loaded)
        with comparison(self.video, rows, self.short_side, clips[0].fps) as show:
            yield show
