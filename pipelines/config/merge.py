"""Profiles in YAML, merged with each other and with single values from the command line."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from pipelines.config.schema import READ_BY, REGISTRIES, SECTIONS, known_keys
from pipelines.config.validation import ConfigError


class _Loader(yaml.SafeLoader):
    """Takes `1e-3` for a number, as YAML 1.2 does."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def profiles_folder() -> Path:
    """The folder of the shipped profiles."""
    installed = Path(__file__).parents[1] / "profiles"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "configs"


def profile_path(config: str) -> Path:
    """The file of a profile, given its path or the name of a shipped one; or `ConfigError`."""
    for path in (Path(config), profiles_folder() / f"{config}.yaml"):
        if path.is_file():
            return path
    names = ", ".join(sorted(path.stem for path in profiles_folder().glob("*.yaml")))
    raise ConfigError(f"no profile {config!r}: give the path of a YAML file, or one of {names}")


def read_profile(path: Path) -> dict[str, Any]:
    """The sections of a profile; raises `ConfigError`."""
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: needs sections such as {', '.join(SECTIONS)}")
    return data


def merge(base: Mapping[str, Any], changes: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A profile with the values of another; a choice of another class replaces the first.

    A section without keys changes nothing.
    """
    merged = dict(base)
    for name, value in changes.items():
        key = f"{prefix}.{name}".lstrip(".")
        if value is None and not prefix:
            continue
        current = base.get(name)
        if key in REGISTRIES and isinstance(value, str):
            value = {value: {}}  # noqa: PLW2901
        merged[name] = value
        if not (isinstance(value, Mapping) and isinstance(current, Mapping)):
            continue
        if key not in REGISTRIES or value.keys() == current.keys():
            merged[name] = merge(current, value, key)
    return merged


def apply_override(data: dict[str, Any], override: str, command: str = "curate") -> None:
    """Applies `a.b=c`; leading parts of the key may be left out where that is unambiguous.

    Raises `ConfigError` for an unknown key, and for one that the command does not read: an
    override without effect is a mistake, while a file may hold the settings of all steps.
    """
    name, equals, text = override.partition("=")
    if not equals:
        raise ConfigError(f"--set {override}: write it as KEY=VALUE, such as motion.min=0.01")
    try:
        key = resolve_key(data, name, command)
    except ConfigError as error:
        raise ConfigError(f"--set {override}: {error}") from error
    section = key.split(".", maxsplit=1)[0]
    if section not in READ_BY[command]:
        readers = ", ".join(name for name, sections in READ_BY.items() if section in sections)
        raise ConfigError(
            f"--set {override}: {command} does not read {key}; it is read by {readers}"
        )
    try:
        value: Any = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        detail = " ".join(str(error).split())
        raise ConfigError(f"--set {override}: {text!r} is not YAML ({detail})") from error
    for part in reversed(key.split(".")):
        value = {part: value}
    data.update(merge(data, value))


def resolve_key(data: Mapping[str, Any], name: str, command: str = "curate") -> str:
    """The full key of a name or of the end of one. Raises `ConfigError`."""
    keys = list(known_keys(data))
    matches = [key for key in keys if key == name] or [k for k in keys if k.endswith(f".{name}")]
    matches = [key for key in matches if key.split(".")[0] in READ_BY[command]] or matches
    if len(matches) != 1:
        raise ConfigError(_no_match(name, matches, keys))
    return matches[0]


def _no_match(name: str, matches: list[str], keys: list[str]) -> str:
    if matches:
        return f"{name!r} could be {' or '.join(matches)}"
    endings = [".".join(key.split(".")[-count:]) for key in keys for count in (3, 2, 1)]
    nearest = difflib.get_close_matches(name, endings, 1, 0.5)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
    return f"there is no key {name!r}{hint}"


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values by dotted key; null and empty values are left out."""
    values: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            values |= flatten(value, f"{prefix}{key}.")
        elif value not in (None, []):
            values[f"{prefix}{key}"] = value
    return values
