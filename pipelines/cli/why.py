"""`reelmill why`: everything that decided about one clip."""

from __future__ import annotations

import json
import math
from typing import Annotated, Any

import pyarrow as pa
import typer
from rich.table import Table

from curation.dataset import Dataset
from curation.reasons import CLIP_REASONS
from curation.select.filter import (
    filter_values,
    label_violations,
    match_prefixes,
    policies_by_source,
    violations,
)
from curation.select.policy import FILTER_REASONS, LIMITS, TAGS, CategoryRule, Policy, Range
from pipelines import config
from pipelines.cli import terminal
from pipelines.cli.options import Out
from pipelines.cli.terminal import escape


def why(
    out: Out,
    clip: Annotated[str, typer.Argument(help="The clip's id or its first digits.")],
) -> None:
    """Explain one clip: its verdict, every rule that it breaks, and what was measured."""
    dataset = terminal.open_output(out)
    clips = _one_clip(dataset, clip)
    (row,) = clips.to_pylist()
    terminal.console.print(
        f"[bold]{row['clip_id']}[/]  {escape(row['uri'])}  "
        f"{row['start_s']:.2f}–{row['end_s']:.2f} s"
    )
    selection_id = dataset.latest_selection()
    if selection_id is None:
        terminal.console.print("no selection yet: `reelmill select` makes one")
        policy = Policy()
    else:
        policy = _recorded_policy(dataset, selection_id)
        terminal.console.print(_verdict_text(row))
    _print_rules(dataset, policy, clips)


def _one_clip(dataset: Dataset, prefix: str) -> pa.Table:
    """The one row, with scores and verdict, of the clip whose id begins so."""
    clips = dataset.clips()
    ids = clips["clip_id"].to_pylist()
    matches = [row for row, name in enumerate(ids) if prefix and name.startswith(prefix)]
    if not matches:
        raise typer.BadParameter(f"{prefix}: there is no such clip")
    if len(matches) > 1:
        some = ", ".join(ids[row][:12] for row in matches[:5])
        raise typer.BadParameter(f"{prefix}: {len(matches)} clips begin so: {some} …")
    return clips.slice(matches[0], 1)


def _recorded_policy(dataset: Dataset, selection_id: str) -> Policy:
    for run in reversed(dataset.runs().to_pylist()):
        if run["step"] == "select" and run["result"] == selection_id:
            return config.recorded_policy(json.loads(run["config"]))
    return Policy()


def _verdict_text(row: dict[str, Any]) -> str:
    verdict = row["verdict"]
    if verdict is None:
        return "[yellow]no verdict[/]: it is newer than the newest selection"
    if verdict == "kept":
        return "[green]kept[/]"
    sentence = {**CLIP_REASONS, **FILTER_REASONS}.get(row["reason"], "")
    text = f"[red]{verdict}[/]: {row['reason']}. {sentence}"
    if row["duplicate_of"]:
        text += f" It is {row['duplicate_of']}, similarity {row['similarity']:.3f}."
    return text


def _print_rules(dataset: Dataset, policy: Policy, clips: pa.Table) -> None:
    """Prints every value and tag of one clip, its rule, and whether the clip passes."""
    ids = clips["clip_id"].to_pylist()
    for use, prefixes in (("keep", policy.include), ("leave out", policy.exclude)):
        if match_prefixes(prefixes, ids).any():
            terminal.console.print(f"it is on the list of clips to {use}")
    for violation in label_violations(dataset, policy, ids):
        if violation is not None:
            text = escape(f"labels: {violation.value}; required: {violation.expected}")
            terminal.console.print(f"{text}  [red]{violation.reason}[/]")
    (rules,) = [rules for group, rules in policies_by_source(dataset, policy, clips) if group.any()]
    values = {name: float(column[0]) for name, column in filter_values(clips).items()}
    categories = {name: clips[name][0].as_py() for name in TAGS}
    reasons = {v.column: v.reason for v in violations(rules, values, categories)}
    table = Table(box=None, pad_edge=False)
    table.add_column()
    table.add_column("measured", justify="right")
    table.add_column("required")
    table.add_column()

    def add_row(name: str, value: str, required: str, about: str) -> None:
        result = "[green]passes[/]" if required else f"[dim]{about}[/]"
        if name in reasons:
            result = f"[red]{reasons[name]}[/]"
        table.add_row(name, value, required, result)

    for name, value in values.items():
        if not math.isnan(value):
            bounds = _bounds_text(rules.limits.get(name, Range()))
            add_row(name, f"{value:.5g}", bounds, LIMITS[name].about)
    for name, category in categories.items():
        if category is not None:
            rule = _category_text(rules.tags.get(name, CategoryRule()))
            add_row(name, category, rule, TAGS[name].about)
    terminal.console.print(table)


def _category_text(rule: CategoryRule) -> str:
    parts = [f"one of {', '.join(rule.allow)}"] if rule.allow is not None else []
    return " and ".join([*parts, *([f"none of {', '.join(rule.deny)}"] if rule.deny else [])])


def _bounds_text(bounds: Range) -> str:
    sides = (("at least", bounds.min), ("at most", bounds.max))
    return ", ".join(f"{words} {bound:g}" for words, bound in sides if bound is not None)
