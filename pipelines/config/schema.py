"""Which keys a configuration has: the fields of dataclasses in `curation` and `tokenizer`."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from curation.caption import CAPTIONERS
from curation.media.decode import Sampling
from curation.media.encode import Encoding
from curation.media.sandbox import Limits
from curation.render.face_blur import BlurFaces
from curation.scan.shots import SHOT_DETECTORS
from curation.select.policy import LIMITS, LabelRules, Semantic
from curation.select.tags import TAGS, Words
from tokenizer.tokenize.stage import Tokenize


@dataclass(frozen=True)
class Execution:
    """Where a job runs."""

    executor: Literal["ray", "in_process"] = "ray"
    address: str = "local"
    workers: int = 0
    cpus: int = 0
    object_store_mb: int = 512


CHOSEN = {"scan.shots": SHOT_DETECTORS, "caption.captioner": CAPTIONERS}
SECTIONS: dict[str, dict[str, Any]] = {
    "scan": {
        "shots": None,
        "max_clip_s": float,
        "scores": list[Any],
        "embedders": list[Any],
        "sampling": Sampling,
        "stream": int | None,
        "damage": Literal["refuse", "salvage"],
    },
    "policy": {
        "limits": None,
        "tags": None,
        "sources": list[Any],
        "include": list[str],
        "exclude": list[str],
        "labels": LabelRules,
        "copies": float | None,
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
    "sandbox": {f.name: int for f in dataclasses.fields(Limits)},
    "execution": typing.get_type_hints(Execution),
}
_WORKS = ("sandbox", "execution")
READ_BY: dict[str, tuple[str, ...]] = {
    "curate": tuple(SECTIONS),
    "scan": ("scan", *_WORKS),
    "select": ("policy", "execution"),
    "render": ("render", *_WORKS),
    "caption": ("render", "caption", *_WORKS),
    "tokenize": ("render", "tokenize", *_WORKS),
}
"""Which sections each command reads; `caption` and `tokenize` find renders by their settings."""
_WORDS = dataclasses.fields(Words)


def known_keys(data: Mapping[str, Any]) -> Iterator[str]:
    """Every key that can be set, given which shot detector and captioner are chosen."""
    for section, keys in SECTIONS.items():
        for key, kind in keys.items():
            yield from _keys_of(f"{section}.{key}", kind, data)


def _keys_of(place: str, kind: Any, data: Mapping[str, Any]) -> Iterator[str]:
    if place == "policy.limits":
        for name, limit in LIMITS.items():
            yield from (f"{place}.{name}.{s}" for s, r in _sides(limit.low, limit.high) if r)
    elif place == "policy.tags":
        yield from (f"{place}.{name}.{field.name}" for name in TAGS for field in _WORDS)
    elif place in CHOSEN:
        yield place
        section, key = place.split(".")
        for name in data[section][key]:
            chosen = CHOSEN[place].get(name)
            fields = dataclasses.fields(chosen) if chosen else ()
            yield from (f"{place}.{name}.{f.name}" for f in fields)
    elif dataclasses.is_dataclass(kind):
        yield from (f"{place}.{f.name}" for f in dataclasses.fields(kind))
    else:
        yield place


def _sides(low: str, high: str) -> tuple[tuple[str, str], tuple[str, str]]:
    return ("min", low), ("max", high)
