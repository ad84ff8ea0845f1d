"""Files of labels: prompts and thresholds in YAML (or JSON, which is YAML).

model: ViT-B-32:laion2b_s34b_b79k    # whose stored vectors are read
groups:
  hour:                              # labels of a group exclude each other
    day: a photo taken by day        # one prompt,
    night: [a photo taken at night, a dark scene with lamps]       # several,
    dusk: {prompts: [a photo at sunset], threshold: 0.7}           # or with a threshold
aesthetic: {head: sa_0_4_vit_b_32_linear.pth, threshold: 5.0}
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from curation.errors import ReelmillError


class LabelsError(ReelmillError, ValueError):
    """Labels that cannot be used; the message names the file and the key."""


@dataclass(frozen=True)
class Label:
    """One label of a group."""

    prompts: tuple[str, ...]
    """Phrases that describe its pictures, such as `a photo of a street at night`."""
    threshold: float = 0.5
    """Share of the group, 0–1, from which it holds."""


@dataclass(frozen=True)
class Aesthetic:
    """A model of how pleasing a picture is."""

    head: str
    """File of a linear head or of LAION's five-layer one (.safetensors, or .pth)."""
    threshold: float = 5.0
    """Score from which the label `aesthetic` holds; LAION's heads give about 1–10."""


@dataclass(frozen=True)
class Labels:
    """All labels of one file."""

    name: str
    """Prefix of the name of their table."""
    model: str
    """The model whose vectors are read, as `OpenClip` names it."""
    groups: Mapping[str, Mapping[str, Label]] = field(default_factory=dict)
    """Labels by group and name."""
    aesthetic: Aesthetic | None = None
    """Scores how pleasing clips are, if given."""

    def __post_init__(self) -> None:
        for group, labels in self.groups.items():
            if len(labels) < 2:
                raise LabelsError(f"group {group!r} needs two labels or more to choose from")
            for name, label in labels.items():
                if not label.prompts or not all(prompt.strip() for prompt in label.prompts):
                    raise LabelsError(f"label {group}/{name} needs prompts with words in them")
                if not 0 <= label.threshold <= 1:
                    raise LabelsError(f"{group}/{name}: a threshold has to be in 0–1")


def read_labels(path: str | Path, model: str | None = None) -> Labels:
    """The labels of a file; `model` replaces the file's. Raises `LabelsError`."""
    try:
        data = _read(Path(path), model)
        return TypeAdapter(Labels).validate_python(data)
    except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
        raise LabelsError(f"{path}: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "labels"
        raise LabelsError(f"{path}: {key}: {first['msg']}, not {first['input']!r}") from error
    except LabelsError as error:
        raise LabelsError(f"{path}: {error}") from error


def _read(path: Path, model: str | None) -> dict[str, Any]:
    """The fields of `Labels`, every label as a mapping with a list of prompts."""
    data = _mapping(yaml.safe_load(path.read_text(encoding="utf-8")), "the file",
                    ("model", "groups", "aesthetic"))  # fmt: skip
    aesthetic = data.get("aesthetic")
    if aesthetic is not None:
        _mapping(aesthetic, "aesthetic", ("head", "threshold"))
    groups: dict[str, dict[str, Any]] = {}
    for group, labels in _mapping(data.get("groups") or {}, "groups").items():
        groups[group] = {}
        for name, value in _mapping(labels, f"groups.{group}").items():
            label = {"prompts": value}
            if isinstance(value, Mapping):
                label = dict(_mapping(value, f"groups.{group}.{name}", ("prompts", "threshold")))
            if isinstance(label.get("prompts"), str):
                label["prompts"] = [label["prompts"]]
            groups[group][name] = label
    if not groups and aesthetic is None:
        raise LabelsError("needs groups of labels, or an aesthetic head")
    return {
        "name": table_stem(path),
        "model": model or data.get("model"),
        "groups": groups,
        "aesthetic": aesthetic,
    }


def _mapping(data: Any, key: str, known: Collection[str] | None = None) -> Mapping[str, Any]:
    """The data, if it is a mapping with known keys alone."""
    if not isinstance(data, Mapping):
        raise LabelsError(f"{key} needs names and what they mean, not {data!r}")
    for name in data:
        if known is not None and name not in known:
            raise LabelsError(f"unknown key {name!r} in {key}; known: {', '.join(known)}")
    return data


def table_stem(path: str | Path) -> str:
    """A file's name as the prefix of a table's name."""
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in Path(path).stem) or "labels"
