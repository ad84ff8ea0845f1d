"""A profile: the settings of every step, read and checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from curation.caption import FactsCaption
from curation.caption.base import Captioner
from curation.embed import EMBEDDERS
from curation.media.sandbox import Limits
from curation.render.stage import RenderClips
from curation.scan.stage import Scan
from curation.scores import SCORES
from curation.select.policy import Policy
from curation.steps import STEPS, load_object
from pipelines.config.merge import (
    apply_override,
    merge,
    profile_path,
    profiles_folder,
    read_profile,
)
from pipelines.config.policy import build_policy
from pipelines.config.schema import READ_BY, REGISTRIES, SECTIONS, Execution
from pipelines.config.validation import ConfigError, check_keys, validate
from tokenizer.models.load import load as load_tokenizer
from tokenizer.tokenize.stage import Tokenize


@dataclass(frozen=True)
class Profile:
    """A resolved configuration."""

    scan: Scan = field(default_factory=Scan)
    policy: Policy = field(default_factory=Policy)
    render: RenderClips = field(default_factory=RenderClips)
    caption: Captioner = field(default_factory=FactsCaption)
    tokenize: Tokenize = field(default_factory=Tokenize)
    execution: Execution = field(default_factory=Execution)
    others: dict[str, Any] = field(default_factory=dict)
    """Settings of the sections of other steps, by section: instances of `StepInfo.settings`."""
    resolved: dict[str, Any] = field(default_factory=dict)
    """The same as plain data, as it is recorded with each run."""


def load(
    config: str | None = None,
    overrides: Iterable[str] = (),
    *,
    command: str = "curate",
    steps: Collection[str] | None = None,
    opens_files: bool = True,
) -> Profile:
    """The default profile, merged with a file or shipped profile, then with `a.b=c` overrides.

    An override of a section that the `command` does not read is refused. `steps` are those of the
    command that will run, if not all: what only others need is not loaded. Without `opens_files`
    nothing is opened but profiles: no list of clips, and no tokenizer, whose settings are then not
    checked against it. Raises `ConfigError`.
    """
    data: dict[str, Any] = {section: {} for section in SECTIONS}
    data |= read_profile(profiles_folder() / "default.yaml")
    if config is not None:
        data = merge(data, read_profile(profile_path(config)))
    _check_all_keys(data)
    for override in overrides:
        apply_override(data, override, command)
        _check_all_keys(data)
    loads_tokenizer = opens_files and "tokenize" in (steps or READ_BY[command])
    return _build(data, opens_files, loads_tokenizer)


def _check_all_keys(data: dict[str, Any]) -> None:
    check_keys(data, SECTIONS, "")
    for section, types in SECTIONS.items():
        check_keys(data[section], types, section)
    for key in REGISTRIES:
        _choice(data, key)


def _build(data: dict[str, Any], opens_files: bool, loads_tokenizer: bool) -> Profile:
    sandbox = validate(Limits, data["sandbox"], "sandbox")
    return Profile(
        scan=Scan(
            **_values(data, "scan"),
            shots=_choice(data, "scan.shots"),
            scores=_instances(data["scan"]["scores"], SCORES, "scan.scores"),
            embedders=_instances(data["scan"]["embedders"], EMBEDDERS, "scan.embedders"),
            limits=sandbox,
        ),
        policy=build_policy(data["policy"], opens_files=opens_files),
        render=_render(data, sandbox),
        caption=_choice(data, "caption.captioner"),
        tokenize=_tokenize(data["tokenize"], sandbox, loads_tokenizer),
        execution=validate(Execution, data["execution"], "execution"),
        others={
            step.section: validate(load_object(step.settings), data[step.section], step.section)
            for step in STEPS.values()
            if step.settings
        },
        resolved=data,
    )


def _values(data: Mapping[str, Any], section: str) -> dict[str, Any]:
    """The validated values of a section that have a type."""
    return {
        name: validate(kind, data[section][name], f"{section}.{name}")
        for name, kind in SECTIONS[section].items()
        if kind is not None
    }


def _choice(data: Mapping[str, Any], key: str) -> Any:
    """The instance of the class that is named there, with its settings."""
    section, name = key.split(".")
    value, registry = data[section][name], REGISTRIES[key]
    if not isinstance(value, Mapping) or len(value) != 1:
        raise ConfigError(f"{key}: name one of {', '.join(registry)}, not {value!r}")
    return _instance(value, registry, key)


def _instances(items: Any, registry: Mapping[str, type[Any]], key: str) -> tuple[Any, ...]:
    """Instances of the classes in a list of names, each alone or as `{Name: settings}`."""
    if not isinstance(items, list):
        raise ConfigError(f"{key}: needs a list of names, not {items!r}")
    values = [{item: {}} if isinstance(item, str) else item for item in items]
    for value in values:
        if not isinstance(value, Mapping) or len(value) != 1:
            raise ConfigError(f"{key}: {value!r} is no name of one and its settings")
    return tuple(_instance(value, registry, key) for value in values)


def _instance(value: Mapping[str, Any], registry: Mapping[str, type[Any]], key: str) -> Any:
    check_keys(value, registry, key)
    ((name, settings),) = value.items()
    return validate(registry[name], settings or {}, f"{key}.{name}")


def _render(data: Mapping[str, Any], sandbox: Limits) -> RenderClips:
    values = _values(data, "render")
    try:
        return RenderClips(limits=sandbox, **values)
    except ValueError as error:
        raise ConfigError(f"render: {error}") from error


def _tokenize(data: Any, sandbox: Limits, loads_tokenizer: bool) -> Tokenize:
    stage: Tokenize = dataclasses.replace(validate(Tokenize, data, "tokenize"), limits=sandbox)
    if not loads_tokenizer:
        return stage
    try:
        tokenizer = load_tokenizer(stage.tokenizer)
    except (ValueError, OSError) as error:
        raise ConfigError(f"tokenize.tokenizer: {error}") from error
    try:
        stage.check(tokenizer)
    except ValueError as error:
        raise ConfigError(f"tokenize: {error}") from error
    return stage
