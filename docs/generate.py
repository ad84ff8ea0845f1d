"""Writes `tables.md`, `cli.md` and `api.md` from the code: `make docs`."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import textwrap
import typing
from pathlib import Path
from typing import Any

import reelmill
import typer
from typer.cli import get_docs_for_click
from typer.core import TyperGroup
from typer.main import get_command

from curation.reasons import INPUT_REASONS
from curation.records import (
    Caption,
    CaptionedClip,
    Clip,
    ClipLabel,
    Embedding,
    ListedInput,
    Neighbour,
    Render,
    Review,
    Run,
    Signature,
    SkippedFiles,
    Source,
    SubsetClip,
    Thumbnail,
    TokenizedClip,
    Verdict,
)
from curation.scores import SCORES, table_name
from curation.select.policy import FILTER_REASONS, LIMITS
from curation.signals.blocks import SIGNAL_TABLES
from curation.steps import STEPS
from pipelines.cli.app import app
from pipelines.cli.commands import commands
from tokenizer.tokenize.shards import TokenWindow

FOLDER = Path(__file__).parent

TABLES: dict[str, type[Any]] = {
    "listed": ListedInput,
    "passed_over": SkippedFiles,
    "sources": Source,
    "clips": Clip,
    **{table_name(score): score.record for score in SCORES.values()},
    "embeddings/EMBEDDER": Embedding,
    "labels/LABELS": ClipLabel,
    **SIGNAL_TABLES,
    "thumbnails": Thumbnail,
    "signatures": Signature,
    "neighbours/copies": Neighbour,
    "selection": Verdict,
    "reviews": Review,
    "subsets": SubsetClip,
    "renders/PROFILE": Render,
    "captions/CAPTIONER": Caption,
    "captioned/CAPTIONER": CaptionedClip,
    "tokens/TOKENIZER": TokenWindow,
    "tokenized/TOKENIZER": TokenizedClip,
    "runs": Run,
}

_HEAD = """# Tables, column by column

An output folder holds these Delta tables. Each is Parquet with an atomic log beside it, and opens
with DuckDB (`delta_scan`), Polars, Spark, pandas or `curation.dataset.Dataset`. All of them only
grow. A source's clips and scores count once its row in `sources` is there; a clip's token windows
count once its row in `tokenized/…` is there, and its captions once its row in `captioned/…` is.

