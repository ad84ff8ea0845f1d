"""Values of a configuration against their types, by pydantic; an error names the key and value."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import json
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from curation.errors import ReelmillError


class ConfigError(ReelmillError, ValueError):
    """The configuration cannot be used; the message says which key and what to do."""


_BOUNDS: dict[str, tuple[float, float]] = {
    # what decides how many clips, frames and pixels there are
    "max_clip_s": (0.1, 1_000_000), "length_s": (0.1, 1_000_000), "fps": (0.01, 1000),
    "longest_side": (16, 16_384), "short_side": (8, 16_384), "max_frames": (1, 100_000_000),
    "max_pixels": (1, 2**31 - 1), "crf": (0, 51), "stream": (0, 65_535),
    # what is compared with a measurement
    "threshold": (0, 1000), "ratio": (0, 1000), "temperature": (0, 100),
    # what is reserved or started
    "memory_mb": (1, 2**24), "cpu_s": (1, 10**8), "wall_s": (1, 10**8), "workers": (0, 10_000),
    "min_workers": (0, 10_000),
    "cpus": (0, 10_000), "object_store_mb": (1, 2**24), "batch": (1, 4096), "readers": (1, 256),
    "offset_s": (-1e6, 1e6), "drift_ppm": (-1e6, 1e6), "concurrency": (1, 4096),
    "retries": (0, 1000), "seed": (0, 2**63 - 1),
}  # fmt: skip
"""Least and greatest value of a number outside the policy, by the last part of its key."""
_OTHERS = (0, 2**31)
"""Bounds of the other numbers, which have to be more than 0."""


def check_keys(data: Any, names: Iterable[str], section: str) -> None:
    """Raises `ConfigError` for an unknown key, with the nearest known one."""
    if not isinstance(data, Mapping):
        raise ConfigError(f"{section}: needs keys, not {data!r}")
    names = list(names)
    for key in data:
        if key not in names:
            nearest = difflib.get_close_matches(str(key), names, 1, 0.5)
            hint = f"did you mean {nearest[0]!r}?" if nearest else f"known: {', '.join(names)}"
            raise ConfigError(f"unknown key {key!r} in {section or 'the profile'}; {hint}")


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def validate(kind: Any, value: Any, key: str) -> Any:
    """The value as `kind`, without conversion; or a `ConfigError`."""
    if dataclasses.is_dataclass(kind):
        check_keys(value, [field.name for field in dataclasses.fields(kind)], key)
    try:
        result = _adapter(kind).validate_json(json.dumps(value, default=str), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(part) for part in (key, *first["loc"]))
        reason = first["msg"].removeprefix("Value error, ")
        reason = reason[:1].lower() + reason[1:]
        value = first["input"]
        is_section = isinstance(value, Mapping)  # whose checks name the value themselves
        raise ConfigError(f"{path}: {reason}{'' if is_section else f', not {value!r}'}") from error
    if not key.startswith("policy"):
        _check_bounds(value, key)
    return result


def _check_bounds(value: Any, key: str) -> None:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            _check_bounds(inner, f"{key}.{name}")
    elif isinstance(value, float | int) and not isinstance(value, bool):
        low, high = _BOUNDS.get(key.rsplit(".", 1)[-1], _OTHERS)
        if not (low <= value <= high and (value > 0 or (low, high) != _OTHERS)):
            bounds = f"from {low:,} to" if (low, high) != _OTHERS else "more than 0, at most"
            raise ConfigError(f"{key}: has to be {bounds} {high:,}, not {value!r}")
