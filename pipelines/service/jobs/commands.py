"""From a job request to a command line that this server may run.

Inputs are named by a configured source and a path below it, which may not lead out of it. Settings
are checked by what they change in the resolved profile, however they are spelled: callers below
`admin` may change what decides the data, but not where a job runs, its resources, or the files and
servers that models come from.
"""

from __future__ import annotations

import functools
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from curation.errors import ReelmillError
from curation.input_list import LIST_SUFFIXES
from curation.listing import is_below
from curation.object_stores import store_scheme
from curation.web_files import is_web, suffix
from pipelines import config
from pipelines.service.api_keys import Caller
from pipelines.service.jobs.local_backend import JobFolder
from pipelines.service.outputs import Outputs
from pipelines.service.schemas import JOB_KINDS, NAME, JobRequest
from pipelines.service.settings import ServerSettings

_UNPRIVILEGED = re.compile(
    r"policy\.(limits|tags)\..+|policy\.(near_duplicates|include|exclude)|policy\.semantic\..+"
    r"|policy\.labels\..+|render\.(mode|crop)|render\.encoding\..+"
    r"|scan\.(max_clip_s|scores|shots)|scan\.shots\.\w+\.(threshold|ratio|prefilter|length_s)"
    r"|scan\.sampling\..+|tokenize\.(tokenizer|short_side|max_frames|shape|fit|tail|windows|quality)"
)
"""Settings that callers below `admin` may change: none of them names a file, a server or a device,
but for the two below."""
_SHIPPED_TOKENIZER = re.compile(r"(causal|pca)-[0-9]+x[0-9]+x[0-9]+")
"""Tokenizers that callers below `admin` may name; others are paths and addresses."""
_CLIP_LISTS = ("policy.include", "policy.exclude")
"""Lists of clip ids; as text they are files."""


class JobRequestError(ReelmillError, ValueError):
    """A job that is impossible or not allowed to the caller; the message says why."""


class CommandBuilder:
    """Turns job requests into command lines."""

    def __init__(self, settings: ServerSettings, outputs: Outputs, jobs: Path) -> None:
        self._settings = settings
        self._outputs = outputs
        self._artefacts = JobFolder(jobs / "{job}").artefacts

        @functools.lru_cache(256)
        def load_profile(values: tuple[str, ...], command: str = "curate") -> config.Profile:
            return config.load(settings.profile, values, command=command, opens_files=False)

        self._load_profile = load_profile

    def preload(self) -> None:
        """Reads the server's own profile, which spares the first caller the wait."""
        self._load_profile(())

    def profile(self, request: JobRequest, caller: Caller) -> config.Profile:
        """The resolved configuration, of which nothing is opened or loaded here.

        Keys are judged first, as text. Raises `JobRequestError` and `ConfigError`.
        """
        command = request.kind if JOB_KINDS[request.kind].takes_settings else "curate"
        return self._load_profile(self._overrides(request, caller), command)

    def _overrides(self, request: JobRequest, caller: Caller) -> tuple[str, ...]:
        """The settings by their full keys, as `--set` takes them."""
        command = request.kind if JOB_KINDS[request.kind].takes_settings else "curate"
        data = dict(self._load_profile(()).resolved)
        result = []
        for name, value in request.settings.items():
            key = config.resolve_key(data, name, command)
            if not caller.may("admin") and not _is_unprivileged(key, value):
                raise JobRequestError(f"settings: {key} can be changed by an admin only")
            result.append(format_override(key, value))
            config.apply_override(data, result[-1], command)
        return tuple(result)

    def input_uris(self, request: JobRequest) -> list[str]:
        """Addresses of the inputs; raises `JobRequestError` for one outside the sources."""
        if not JOB_KINDS[request.kind].takes_inputs:
            if request.inputs:
                raise JobRequestError(f"{request.kind} takes no inputs")
            return []
        if not request.inputs:
            names = ", ".join(self._settings.sources) or "none is configured"
            raise JobRequestError(
                f"{request.kind} needs inputs: a source ({names}), or SOURCE/path"
            )
        return [_input_uri(text, self._settings.sources) for text in request.inputs]

    def command(self, request: JobRequest, caller: Caller) -> list[str]:
        """The command line, with `{job}` for the job's id.

        Raises `JobRequestError` and `ConfigError`.
        """
        uris = self.input_uris(request)
        out = self._outputs.uri(request.collection)
        if JOB_KINDS[request.kind].takes_inputs:
            arguments = [request.kind, *uris, "--out", out, "--no-follow-links"]
        else:
            self._outputs.open(request.collection)
            arguments = [request.kind, out, *self._artefact_arguments(request)]
        arguments += selection_arguments(request)
        if JOB_KINDS[request.kind].takes_settings:
            self.profile(request, caller)
            if self._settings.profile:
                arguments += ["--config", self._settings.profile]
            values = self._overrides(request, caller)
            if self._settings.ray_address:
                values = ("execution.executor=ray", "execution.address=auto", *values)
            arguments += [word for value in values for word in ("--set", value)]
        elif request.settings:
            raise JobRequestError(f"{request.kind} takes no settings")
        python = "python" if self._settings.ray_address else sys.executable
        return [python, "-m", "pipelines", *arguments]

    def _artefact_arguments(self, request: JobRequest) -> list[str]:
        if request.kind == "report":
            return ["--html", str(self._artefacts / "report.html")]
        if request.kind == "export":
            return [str(self._artefacts / "export"), "--format", request.format]
        return []


