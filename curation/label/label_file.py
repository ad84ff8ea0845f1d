"""Reading a file of labels: prompts and thresholds in YAML (or JSON, which is YAML).

model: ViT-B-32:laion2b_s34b_b79k    # whose stored vectors are read
groups:
  hour:                              # labels of a group exclude each other
    day: a photo taken by day        # one prompt,
    night: [a photo taken at night, a dark scene with lamps]       # several,
    dusk: {prompts: [a photo at sunset], threshold: 0.7}           # or with a threshold
aesthetic: {head: sa_0_4_vit_b_32_linear.pth, threshold: 5.0}
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from curation.label.zero_shot import Aesthetic, Label, Labels, stem
from pipelines.config import ConfigError

_KEYS = ("model", "groups", "aesthetic")


def read_labels(path: str | Path, model: str | None = None) -> Labels:
    """The labels of a file; `model` takes the place of the file's. Raises `ConfigError`."""
    try:
        data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split())}") from error
    _refuse_others(path, data, _KEYS, "the file")
    aesthetic = data.get("aesthetic")
    if aesthetic is not None:
        _refuse_others(
            path, aesthetic, [f.name for f in dataclasses.fields(Aesthetic)], "aesthetic"
        )
    said = {
        "name": stem(path),
        "model": model or data.get("model"),
        "groups": _groups(path, data.get("groups") or {}),
        "aesthetic": aesthetic,
    }
    if not said["groups"] and aesthetic is None:
        raise ConfigError(f"{path}: needs groups of labels, or an aesthetic head")
    try:
        return TypeAdapter(Labels).validate_python(said)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "labels"
        raise ConfigError(f"{path}: {place}: {first['msg']}, not {first['input']!r}") from error


def _groups(path: str | Path, groups: Any) -> dict[str, Any]:
    """Labels written as a prompt or a list of prompts, as mappings."""
    made: dict[str, Any] = {}
    for group, labels in _mapping(path, groups, "groups").items():
        made[group] = {}
        for name, given in _mapping(path, labels, f"groups.{group}").items():
            at = f"groups.{group}.{name}"
            if isinstance(given, Mapping):
                _refuse_others(path, given, [f.name for f in dataclasses.fields(Label)], at)
            label = dict(given) if isinstance(given, Mapping) else {"prompts": given}
            if isinstance(label.get("prompts"), str):
                label["prompts"] = [label["prompts"]]
            made[group][name] = label
    return made


def _mapping(path: str | Path, data: Any, at: str) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise ConfigError(f"{path}: {at} needs names and what they mean, not {data!r}")
    return data


def _refuse_others(path: str | Path, data: Any, known: Any, at: str) -> None:
    for key in _mapping(path, data, at):
        if key not in known:
            raise ConfigError(f"{path}: unknown key {key!r} in {at}; known: {', '.join(known)}")
