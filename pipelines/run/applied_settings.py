"""With which settings the steps of an output last ran, and what another run changes of that.

An output has no settings of its own: each run is given some, and records them in `runs`. So a
threshold that was given once is not remembered; it is said when the next run has another.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc

from curation.catalog import Catalog
from curation.records import Run
from pipelines.config.schema import CHOSEN

SECTION = {
    "scan": "scan", "select": "policy", "render": "render", "caption": "caption",
    "tokenize": "tokenize",
}  # fmt: skip
"""The section that decides what each step makes."""


@dataclass(frozen=True)
class Applied:
    """The newest run of a step that did work."""

    started: str
    """UTC, ISO 8601."""
    settings: Mapping[str, Any]
    """Its section of the configuration, as plain data."""


@dataclass(frozen=True)
class Change:
    """One value of a section that differs."""

    key: str
    """Without the section."""
    before: str
    after: str
    """Both as text; `none` where there is no value."""


def applied(catalog: Catalog) -> dict[str, Applied]:
    """By step, in their order; a step that has not run, or whose settings are not known, is not."""
    found: dict[str, Applied] = {}
    for step, section in SECTION.items():
        rows = catalog.read("runs", Run, ["started", "config"], pc.field("step") == step)
        if rows.num_rows:
            row = rows.sort_by("started").slice(rows.num_rows - 1).to_pylist()[0]
            settings = _parsed(row["config"]).get(section)
            if isinstance(settings, Mapping):
                found[step] = Applied(row["started"], settings)
    return found


def changes(step: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """What differs between two sections of a step, sorted by key."""
    old, new = (dict(_values(SECTION[step], section)) for section in (before, after))
    different = [key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)]
    return [
        Change(key, _text(old.get(key)), _text(new.get(key)))
        for key in different
        if key.partition(".")[0] == key or key.partition(".")[0] not in different
    ]


def _values(section: str, data: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every value by its key; of a choice among classes the name, and below it the settings."""
    for key, value in data.items():
        if f"{section}.{key}" in CHOSEN and isinstance(value, Mapping):
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


def _parsed(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
