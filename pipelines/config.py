"""The configuration of a job: a profile in YAML, changes from the command line, nothing unknown.

Every key is a field of a dataclass in `curation` or `tokenizer`; there is no second list of knobs.
An unknown key is an error that names the nearest known one.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import TypeAdapter, ValidationError

from curation.caption import CAPTIONERS, FactsCaption
from curation.caption.contract import Captioner
from curation.embed import EMBEDDERS
from curation.media.child import Limits
from curation.media.encode import Encoding
from curation.media.watch import Sampling
from curation.render.face_blur import BlurFaces
from curation.render.stage import RenderClips
from curation.scan.shots import SHOT_DETECTORS
from curation.scan.stage import Scan
from curation.scores import SCORES
from curation.select.policy import LIMITS, LabelRules, Policy, Range, Semantic, SourceRules
from curation.select.tags import TAGS, Words
from tokenizer.load import load as load_tokenizer
from tokenizer.tokenize import Tokenize


class ConfigError(ValueError):
    """The configuration cannot be used; the message says which key and what to do."""


@dataclass(frozen=True)
class Execution:
    """Where a job runs."""

    executor: Literal["ray", "in_process"] = "ray"
    address: str = "local"
    workers: int = 0
    cpus: int = 0
    object_store_mb: int = 512


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


_CHOSEN = {"scan.shots": SHOT_DETECTORS, "caption.captioner": CAPTIONERS}
_SECTIONS: dict[str, dict[str, Any]] = {
    "scan": {
        "shots": None,
        "max_clip_s": float,
        "scores": list[Any],
        "embedders": list[Any],
        "sampling": Sampling,
    },
    "policy": {
        "limits": None,
        "tags": None,
        "sources": list[Any],
        "include": list[str],
        "exclude": list[str],
        "labels": LabelRules,
        "copies": float | None,
        "semantic": Semantic,
    },
    "render": {
        "mode": Literal["encode", "copy", "span"],
        "encoding": Encoding,
        "crop": Literal["keep", "bars"],
        "blur_faces": BlurFaces | None,
    },
    "caption": {"captioner": None},
    "tokenize": {f.name: None for f in dataclasses.fields(Tokenize) if f.name != "limits"},
    "sandbox": {f.name: int for f in dataclasses.fields(Limits)},
    "execution": typing.get_type_hints(Execution),
}
_WORDS = dataclasses.fields(Words)
_MAY_BE_ZERO = {
    "threshold", "ratio", "still", "crf", "workers", "cpus", "retries", "seed", "temperature",
}  # fmt: skip
"""Of the numbers outside the policy; none may be less, and the others must be more."""


class _Loader(yaml.SafeLoader):
    """Takes `1e-3` for a number, as YAML 1.2 does."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def profiles_folder() -> Path:
    """Where the shipped profiles lie."""
    installed = Path(__file__).with_name("profiles")
    return installed if installed.is_dir() else Path(__file__).parents[1] / "configs"


def load(
    config: str | None = None,
    changes: Iterable[str] = (),
    *,
    tokenizers: Callable[[str], Any] = load_tokenizer,
) -> Profile:
    """The default profile, with a file (or shipped profile) laid over it, then `a.b=c` changes.

    `tokenizers` gives a tokenizer by name; a server that reads many profiles keeps them. Raises
    `ConfigError`.
    """
    data = _read(profiles_folder() / "default.yaml")
    if config is not None:
        data = _laid_over(data, _read(_find(config)))
    _refuse_unknown_keys(data)
    for change in changes:
        _set(data, change)
        _refuse_unknown_keys(data)
    return _profile(data, tokenizers)


def _find(config: str) -> Path:
    shipped = profiles_folder() / f"{config}.yaml"
    for path in (Path(config), shipped):
        if path.is_file():
            return path
    names = ", ".join(sorted(p.stem for p in profiles_folder().glob("*.yaml")))
    raise ConfigError(f"no profile {config!r}: give the path of a YAML file, or one of {names}")


def _read(path: Path) -> dict[str, Any]:
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: needs sections such as {', '.join(_SECTIONS)}")
    return data


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any], at: str = "") -> dict[str, Any]:
    merged = dict(below)
    for key, given in above.items():
        place = f"{at}.{key}".lstrip(".")
        value = {given: {}} if place in _CHOSEN and isinstance(given, str) else given
        if value is None and not at:
            continue  # a section without keys changes nothing
        if place in _CHOSEN and isinstance(value, Mapping) and value.keys() != below[key].keys():
            merged[key] = dict(value)
        elif isinstance(value, Mapping) and isinstance(below.get(key), Mapping):
            merged[key] = _laid_over(below[key], value, place)
        else:
            merged[key] = value
    return merged