def selection_arguments(request: JobRequest) -> list[str]:
    """Arguments that narrow the work of some kinds; `JobRequestError` for the others."""
    for name in ("retry", "selection"):
        if getattr(request, name) and not getattr(JOB_KINDS[request.kind], f"takes_{name}"):
            raise JobRequestError(f"{request.kind} takes no {name}")
    arguments = [word for reason in request.retry for word in ("--retry", reason)]
    return [*arguments, "--selection", request.selection] if request.selection else arguments


def format_override(key: str, value: Any) -> str:
    """A setting as `--set` takes it."""
    return f"{key}={json.dumps(value, ensure_ascii=False)}"


def _is_unprivileged(key: str, value: Any) -> bool:
    if key == "tokenize.tokenizer":
        return isinstance(value, str) and _SHIPPED_TOKENIZER.fullmatch(value) is not None
    if key in _CLIP_LISTS:
        return not isinstance(value, str)
    return _UNPRIVILEGED.fullmatch(key) is not None


def _input_uri(text: str, sources: Mapping[str, str]) -> str:
    """The path or address of `SOURCE` or `SOURCE/path`."""
    name, _, below = text.partition("/")
    root = sources.get(name) if re.match(NAME, name) else None
    subject = f"inputs: {text[:100]!r}"
    if root is None:
        names = ", ".join(sorted(sources)) or "none is configured"
        raise JobRequestError(f"{subject} names no source; the sources are: {names}")
    parts = [part for part in below.split("/") if part]
    if any(part in (".", "..") or part.startswith("-") or not part.isprintable() for part in parts):
        raise JobRequestError(f"{subject} is no path below {name}")
    uri = "/".join([root, *parts])
    if not (store_scheme(root) or is_web(root)):
        if not is_below(uri, root):
            raise JobRequestError(f"{subject} leads out of {name}")
        uri = os.path.realpath(uri)
        if not os.path.exists(uri):
            raise JobRequestError(f"inputs: there is no {text[:100]!r}")
    # Nor a folder of such a name, which may be a list by the time the job runs.
    if suffix(uri).lower() in LIST_SUFFIXES:
        raise JobRequestError(f"{subject} is a list; name folders or videos")
    return uri


def display_command(
    command: Sequence[str], settings: ServerSettings, outputs: Outputs
) -> list[str]:
    """A command line for people, with names in place of this server's paths."""
    words = []
    for word in command[3:]:
        for name, root in settings.sources.items():
            word = word.replace(os.path.realpath(root), name)  # noqa: PLW2901
            word = word.replace(root, name)  # noqa: PLW2901
        words.append(word.replace(outputs.root + "/", ""))
    return ["reelmill", *words]
