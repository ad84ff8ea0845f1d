"""With which settings the steps of an output last ran, and what another run changes of that.

An output has no settings of its own: each run records those that it was given in `runs`. A
threshold that was given once is not remembered; a run with another one prints the change.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc

from curation.catalog import Catalog
from curation.records import Run
from curation.steps import STEPS
from pipelines.config.schema import REGISTRIES



@dataclass(frozen=True)
class AppliedSettings:
    """The newest run of a step that did work."""

    started: str
    """UTC, ISO 8601."""
    settings: Mapping[str, Any]
    """Its section of the configuration, as plain data."""


@dataclass(frozen=True)
class SettingChange:
    """One value of a section that differs."""

    key: str
    """Without the section."""
    old: str
    new: str
    """Both as text; `none` where there is no value."""


def applied_settings(catalog: Catalog) -> dict[str, AppliedSettings]:
    """By step, in their order; a step that has not run, or whose settings are not known, is not."""
    by_step: dict[str, AppliedSettings] = {}
    for step, info in STEPS.items():
        rows = catalog.read("runs", Run, ["started", "config"], pc.field("step") == step)
        if rows.num_rows:
            row = rows.sort_by("started").slice(rows.num_rows - 1).to_pylist()[0]
            settings = _parse(row["config"]).get(info.section)
            if isinstance(settings, Mapping):
                by_step[step] = AppliedSettings(row["started"], settings)
    return by_step


def setting_changes(step: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[SettingChange]:
    """What differs between two sections of a step, sorted by key."""
    old, new = (dict(_values(STEPS[step].section, section)) for section in (before, after))
    different = [key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)]
    return [
        SettingChange(key, _text(old.get(key)), _text(new.get(key)))
        for key in different
        if key.partition(".")[0] == key or key.partition(".")[0] not in different
    ]


def _values(section: str, data: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every value by its key; of a choice among classes the name, and below it the settings."""
    for key, value in data.items():
        if f"{section}.{key}" in REGISTRIES and isinstance(value, Mapping):
            yield key, ", ".join(value)
            for inner in value.values():
                yield from _leaves(inner, key)
        else:
            yield from _leaves(value, "" if key in ("limits", "tags") else key)


def _leaves(value: Any, at: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{at}.{key}" if at else str(key))
    elif at:
        yield at, value


def _text(value: Any) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _parse(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