def known_keys(data: Mapping[str, Any]) -> Iterator[str]:
    """Every key that can be set, given which shot detector and captioner are chosen."""
    for section, keys in _SECTIONS.items():
        for key, kind in keys.items():
            yield from _keys_of(f"{section}.{key}", kind, data)


def _keys_of(place: str, kind: Any, data: Mapping[str, Any]) -> Iterator[str]:
    if place == "policy.limits":
        for name, limit in LIMITS.items():
            yield from (f"{place}.{name}.{s}" for s, r in _sides(limit.low, limit.high) if r)
    elif place == "policy.tags":
        yield from (f"{place}.{name}.{field.name}" for name in TAGS for field in _WORDS)
    elif place in _CHOSEN:
        yield place
        section, key = place.split(".")
        for name in data[section][key]:
            chosen = _CHOSEN[place].get(name)
            fields = dataclasses.fields(chosen) if chosen else ()
            yield from (f"{place}.{name}.{f.name}" for f in fields)
    elif dataclasses.is_dataclass(kind):
        yield from (f"{place}.{f.name}" for f in dataclasses.fields(kind))
    else:
        yield place


def _sides(low: str, high: str) -> tuple[tuple[str, str], tuple[str, str]]:
    return ("min", low), ("max", high)


def _set(data: dict[str, Any], change: str) -> None:
    """Applies `a.b=c`; leading parts of the key may be left out where that is unambiguous."""
    key, equals, text = change.partition("=")
    if not equals:
        raise ConfigError(f"--set {change}: write it as KEY=VALUE, such as motion.min=0.01")
    keys = list(known_keys(data))
    fitting = [k for k in keys if k == key] or [k for k in keys if k.endswith(f".{key}")]
    if len(fitting) != 1:
        raise ConfigError(f"--set {change}: {_unknown(key, fitting, keys)}")
    try:
        value: Any = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        words = " ".join(str(error).split())
        raise ConfigError(f"--set {change}: {text!r} is not YAML ({words})") from error
    for part in reversed(fitting[0].split(".")):
        value = {part: value}
    data.update(_laid_over(data, value))


