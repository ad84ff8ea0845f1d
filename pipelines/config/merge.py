"""Profiles in YAML, laid over each other, and single values over them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from pipelines.config.schema import CHOSEN, READ_BY, SECTIONS, known_keys
from pipelines.config.validation import ConfigError


class _Loader(yaml.SafeLoader):
    """Takes `1e-3` for a number, as YAML 1.2 does."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def profiles_folder() -> Path:
    """Where the shipped profiles lie."""
    installed = Path(__file__).parents[1] / "profiles"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "configs"


def find(config: str) -> Path:
    """The file of a profile, given its path or the name of a shipped one; or `ConfigError`."""
    shipped = profiles_folder() / f"{config}.yaml"
    for path in (Path(config), shipped):
        if path.is_file():
            return path
    names = ", ".join(sorted(p.stem for p in profiles_folder().glob("*.yaml")))
    raise ConfigError(f"no profile {config!r}: give the path of a YAML file, or one of {names}")


def read(path: Path) -> dict[str, Any]:
    """The sections of a profile; raises `ConfigError`."""
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: needs sections such as {', '.join(SECTIONS)}")
    return data


def laid_over(below: Mapping[str, Any], above: Mapping[str, Any], at: str = "") -> dict[str, Any]:
    """One profile with the values of another in their places."""
    merged = dict(below)
    for key, given in above.items():
        place = f"{at}.{key}".lstrip(".")
        value = {given: {}} if place in CHOSEN and isinstance(given, str) else given
        if value is None and not at:
            continue  # a section without keys changes nothing
        if place in CHOSEN and isinstance(value, Mapping) and value.keys() != below[key].keys():
            merged[key] = dict(value)
        elif isinstance(value, Mapping) and isinstance(below.get(key), Mapping):
            merged[key] = laid_over(below[key], value, place)
        else:
            merged[key] = value
    return merged


def change_value(data: dict[str, Any], change: str, command: str = "curate") -> None:
    """Applies `a.b=c`; leading parts of the key may be left out where that is unambiguous.

    Raises `ConfigError` for a key that the command does not read.
    """
    key, equals, text = change.partition("=")
    if not equals:
        raise ConfigError(f"--set {change}: write it as KEY=VALUE, such as motion.min=0.01")
    keys = list(known_keys(data))
    fitting = [k for k in keys if k == key] or [k for k in keys if k.endswith(f".{key}")]
    fitting = [k for k in fitting if k.split(".")[0] in READ_BY[command]] or fitting
    if len(fitting) != 1:
        raise ConfigError(f"--set {change}: {_unknown(key, fitting, keys)}")
    _refuse_unread(change, fitting[0], command)
    try:
        value: Any = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        words = " ".join(str(error).split())
        raise ConfigError(f"--set {change}: {text!r} is not YAML ({words})") from error
    for part in reversed(fitting[0].split(".")):
        value = {part: value}
    data.update(laid_over(data, value))


def _refuse_unread(change: str, key: str, command: str) -> None:
    """A change that would do nothing is a mistake; a file may hold the settings of all steps."""
    section = key.split(".", maxsplit=1)[0]
    if section not in READ_BY[command]:
        readers = [name for name, sections in READ_BY.items() if section in sections]
        raise ConfigError(
            f"--set {change}: {command} does not read {key}; it is read by {', '.join(readers)}"
        )


def _unknown(key: str, fitting: list[str], keys: list[str]) -> str:
    if fitting:
        return f"{key!r} could be {' or '.join(fitting)}"
    endings = {".".join(k.split(".")[-n:]): k for k in keys for n in (3, 2, 1)}
    near = difflib.get_close_matches(key, endings, 1, 0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"there is no key {key!r}{hint}"
