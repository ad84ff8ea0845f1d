"""The policy of a configuration."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from curation.select.policy import (
    LIMITS,
    TAGS,
    CategoryRule,
    LabelRules,
    Policy,
    Range,
    Semantic,
    SourceRules,
)
from curation.select.sessions import Scope
from pipelines.config.merge import profiles_folder, read_profile
from pipelines.config.validation import ConfigError, check_keys, validate


def build_policy(data: dict[str, Any], *, opens_files: bool = True) -> Policy:
    """The policy of its section, in which files of clip ids are replaced by their lists.

    Without `opens_files` such a file is left out of the policy. Raises `ConfigError`.
    """
    clip_ids = {}
    for name in ("include", "exclude"):
        is_file = isinstance(data[name], str)
        clip_ids[name] = (
            [] if is_file and not opens_files else _clip_ids(data[name], f"policy.{name}")
        )
        if opens_files:
            data[name] = clip_ids[name]
    near_duplicates = validate(float | None, data["near_duplicates"], "policy.near_duplicates")
    semantic = validate(Semantic, data["semantic"], "policy.semantic")
    labels = validate(LabelRules, data["labels"] or {}, "policy.labels")
    limits, tags = _rules(data, "policy")
    sources = []
    for number, rules in enumerate(data["sources"] or ()):
        key = f"policy.sources.{number}"
        check_keys(rules, [field.name for field in dataclasses.fields(SourceRules)], key)
        where = validate(str, rules.get("where"), f"{key}.where")
        sources.append(SourceRules(where, *_rules(rules, key)))
    try:
        return Policy(
            limits, near_duplicates, semantic, tags, tuple(sources),
            tuple(clip_ids["include"]), tuple(clip_ids["exclude"]), labels,
            validate(Scope, data["sessions"], "policy.sessions"),
        )  # fmt: skip
    except ValueError as error:
        raise ConfigError(str(error)) from error


def recorded_policy(resolved: Mapping[str, Any]) -> Policy:
    """The policy of a configuration as a run recorded it; opens no file. Raises `ConfigError`."""
    default = read_profile(profiles_folder() / "default.yaml")["policy"]
    section = {**default, **current_keys(resolved["policy"])}
    return build_policy(section, opens_files=False)


def current_keys(policy: Mapping[str, Any]) -> dict[str, Any]:
    """A recorded policy by the keys of this version; earlier ones called one threshold `copies`."""
    return {"near_duplicates" if key == "copies" else key: policy[key] for key in policy}


def _rules(data: Mapping[str, Any], key: str) -> tuple[dict[str, Range], dict[str, CategoryRule]]:
    """Limits and tags of the policy or of one of its sources."""
    limits, tags = data.get("limits") or {}, data.get("tags") or {}
    check_keys(limits, LIMITS, f"{key}.limits")
    check_keys(tags, TAGS, f"{key}.tags")
    return (
        {name: validate(Range, limits[name] or {}, f"{key}.limits.{name}") for name in limits},
        {name: validate(CategoryRule, tags[name] or {}, f"{key}.tags.{name}") for name in tags},
    )


def _clip_ids(value: Any, key: str) -> list[str]:
    """A list of ids, or the first word of each line of a file that is no comment."""
    if isinstance(value, str):
        try:
            lines = Path(value).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{key}: {error}") from error
        value = [line.split()[0] for line in lines if line.strip() and line[0] != "#"]
    return list(validate(list[str], value or [], key))
