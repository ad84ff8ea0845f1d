"""Tokenizers side by side on the same clips.

A clip that cannot be read, or that any of the tokenizers refuses, is left out for all of them, with
its reason, so that every line of the result speaks of the same pictures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from curation.errors import InfrastructureError
from curation.stage import Away, Done, Failed, attempt
from tokenizer.evaluate.candidate import Subject
from tokenizer.evaluate.clip_metrics import ClipMeasures, ClipRow, Key, Settings, measure
from tokenizer.evaluate.clip_sampling import NoClipsError
from tokenizer.evaluate.codebook import Counts
from tokenizer.evaluate.frechet import Features
from tokenizer.evaluate.roundtrip import begin
from tokenizer.evaluate.summary import Distance, Summary, summarise
from tokenizer.models.inference import Placement
from tokenizer.tokenize.clip_windows import ClipFile
from tokenizer.tokenize.windows import Kind, split

Watch = Callable[[int, int, Counter[str]], None]
"""Told of progress: clips finished, clips in all, and how they went so far."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A clip that was left out."""

    clip_id: str
    reason: str
    """One word of the closed list of reasons, or `out_of_reach`."""
    detail: str
    """What was seen."""


@dataclass(frozen=True)
class Evaluation:
    """What came out."""

    summaries: list[Summary]
    """One for each tokenizer and head, in the order asked for."""
    clips: list[ClipRow]
    """One for each clip, tokenizer and head."""
    skipped: list[Skipped]


def subjects(
    names: Sequence[str], placement: Placement, max_frames: int, kind: Kind = "independent"
) -> dict[str, Subject]:
    """The tokenizers of these names, loaded.

    Raises `ValueError` and `FileNotFoundError` as `tokenizer.models.load` does, and `ValueError`
    for windows of a length or kind that one of them does not take.
    """
    loaded = {name: Subject.load(name, placement) for name in dict.fromkeys(names)}
    for name, subject in loaded.items():
        try:
            split(1, subject.tokenizer.rate.time, max_frames, kind)
            begin(subject, kind)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
    return loaded


def evaluate(
    clips: Sequence[ClipFile],
    loaded: Mapping[str, Subject],
    settings: Settings,
    *,
    watch: Watch = lambda *_: None,
    show: Callable[[ClipMeasures], None] = lambda _: None,
) -> Evaluation:
    """Measures every tokenizer on every clip; `show` is given each clip that went well.

    Raises `NoClipsError` if none went well, and `EnvironmentFaultError` if the surroundings fail.
    """
    pool, skipped, counts = _Pool(), list[Skipped](), Counter[str]()
    watch(0, len(clips), counts)
    for done, clip in enumerate(clips, 1):
        result = attempt(lambda item: measure(item, dict(loaded), settings), clip)
        if isinstance(result, Done):
            pool.add(result.value)
            show(result.value)
        else:
            skipped.append(_skipped(clip, result))
        counts["evaluated" if isinstance(result, Done) else skipped[-1].reason] += 1
        watch(done, len(clips), counts)
    if not pool.rows:
        words = "; ".join(f"{one.clip_id[:8]}: {one.reason}: {one.detail}" for one in skipped[:3])
        raise NoClipsError(f"none of {len(clips)} clips could be evaluated: {words}")
    rows = [row for per_head in pool.rows.values() for row in per_head]
    return Evaluation(pool.summaries(loaded), rows, skipped)


def _skipped(clip: ClipFile, outcome: object) -> Skipped:
    if isinstance(outcome, Failed):
        return Skipped(clip.clip_id, outcome.reason, outcome.detail)
    if isinstance(outcome, Away):
        return Skipped(clip.clip_id, "out_of_reach", outcome.detail)
    raise InfrastructureError(f"clip {clip.clip_id}: {getattr(outcome, 'detail', outcome)}")


@dataclass
class _Pool:
    """What all clips gave so far."""

    rows: dict[Key, list[ClipRow]] = field(default_factory=dict)
    codes: dict[str, Counts] = field(default_factory=dict)
    features: dict[Key, list[Features]] = field(default_factory=dict)
    sources: list[Features] = field(default_factory=list)

    def add(self, measures: ClipMeasures) -> None:
        for row in measures.rows:
            self.rows.setdefault((row.tokenizer, row.head), []).append(row)
        for name, counts in measures.codes.items():
            self.codes[name] = self.codes[name] + counts if name in self.codes else counts
        for key, vectors in measures.features.items():
            if len(vectors):
                self.features.setdefault(key, []).append(vectors)
        if len(measures.source_features):
            self.sources.append(measures.source_features)

    def summaries(self, loaded: Mapping[str, Subject]) -> list[Summary]:
        made = []
        for (name, head), rows in self.rows.items():
            codes = self.codes.get(name) if head == "codes" else None
            made.append(summarise(rows, loaded[name], codes, self._distance((name, head))))
        return made

    def _distance(self, key: Key) -> Distance | None:
        if key not in self.features:
            return None
        return Distance.of(np.concatenate(self.sources), np.concatenate(self.features[key]))
