"""A profile: the settings of every step, read and checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from curation.caption import FactsCaption
from curation.caption.base import Captioner
from curation.embed import EMBEDDERS
from curation.media.decode import Sampling
from curation.media.sandbox import Limits
from curation.render.stage import RenderClips
from curation.scan.stage import Scan
from curation.scores import SCORES
from curation.select.policy import Policy
from pipelines.config.merge import change_value, find, laid_over, profiles_folder, read
from pipelines.config.policy import policy
from pipelines.config.schema import CHOSEN, READ_BY, SECTIONS, Execution
from pipelines.config.validation import ConfigError, checked, refuse_unknown
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
    resolved: dict[str, Any] = field(default_factory=dict)
    """The same as plain data, as it is recorded with each run."""


def load(
    config: str | None = None,
    changes: Iterable[str] = (),
    *,
    command: str = "curate",
    tokenizers: Callable[[str], Any] = load_tokenizer,
) -> Profile:
    """The default profile, with a file (or shipped profile) laid over it, then `a.b=c` changes.

    A change of what the `command` does not read is refused. `tokenizers` gives a tokenizer by name;
    a server that reads many profiles keeps them. Raises `ConfigError`.
    """
    data = read(profiles_folder() / "default.yaml")
    if config is not None:
        data = laid_over(data, read(find(config)))
    _refuse_unknown_keys(data)
    for change in changes:
        change_value(data, change, command)
        _refuse_unknown_keys(data)
    return _profile(data, tokenizers if "tokenize" in READ_BY[command] else None)


def _refuse_unknown_keys(data: dict[str, Any]) -> None:
    refuse_unknown(data, SECTIONS, "")
    for section, keys in SECTIONS.items():
        refuse_unknown(data[section], keys, section)
    for place in CHOSEN:
        _chosen(data, place)


def _profile(data: dict[str, Any], tokenizers: Callable[[str], Any] | None) -> Profile:
    """The profile; without `tokenizers` none is loaded to see whether it takes its settings."""
    sandbox = checked(Limits, data["sandbox"], "sandbox")
    scan = data["scan"]
    return Profile(
        scan=Scan(
            shots=_chosen(data, "scan.shots"),
            max_clip_s=checked(float, scan["max_clip_s"], "scan.max_clip_s"),
            scores=_several(scan["scores"], SCORES, "scan.scores"),
            embedders=_several(scan["embedders"], EMBEDDERS, "scan.embedders"),
            sampling=checked(Sampling, scan["sampling"], "scan.sampling"),
            stream=checked(SECTIONS["scan"]["stream"], scan["stream"], "scan.stream"),
            damage=checked(SECTIONS["scan"]["damage"], scan["damage"], "scan.damage"),
            limits=sandbox,
        ),
        policy=policy(data["policy"]),
        render=_render(data["render"], sandbox),
        caption=_chosen(data, "caption.captioner"),
        tokenize=_tokenize(data["tokenize"], sandbox, tokenizers),
        execution=checked(Execution, data["execution"], "execution"),
        resolved=data,
    )


def _chosen(data: Mapping[str, Any], place: str) -> Any:
    """The one of several classes that is named there, with its settings."""
    section, key = place.split(".")
    given, known = data[section][key], CHOSEN[place]
    if not isinstance(given, Mapping) or len(given) != 1:
        raise ConfigError(f"{place}: name one of {', '.join(known)}, not {given!r}")
    ((name, settings),) = given.items()
    refuse_unknown(given, known, place)
    return checked(known[name], settings or {}, f"{place}.{name}")


def _several(given: Any, known: Mapping[str, type[Any]], at: str) -> tuple[Any, ...]:
    """Instances of the classes in a list of names, each alone or as `{Name: settings}`."""
    if not isinstance(given, list):
        raise ConfigError(f"{at}: needs a list of names, not {given!r}")
    made = []
    for each in given:
        data = {each: {}} if isinstance(each, str) else each
        if not isinstance(data, Mapping) or len(data) != 1:
            raise ConfigError(f"{at}: {each!r} is no name of one and its settings")
        refuse_unknown(data, known, at)
        ((name, settings),) = data.items()
        made.append(checked(known[name], settings or {}, f"{at}.{name}"))
    return tuple(made)


def _render(data: Mapping[str, Any], sandbox: Limits) -> RenderClips:
    """The settings of rendering."""
    kinds = SECTIONS["render"]
    settings = {name: checked(kind, data[name], f"render.{name}") for name, kind in kinds.items()}
    try:
        return RenderClips(limits=sandbox, **settings)
    except ValueError as error:
        raise ConfigError(f"render: {error}") from error


def _tokenize(data: Any, sandbox: Limits, tokenizers: Callable[[str], Any] | None) -> Tokenize:
    stage: Tokenize = dataclasses.replace(checked(Tokenize, data, "tokenize"), limits=sandbox)
    if tokenizers is None:
        return stage
    try:
        tokenizer = tokenizers(stage.tokenizer)
    except (ValueError, OSError) as error:
        raise ConfigError(f"tokenize.tokenizer: {error}") from error
    try:
        stage.check(tokenizer)
    except ValueError as error:
        raise ConfigError(f"tokenize: {error}") from error
    return stage
