"""Every example of `--help` and of docs/cli.md: it runs, or where it cannot here, it parses."""

import os
import re
import shlex
import shutil
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from curation.dataset import Dataset
from pipelines.cli.app import app
from pipelines.cli.commands import commands
from tests.outputs import run

ROOT = Path(__file__).parents[2]
NOT_HERE = {
    "doctor": "loads every network",
    "label": "needs vectors of open_clip",
    "serve": "runs until it is stopped",
    "submit": "needs a server", "jobs": "needs a server", "status": "needs a server",
    "logs": "needs a server", "cancel": "needs a server", "retry": "needs a server",
    "key revoke": "needs the id of a key",
    "open": "opens a browser",
    "sample": "encodes for seconds",
    "tokenizer train": "needs a GPU", "tokenizer pack": "needs long clips of a licence",
    "tokenizer fit": "needs more clips", "tokenizer eval": "needs other weights",
}  # fmt: skip
ELSEWHERE = re.compile(
    r"s3://|--calibrate|captioner=|-c captions.yaml|--like|--compare|mode=copy|pca-4x8x8"
)
"""Of examples that need a store, a model, more clips, or make further renders and tokens."""
EXAMPLES = [(name, line) for name, info in commands().items() for line in info.examples]


@pytest.fixture(scope="module")
def folder(curated, tmp_path_factory):
    """Where the examples run: with an output `out`, and what FiftyOne would open of it."""
    folder = tmp_path_factory.mktemp("examples")
    shutil.copytree(curated.out, folder / "out")
    words = str(folder / "out"), str(folder / "exported"), "--format", "fiftyone"
    assert run("export", *words).returncode == 0
    return folder


@pytest.mark.parametrize(("name", "line"), EXAMPLES, ids=[line for _, line in EXAMPLES])
def test_an_example_does_what_it_says(  # noqa: PLR0917  fixtures
    reelmill, curated, folder, monkeypatch, name, line
):
    assert line.startswith(f"reelmill {name}")
    assert line in (ROOT / "docs/cli.md").read_text()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(curated.videos.parent))
    clip = Dataset(curated.out).clips("kept")["clip_id"][0].as_py()
    words = [os.path.expanduser(word).replace("3f2a", clip[:8]) for word in shlex.split(line)[1:]]
    if name in NOT_HERE or ELSEWHERE.search(line):
        parses(words)
        return
    reads_profile = name in ("curate", "scan", "select", "render", "caption", "tokenize")
    ended = reelmill(*words, *(curated.options if reads_profile else ()))
    assert ended.code in (0, 3), ended
    assert ended.err == ""
    assert ended.out


def parses(words: list[str]) -> None:
    """Raises for a command, argument or option that does not exist."""
    command, context = get_command(app), typer.Context(get_command(app))
    while hasattr(command, "get_command"):
        command = command.get_command(context, words.pop(0))
    command.make_context("reelmill", words)
