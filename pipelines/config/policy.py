"""The policy of a configuration."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from curation.select.policy import LIMITS, LabelRules, Policy, Range, Semantic, SourceRules
from curation.select.tags import TAGS, Words
from pipelines.config.merge import profiles_folder, read
from pipelines.config.validation import ConfigError, checked, refuse_unknown


def policy(data: dict[str, Any]) -> Policy:
    """The policy of the section of that name. Raises `ConfigError`."""
    ranges, words = _rules(data, "policy")
    sources = [_source_rules(own, number) for number, own in enumerate(data["sources"] or ())]
    for name in ("include", "exclude"):
        data[name] = _clip_list(data[name], f"policy.{name}")
    copies = checked(float | None, data["copies"], "policy.copies")
    semantic = checked(Semantic, data["semantic"], "policy.semantic")
    labels = checked(LabelRules, data["labels"] or {}, "policy.labels")
    try:
        return Policy(
            ranges, copies, semantic, words, tuple(sources),
            tuple(data["include"]), tuple(data["exclude"]), labels,
        )  # fmt: skip
    except ValueError as error:
        raise ConfigError(str(error)) from error


def recorded_policy(resolved: Mapping[str, Any]) -> Policy:
    """The policy of a configuration as a run recorded it. Raises `ConfigError`."""
    return policy({**read(profiles_folder() / "default.yaml")["policy"], **resolved["policy"]})


def _rules(data: Mapping[str, Any], at: str) -> tuple[dict[str, Range], dict[str, Words]]:
    """Bounds and wanted words, as a policy has them for all sources or for some."""
    limits, tags = data.get("limits") or {}, data.get("tags") or {}
    refuse_unknown(limits, LIMITS, f"{at}.limits")
    refuse_unknown(tags, TAGS, f"{at}.tags")
    ranges = {n: checked(Range, b or {}, f"{at}.limits.{n}") for n, b in limits.items()}
    return ranges, {n: checked(Words, w or {}, f"{at}.tags.{n}") for n, w in tags.items()}


def _source_rules(data: Any, number: int) -> SourceRules:
    at = f"policy.sources.{number}"
    refuse_unknown(data, [field.name for field in dataclasses.fields(SourceRules)], at)
    return SourceRules(checked(str, data.get("where"), f"{at}.where"), *_rules(data, at))


def _clip_list(given: Any, at: str) -> list[str]:
    """Ids of clips from a list, or from a file with one at the start of each line."""
    if isinstance(given, str):
        try:
            lines = Path(given).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{at}: {error}") from error
        given = [line.split()[0] for line in lines if line.strip() and line[0] != "#"]
    return list(checked(list[str], given or [], at))
