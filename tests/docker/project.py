"""What the files of `docker/` are held against: the project's own commands, extras and versions."""

import re
import shlex
import sys
import warnings
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
USER = 10001


@cache
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@cache
def pinned() -> dict[str, set[str]]:
    """Versions of each package in constraints.txt."""
    found: dict[str, set[str]] = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if match := re.match(r"([\w.-]+)==([\w.]+)", line):
            found.setdefault(match[1].lower(), set()).add(match[2])
    return found


def version() -> str:
    return pyproject()["project"]["version"]


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DOCKER / name).read_text()))


def parsed(program: str, words: list[str]) -> dict[str, Any]:
    """What a command line means to the program itself; raises for what it does not take."""
    if program == "reelmill":
        from typer.main import get_command

        from pipelines.cli.app import app

        command = get_command(app)
    else:
        assert program == "ray", program
        with warnings.catch_warnings():  # what Ray's own records say when they are imported
            warnings.simplefilter("ignore")
            command = import_module("ray.scripts.scripts").cli
    context = None
    while hasattr(command, "get_command"):
        name, *words = words
        found = command.get_command(None, name)
        assert found is not None, f"{program} has no command {name}"
        command = found
    context = command.make_context(program, list(words))
    return {"command": command.name, **context.params}


def parsed_line(line: str) -> dict[str, Any]:
    """The same for a line of a shell, up to where another command begins."""
    program, *words = shlex.split(re.split(r"\||>|&&", line)[0])
    return parsed(program, words)
