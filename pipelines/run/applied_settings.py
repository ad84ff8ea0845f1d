"""The settings that the steps of an output last ran with, and what the next run changes.

An output has no settings of its own: `runs` records those of each run. Settings are not carried
over from run to run; a run with others prints the changes.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from curation.catalog import Catalog
from curation.records import Run
from curation.steps import STEPS
from pipelines.config.policy import current_keys
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
    """A value of a section that differs."""

    key: str
    """Without the section."""
    old: str
    new: str
    """Both as text; `none` where there is no value."""


def applied_settings(catalog: Catalog) -> dict[str, AppliedSettings]:
    """By step, in their order, for steps that have run with settings that can be read."""
    runs = catalog.read("runs", Run, ["step", "started", "config"]).sort_by("started")
    newest = {run["step"]: run for run in runs.to_pylist()}
    applied: dict[str, AppliedSettings] = {}
    for step, info in STEPS.items():
        if run := newest.get(step):
            with contextlib.suppress(ValueError, AttributeError):
                settings = json.loads(run["config"]).get(info.section)
                if isinstance(settings, Mapping):
                    settings = current_keys(settings) if info.section == "policy" else settings
                    applied[step] = AppliedSettings(run["started"], settings)
    return applied


def setting_changes(
    step: str, old: Mapping[str, Any], new: Mapping[str, Any]
) -> list[SettingChange]:
    """The differences between two sections of a step, sorted by key."""
    section = STEPS[step].section
    old, new = dict(_flatten_section(section, old)), dict(_flatten_section(section, new))
    changed = [key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)]
    return [
        SettingChange(key, _text(old.get(key)), _text(new.get(key)))
        for key in changed
        if "." not in key or key.partition(".")[0] not in changed
    ]


def _flatten_section(section: str, settings: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every value by its dotted key; a choice of classes as their names, then their settings."""
    for key, value in settings.items():
        if f"{section}.{key}" in REGISTRIES and isinstance(value, Mapping):
            yield key, ", ".join(value)
            for class_settings in value.values():
                yield from _flatten(class_settings, key)
        else:
            yield from _flatten(value, "" if key in ("limits", "tags") else key)


def _flatten(value: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flatten(inner, f"{prefix}.{key}" if prefix else str(key))
    elif prefix:
        yield prefix, value


def _text(value: Any) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
