"""Values of a configuration as the types that they have to be, or an error that names the key."""

from __future__ import annotations

import dataclasses
import difflib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from curation.errors import ReelmillError


class ConfigError(ReelmillError, ValueError):
    """The configuration cannot be used; the message says which key and what to do."""


_MAY_BE_ZERO = {
    "threshold", "ratio", "still", "crf", "workers", "cpus", "retries", "seed", "stream",
    "temperature",
}  # fmt: skip
"""Of the numbers outside the policy; none may be less, and the others must be more."""


def refuse_unknown(data: Any, known: Iterable[str], at: str) -> None:
    """Raises `ConfigError` for a key that is not known, with the nearest that is."""
    if not isinstance(data, Mapping):
        raise ConfigError(f"{at}: needs keys, not {data!r}")
    names = list(known)
    for key in data:
        if key not in names:
            near = difflib.get_close_matches(str(key), names, 1, 0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names)}"
            raise ConfigError(f"unknown key {key!r} in {at or 'the profile'}; {hint}")


def checked(kind: Any, value: Any, at: str) -> Any:
    """The value as `kind`, or a `ConfigError` that names the key and the value."""
    if dataclasses.is_dataclass(kind):
        refuse_unknown(value, [f.name for f in dataclasses.fields(kind)], at)
    try:
        made = TypeAdapter(kind).validate_json(json.dumps(value, default=str), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in (at, *first["loc"]))
        raise ConfigError(f"{place}: {first['msg'].lower()}, not {first['input']!r}") from error
    if not at.startswith("policy"):
        _refuse_below_zero(value, at)
    return made


def _refuse_below_zero(value: Any, at: str) -> None:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _refuse_below_zero(inner, f"{at}.{key}")
    elif isinstance(value, float | int) and not isinstance(value, bool):
        least = "0 or more" if at.rsplit(".", 1)[-1] in _MAY_BE_ZERO else "more than 0"
        if not (value > 0 or (value == 0 and least == "0 or more")):
            raise ConfigError(f"{at}: has to be {least}, not {value!r}")