def _unknown(key: str, fitting: list[str], keys: list[str]) -> str:
    if fitting:
        return f"{key!r} could be {' or '.join(fitting)}"
    endings = {".".join(k.split(".")[-n:]): k for k in keys for n in (3, 2, 1)}
    near = difflib.get_close_matches(key, endings, 1, 0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"there is no key {key!r}{hint}"


def _refuse_unknown_keys(data: dict[str, Any]) -> None:
    _refuse_unknown(data, _SECTIONS, "")
    for section, keys in _SECTIONS.items():
        _refuse_unknown(data[section], keys, section)
    for place in _CHOSEN:
        _chosen(data, place)


def _profile(data: dict[str, Any], tokenizers: Callable[[str], Any]) -> Profile:
    sandbox = _checked(Limits, data["sandbox"], "sandbox")
    scan = data["scan"]
    return Profile(
        scan=Scan(
            shots=_chosen(data, "scan.shots"),
            max_clip_s=_checked(float, scan["max_clip_s"], "scan.max_clip_s"),
            scores=_several(scan["scores"], SCORES, "scan.scores"),
            embedders=_several(scan["embedders"], EMBEDDERS, "scan.embedders"),
            sampling=_checked(Sampling, scan["sampling"], "scan.sampling"),
            limits=sandbox,
        ),
        policy=_policy(data["policy"]),
        render=_render(data["render"], sandbox),
        caption=_chosen(data, "caption.captioner"),
        tokenize=_tokenize(data["tokenize"], sandbox, tokenizers),
        execution=_checked(Execution, data["execution"], "execution"),
        resolved=data,
    )


def _chosen(data: Mapping[str, Any], place: str) -> Any:
    """The one of several classes that is named there, with its settings."""
    section, key = place.split(".")
    given, known = data[section][key], _CHOSEN[place]
    if not isinstance(given, Mapping) or len(given) != 1:
        raise ConfigError(f"{place}: name one of {', '.join(known)}, not {given!r}")
    ((name, settings),) = given.items()
    _refuse_unknown(given, known, place)
    return _checked(known[name], settings or {}, f"{place}.{name}")


def _several(given: Any, known: Mapping[str, type[Any]], at: str) -> tuple[Any, ...]:
    """Instances of the classes in a list of names, each alone or as `{Name: settings}`."""
    if not isinstance(given, list):
        raise ConfigError(f"{at}: needs a list of names, not {given!r}")
    made = []
    for each in given:
        data = {each: {}} if isinstance(each, str) else each
        if not isinstance(data, Mapping) or len(data) != 1:
            raise ConfigError(f"{at}: {each!r} is no name of one and its settings")
        _refuse_unknown(data, known, at)
        ((name, settings),) = data.items()
        made.append(_checked(known[name], settings or {}, f"{at}.{name}"))
    return tuple(made)


def _render(data: Mapping[str, Any], sandbox: Limits) -> RenderClips:
    """The settings of rendering."""
    kinds = _SECTIONS["render"]
    settings = {name: _checked(kind, data[name], f"render.{name}") for name, kind in kinds.items()}
    try:
        return RenderClips(limits=sandbox, **settings)
    except ValueError as error:
        raise ConfigError(f"render: {error}") from error


def _tokenize(data: Any, sandbox: Limits, tokenizers: Callable[[str], Any]) -> Tokenize:
    stage: Tokenize = dataclasses.replace(_checked(Tokenize, data, "tokenize"), limits=sandbox)
    try:
        tokenizer = tokenizers(stage.tokenizer)
    except (ValueError, OSError) as error:
        raise ConfigError(f"tokenize.tokenizer: {error}") from error
    try:
        stage.check(tokenizer)
    except ValueError as error:
        raise ConfigError(f"tokenize: {error}") from error
    return stage


def _policy(data: dict[str, Any]) -> Policy:
    ranges, words = _rules(data, "policy")
    sources = [_source_rules(own, number) for number, own in enumerate(data["sources"] or ())]
    for name in ("include", "exclude"):
        data[name] = _clip_list(data[name], f"policy.{name}")
    copies = _checked(float | None, data["copies"], "policy.copies")
    semantic = _checked(Semantic, data["semantic"], "policy.semantic")
    labels = _checked(LabelRules, data["labels"] or {}, "policy.labels")
    try:
        return Policy(
            ranges, copies, semantic, words, tuple(sources),
            tuple(data["include"]), tuple(data["exclude"]), labels,
        )  # fmt: skip
    except ValueError as error:
        raise ConfigError(str(error)) from error


def recorded_policy(resolved: Mapping[str, Any]) -> Policy:
    """The policy of a configuration as a run recorded it. Raises `ConfigError`."""
    return _policy({**_read(profiles_folder() / "default.yaml")["policy"], **resolved["policy"]})


def _rules(data: Mapping[str, Any], at: str) -> tuple[dict[str, Range], dict[str, Words]]:
    """Bounds and wanted words, as a policy has them for all sources or for some."""
    limits, tags = data.get("limits") or {}, data.get("tags") or {}
    _refuse_unknown(limits, LIMITS, f"{at}.limits")
    _refuse_unknown(tags, TAGS, f"{at}.tags")
    ranges = {n: _checked(Range, b or {}, f"{at}.limits.{n}") for n, b in limits.items()}
    return ranges, {n: _checked(Words, w or {}, f"{at}.tags.{n}") for n, w in tags.items()}


def _source_rules(data: Any, number: int) -> SourceRules:
    at = f"policy.sources.{number}"
    _refuse_unknown(data, [field.name for field in dataclasses.fields(SourceRules)], at)
    return SourceRules(_checked(str, data.get("where"), f"{at}.where"), *_rules(data, at))


def _clip_list(given: Any, at: str) -> list[str]:
    """Ids of clips from a list, or from a file with one at the start of each line."""
    if isinstance(given, str):
        try:
            lines = Path(given).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{at}: {error}") from error
        given = [line.split()[0] for line in lines if line.strip() and line[0] != "#"]
    return list(_checked(list[str], given or [], at))


def _refuse_unknown(data: Any, known: Iterable[str], at: str) -> None:
    if not isinstance(data, Mapping):
        raise ConfigError(f"{at}: needs keys, not {data!r}")
    names = list(known)
    for key in data:
        if key not in names:
            near = difflib.get_close_matches(str(key), names, 1, 0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names)}"
            raise ConfigError(f"unknown key {key!r} in {at or 'the profile'}; {hint}")


def _checked(kind: Any, value: Any, at: str) -> Any:
    """The value as `kind`, or a `ConfigError` that names the key and the value."""
    if dataclasses.is_dataclass(kind):
        _refuse_unknown(value, [f.name for f in dataclasses.fields(kind)], at)
    try:
        checked = TypeAdapter(kind).validate_json(json.dumps(value, default=str), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in (at, *first["loc"]))
        raise ConfigError(f"{place}: {first['msg'].lower()}, not {first['input']!r}") from error
    if not at.startswith("policy"):
        _refuse_below_zero(value, at)
    return checked


def _refuse_below_zero(value: Any, at: str) -> None:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _refuse_below_zero(inner, f"{at}.{key}")
    elif isinstance(value, float | int) and not isinstance(value, bool):
        least = "0 or more" if at.rsplit(".", 1)[-1] in _MAY_BE_ZERO else "more than 0"
        if not (value > 0 or (value == 0 and least == "0 or more")):
            raise ConfigError(f"{at}: has to be {least}, not {value!r}")
