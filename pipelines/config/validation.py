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


_MAY_BE_ZERO = {
    "threshold", "ratio", "still", "crf", "workers", "cpus", "retries", "seed", "stream",
    "temperature",
}  # fmt: skip
"""Numbers outside the policy that may be 0; the others have to be more."""


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
        raise ConfigError(f"{path}: {reason}, not {first['input']!r}") from error
    if not key.startswith("policy"):
        _refuse_negative(value, key)
    return result


def _refuse_negative(value: Any, key: str) -> None:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            _refuse_negative(inner, f"{key}.{name}")
    elif isinstance(value, float | int) and not isinstance(value, bool):
        minimum = "0 or more" if key.rsplit(".", 1)[-1] in _MAY_BE_ZERO else "more than 0"
        if not (value > 0 or (value == 0 and minimum == "0 or more")):
            raise ConfigError(f"{key}: has to be {minimum}, not {value!r}")
