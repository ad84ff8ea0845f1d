"""From a wish to a command line that this server may run.

Inputs are named by a configured source and a path below it, which may not lead out of it. Settings
are judged by what they change in the resolved profile, however they are spelled: callers below
`admin` may change what decides the data, not where a job runs, what it may use, which files or
servers a model comes from.
"""

from __future__ import annotations

import functools
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from curation.errors import ReelmillError
from pipelines import config
from pipelines.service.api_keys import Caller
from pipelines.service.jobs.local_backend import JobFolder
from pipelines.service.outputs import Outputs
from pipelines.service.schemas import NAME, Wish
from pipelines.service.settings import Settings
from tokenizer.models.load import load as load_tokenizer

_FREE = (
    "policy.", "render.", "scan.max_clip_s", "scan.scores", "scan.shots.", "scan.sampling.",
    "tokenize.short_side", "tokenize.max_frames", "tokenize.windows", "tokenize.quality",
)  # fmt: skip
"""What callers below `admin` may set."""
_SHIPPED = re.compile(r"(causal|pca)-\d+x\d+x\d+")
"""Tokenizers that callers below `admin` may name; others are paths and addresses."""
_MAKES = ("curate", "scan")
_RETRIES = ("curate", "scan", "caption")
_SELECTS = ("render", "caption", "tokenize", "export")
_CONFIGURED = ("curate", "scan", "select", "render", "caption", "tokenize")


class OrderError(ReelmillError, ValueError):
    """A job that cannot be, or that the caller may not have; the message says why."""


class Orders:
    """Turns wishes into command lines."""

    def __init__(self, settings: Settings, outputs: Outputs, jobs: Path) -> None:
        self._settings = settings
        self._outputs = outputs
        self._folder = JobFolder(jobs / "{job}")
        tokenizers = functools.cache(load_tokenizer)

        @functools.lru_cache(256)
        def profile(changes: tuple[str, ...], command: str = "curate") -> config.Profile:
            return config.load(settings.profile, changes, command=command, tokenizers=tokenizers)

        self._profile = profile

    def warm(self) -> None:
        """Reads the profile and its tokenizer, so that the first caller need not wait."""
        self._profile(())

    def profile(self, wish: Wish, caller: Caller) -> config.Profile:
        """The resolved configuration of a wish; raises `OrderError` and `ConfigError`."""
        command = wish.kind if wish.kind in _CONFIGURED else "curate"
        made = self._profile(changes(wish.settings), command)
        if not caller.may("admin"):
            for key, value in _differences(self._profile(()).resolved, made.resolved):
                if not _is_free(key, value):
                    raise OrderError(f"settings: {key} can be changed by an admin only")
        return made

    def inputs(self, wish: Wish) -> list[str]:
        """The places of a wish's inputs; raises `OrderError` for one outside the sources."""
        if wish.kind not in _MAKES:
            if wish.inputs:
                raise OrderError(f"{wish.kind} takes no inputs")
            return []
        if not wish.inputs:
            known = ", ".join(self._settings.sources) or "none is configured"
            raise OrderError(f"{wish.kind} needs inputs: a source ({known}), or SOURCE/path")
        return [_place(text, self._settings.sources) for text in wish.inputs]

    def command(self, wish: Wish, caller: Caller) -> list[str]:
        """The command line, with `{job}` for the job's id; raises `OrderError`, `ConfigError`."""
        places = self.inputs(wish)
        out = self._outputs.place(wish.collection)
        if wish.kind in _MAKES:
            words = [wish.kind, *places, "--out", out]
        else:
            self._outputs.opened(wish.collection)
            words = [wish.kind, out, *self._extra(wish)]
        words += _chosen(wish)
        if wish.kind in _CONFIGURED:
            self.profile(wish, caller)
            if self._settings.profile:
                words += ["--config", self._settings.profile]
            given = changes(wish.settings)
            if self._settings.ray_address:
                given = ("execution.executor=ray", "execution.address=auto", *given)
            words += [word for change in given for word in ("--set", change)]
        elif wish.settings:
            raise OrderError(f"{wish.kind} takes no settings")
        python = "python" if self._settings.ray_address else sys.executable
        return [python, "-m", "pipelines", *words]

    def _extra(self, wish: Wish) -> list[str]:
        if wish.kind == "report":
            return ["--html", str(self._folder.artefacts / "report.html")]
        if wish.kind == "export":
            return [str(self._folder.artefacts / "export"), "--format", wish.format]
        return []


def _chosen(wish: Wish) -> list[str]:
    """What narrows the work of some kinds; `OrderError` for the others."""
    for name, kinds in (("retry", _RETRIES), ("selection", _SELECTS)):
        if getattr(wish, name) and wish.kind not in kinds:
            raise OrderError(f"{wish.kind} takes no {name}")
    words = [word for reason in wish.retry for word in ("--retry", reason)]
    return [*words, "--selection", wish.selection] if wish.selection else words


def changes(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Settings as `--set` takes them."""
    return tuple(
        f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in settings.items()
    )


def _differences(below: Any, above: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf that differs, by its full key, with its new value."""
    if isinstance(below, Mapping) and isinstance(above, Mapping):
        for key in {**below, **above}:
            place = f"{at}.{key}" if at else str(key)
            if key not in above:
                yield place, None
            else:
                yield from _differences(below.get(key), above[key], place)
    elif isinstance(above, Mapping) and above:
        for key, value in above.items():
            yield from _differences(None, value, f"{at}.{key}")
    elif below != above:
        yield at, above


def _is_free(key: str, value: Any) -> bool:
    if key == "tokenize.tokenizer":
        return isinstance(value, str) and _SHIPPED.fullmatch(value) is not None
    return key.startswith(_FREE) or f"{key}." in _FREE


def _place(text: str, sources: Mapping[str, str]) -> str:
    """Where an input lies: `SOURCE` or `SOURCE/path`."""
    name, _, below = text.partition("/")
    root = sources.get(name) if re.match(NAME, name) else None
    if root is None:
        known = ", ".join(sorted(sources)) or "none is configured"
        raise OrderError(f"inputs: {text[:100]!r} names no source; the sources are: {known}")
    parts = [part for part in below.split("/") if part]
    if any(part in (".", "..") or part.startswith("-") or not part.isprintable() for part in parts):
        raise OrderError(f"inputs: {text[:100]!r} is no path below {name}")
    place = "/".join([root, *parts])
    if not root.startswith("s3://"):
        place = os.path.realpath(place)
        if not _is_below(place, os.path.realpath(root)):
            raise OrderError(f"inputs: {text[:100]!r} leads out of {name}")
        if not os.path.exists(place):
            raise OrderError(f"inputs: there is no {text[:100]!r}")
    suffix = os.path.splitext(place)[1].lower()
    if not os.path.isdir(place) and suffix in (".txt", ".csv", ".parquet"):
        raise OrderError(f"inputs: {text[:100]!r} is a list; name folders or videos")
    return place


def _is_below(place: str, root: str) -> bool:
    return os.path.commonpath([place, root]) == root


def named(command: Sequence[str], settings: Settings, outputs: Outputs) -> list[str]:
    """A command line for people, with names in the place of this server's paths."""
    shown = ["reelmill"]
    for word in command[3:]:
        for name, root in settings.sources.items():
            word = word.replace(root, name)  # noqa: PLW2901
        shown.append(word.replace(outputs.root + "/", ""))
    return shown
