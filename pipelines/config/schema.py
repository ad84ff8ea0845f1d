"""Which keys a configuration has: the fields of dataclasses in `curation` and `tokenizer`."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from curation.caption import CAPTIONERS
from curation.media.decode import AnalysisSampling
from curation.media.encode import Encoding
from curation.media.sandbox import Limits
from curation.render.face_blur import BlurFaces
from curation.scan.shots import SHOT_DETECTORS
from curation.select.policy import LIMITS, TAGS, CategoryRule, LabelRules, Semantic
from curation.select.sessions import Scope
from curation.signals.read import SignalSettings
from curation.steps import STEPS, load_object
from pipelines.run.executor import WorkerLimits
from tokenizer.tokenize.stage import Tokenize


@dataclass(frozen=True)
class Execution:
    """Where a job runs."""

    executor: Literal["auto", "local", "ray", "in_process"] = "auto"
    address: str = "local"
    workers: int = 0
    min_workers: int = 0
    cpus: int = 0
    object_store_mb: int = 512

    @property
    def worker_limits(self) -> WorkerLimits:
        """Of each step."""
        return WorkerLimits(self.min_workers, self.workers)

    def __post_init__(self) -> None:
        if 0 < self.workers < self.min_workers:
            raise ValueError(f"min_workers {self.min_workers} is more than workers {self.workers}")


REGISTRIES = {"scan.shots": SHOT_DETECTORS, "caption.captioner": CAPTIONERS}
"""Classes by name for the keys that hold one of them and its settings."""
SECTIONS: dict[str, dict[str, Any]] = {
    "scan": {
        "shots": None,
        "max_clip_s": float,
        "scores": None,
        "embedders": None,
        "sampling": AnalysisSampling,
        "signals": SignalSettings,
        "stream": int | None,
        "damage": Literal["refuse", "salvage"],
    },
    "policy": {
        "limits": None,
        "tags": None,
        "sources": None,
        "include": None,
        "exclude": None,
        "labels": LabelRules,
        "sessions": Scope,
        "near_duplicates": float | None,
        "semantic": Semantic,
    },
    "render": {
        "mode": Literal["encode", "copy", "span"],
        "encoding": Encoding,
        "crop": Literal["keep", "bars"],
        "blur_faces": BlurFaces | None,
    },
    "caption": {"captioner": None},
    "tokenize": {f.name: None for f in dataclasses.fields(Tokenize) if f.name != "limits"},
    "sandbox": typing.get_type_hints(Limits),
    "execution": typing.get_type_hints(Execution),
}
"""The type of each key; None where `pipelines.config` builds the value itself."""
SECTIONS |= {
    step.section: {field.name: None for field in dataclasses.fields(load_object(step.settings))}
    for step in STEPS.values()
    if step.settings
}
READ_BY: dict[str, tuple[str, ...]] = {
    "curate": tuple(SECTIONS),
    **{step.name: (step.section, *step.reads, "execution") for step in STEPS.values()},
}
"""Which sections each command reads; `caption` and `tokenize` find renders by their settings."""


def known_keys(data: Mapping[str, Any]) -> Iterator[str]:
    """Every key that can be set, given which shot detector and captioner are chosen."""
    for section, types in SECTIONS.items():
        for name, kind in types.items():
            key = f"{section}.{name}"
            if key == "policy.limits":
                for column, limit in LIMITS.items():
                    sides = (("min", limit.low), ("max", limit.high))
                    yield from (f"{key}.{column}.{side}" for side, reason in sides if reason)
            elif key == "policy.tags":
                for tag in TAGS:
                    yield from _fields(f"{key}.{tag}", CategoryRule)
            elif key in REGISTRIES:
                yield key
                for chosen in data[section][name]:
                    yield from _fields(f"{key}.{chosen}", REGISTRIES[key].get(chosen))
            elif dataclasses.is_dataclass(kind):
                yield from _fields(key, kind)
            else:
                yield key


def _fields(key: str, kind: Any) -> list[str]:
    return [f"{key}.{field.name}" for field in dataclasses.fields(kind)] if kind else []
