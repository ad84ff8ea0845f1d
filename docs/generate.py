"""Writes `tables.md`, `cli.md` and `api.md` from the code: `make docs`."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
import typing
from pathlib import Path
from typing import Any

import reelmill
import typer
from typer.cli import get_docs_for_click
from typer.core import MARKUP_MODE_KEY, TyperGroup
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
from curation.steps import STEPS
from pipelines.cli.app import app
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
    "thumbnails": Thumbnail,
    "signatures": Signature,
    "neighbours/copies": Neighbour,
    "selection": Verdict,
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
    """`cli.md`, as the command line describes itself, with the whole first sentence of each."""
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    _keep_whole_sentences(group)
    context = typer.Context(group, info_name="reelmill", obj={MARKUP_MODE_KEY: "rich"})
    page = get_docs_for_click(obj=group, ctx=context, name="reelmill", title="Command line")
    return f"{page.strip()}\n"


def _keep_whole_sentences(group: TyperGroup) -> None:
    """Gives each command a short help, which is not truncated: the first paragraph of its help."""
    for command in group.commands.values():
        paragraph = inspect.cleandoc(command.help or "").split("\n\n")[0]
        command.short_help = command.short_help or " ".join(paragraph.split())
        if isinstance(command, TyperGroup):
            _keep_whole_sentences(command)


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