`EMBEDDER`, `LABELS`, `PROFILE`, `CAPTIONER` and `TOKENIZER` end in a digest of the settings, models
and prompts that decide their rows, so that others fill another table; for tokens, and captions by
models that look at pictures, the `PROFILE` of the renders is one of these. Columns that a table is
too old to have are null.
"""


def field_docs(record: type[Any]) -> dict[str, str]:
    """The string under each field of a record class and of those that it inherits from."""
    docs: dict[str, str] = {}
    for owner in reversed(record.__mro__[:-1]):
        body = ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, node in zip(body.body, body.body[1:], strict=False):
            text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and text:
                docs[field.target.id] = " ".join(str(node.value.value).split())  # type: ignore
    return docs


def tables() -> str:
    """`tables.md`."""
    parts = [_HEAD]
    for name, record in TABLES.items():
        docs, hints = field_docs(record), typing.get_type_hints(record)
        parts += [f"## {name}\n", f"{inspect.getdoc(record)}\n", "| column | type | meaning |"]
        parts.append("|---|---|---|")
        for field in dataclasses.fields(record):
            hint = hints[field.name]
            kind = getattr(hint, "__name__", str(hint)).replace(" | None", "?")
            kind = {"dict": "map of text", "str": "text", "str?": "text?"}.get(kind, kind)
            doc = docs.get(field.name, "the clip" if field.name == "clip_id" else "its source")
            parts.append(f"| `{field.name}` | {kind.replace('|', '/')} | {doc} |")
        parts.append("")
    parts += [
        _reasons("Why an input, a render, a captioning or a tokenization failed", INPUT_REASONS)
    ]
    parts += [_reasons("Why a clip was filtered", FILTER_REASONS)]
    bounds = "\n".join(f"| `{n}` | {x.low or '–'} | {x.high or '–'} |" for n, x in LIMITS.items())
    parts.append(
        f"## What a policy can bound\n\n| value | below | above |\n|---|---|---|\n{bounds}\n"
    )
    return "\n".join(parts)


def _reasons(title: str, reasons: dict[str, str]) -> str:
    rows = "\n".join(f"| `{name}` | {words} |" for name, words in reasons.items())
    return f"## {title}\n\n| reason | meaning |\n|---|---|\n{rows}\n"


def cli() -> str:
    """`cli.md`, as the command line describes itself; options of all commands are said once."""
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    context = typer.Context(group, info_name="reelmill")
    page = get_docs_for_click(obj=group, ctx=context, name="reelmill", title="Command line")
    page = "\n".join(line for line in page.splitlines() if not line.startswith(_OF_ALL))
    page = re.sub(r"(?<=\n)Examples?:\n\n((?:reelmill .*\n+)+)", _code_block, page)
    head, _, rest = page.partition("**Commands**:\n\n")
    lines, _, sections = rest.partition("\n\n")
    by_name = {line.split("`")[1]: line for line in lines.splitlines()}
    groups: dict[str, list[str]] = {}
    for name, info in commands().items():
        first = name.partition(" ")[0]
        if first in by_name:
            groups.setdefault(info.group, []).append(by_name.pop(first))
    listed = "".join(
        f"**{group}**:\n\n" + "\n".join(rows) + "\n\n" for group, rows in groups.items()
    )
    return f"{head}{_CLI_OPTIONS}\n{listed}{sections.strip()}\n"


_OF_ALL = ("* `--json`", "* `-q, --quiet`", "* `-v, --verbose`", "* `--help`", "* `-h, --help`")
_CLI_OPTIONS = """\
Every command takes `--json` (results as JSON, one object a line, with the fields that a table
shows and more), `-q, --quiet` (results and errors alone), `-v, --verbose` (all inputs that failed,
not the first five, and where an error was raised) and `-h, --help`. With `--json` nothing else goes
to standard output: the words of a job go to standard error. Tables are as wide as they need in
pipes and files. A pipe that its reader closes is no failure: what only prints ends with 0, and a
job goes on.
"""


def _code_block(match: re.Match[str]) -> str:
    examples = "\n".join(line for line in match[1].splitlines() if line)
    return f"```bash\n{examples}\n```\n\n"


_API_ORDER = [
    "curate", *STEPS, "open", "Output", "load_tokenizer", "FrameTokenizer", "TokenFeed",
    "ReelmillError",
]  # fmt: skip


def api() -> str:
    """`api.md`: each name of `reelmill` with its signature and its docstring."""
    parts = ["# Python\n", _doc(reelmill)]
    for name in sorted(reelmill.__all__, key=_API_ORDER.index):
        parts += _entry(f"reelmill.{name}", getattr(reelmill, name))
    return "\n".join(parts).replace("\n\n\n", "\n\n").rstrip() + "\n"


def _entry(name: str, value: Any) -> list[str]:
    if not inspect.isclass(value):
        return [f"## {name}\n", f"```\n{_signature(name, value)}\n```\n", _doc(value)]
    parts = [f"## {name}\n", _doc(value)]
    constructor = vars(value).get("__init__")
    if constructor is not None and constructor.__doc__:
        parts += [f"```\n{_signature(value.__name__, constructor)}\n```\n", _doc(constructor)]
    if value.__module__.startswith("pipelines.reelmill"):
        for member, function in vars(value).items():
            if not member.startswith("_") and inspect.isfunction(function):
                signature = _signature(f"{value.__name__}.{member}", function)
                parts += [f"```\n{signature}\n```\n", _doc(function)]
    return parts


def _signature(name: str, function: Any) -> str:
    words = []
    for parameter in inspect.signature(function).parameters.values():
        default = parameter.default
        if parameter.name == "self":
            continue
        if parameter.kind is parameter.VAR_KEYWORD:
            words.append(f"**{parameter.name}")
        elif default is parameter.empty:
            words.append(parameter.name)
        else:
            words.append(f"{parameter.name}={'…' if callable(default) else repr(default)}")
    return f"{name}({', '.join(words)})"


def _doc(value: Any) -> str:
    """The docstring, with its indented examples fenced."""
    lines, fenced = [], False
    for line in (inspect.getdoc(value) or "").split("\n"):
        if line.startswith("    ") != fenced and line:
            blank = lines.pop() if fenced and not lines[-1] else None
            lines.append("```" if fenced else "```python")
            lines += [] if blank is None else [blank]
            fenced = not fenced
        lines.append(line.removeprefix("    ") if fenced else line)
    return "\n".join([*lines, "```"] if fenced else lines) + "\n"


PAGES = {"tables.md": tables, "cli.md": cli, "api.md": api}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")
