"""`reelmill why`: everything that decided about a clip."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Annotated, Any

import pyarrow as pa
import typer

from curation.dataset import Dataset
from curation.reasons import CLIP_REASONS
from curation.records import Review
from curation.select.filter import (
    filter_values,
    label_violation,
    match_prefixes,
    policies_by_source,
    violations,
)
from curation.select.policy import FILTER_REASONS, LIMITS, TAGS, CategoryRule, Policy, Range
from curation.select.reviews import current_reviews
from pipelines import config
from pipelines.cli import terminal
from pipelines.cli.clip_names import find_named
from pipelines.cli.options import Out
from pipelines.cli.picture import print_thumbnail
from pipelines.cli.places import open_output
from pipelines.cli.rows import Column, Row, print_objects, print_rows
from pipelines.cli.terminal import escape


def why(
    out: Out,
    clip: Annotated[
        str,
        typer.Argument(
            help="The clip's id or its first digits, or the name of a file for all its clips."
        ),
    ],
) -> None:
    """Prints the verdict and the rules of each clip."""
    dataset = open_output(out).snapshot()
    clips = dataset.scored_clips(where=find_named(dataset, clip).clips())
    selection_id = dataset.latest_selection()
    policy = Policy() if selection_id is None else _recorded_policy(dataset, selection_id)
    for index in range(clips.num_rows):
        _explain(dataset, policy, clips.slice(index, 1), is_selected=selection_id is not None)


def _explain(dataset: Dataset, policy: Policy, clips: pa.Table, *, is_selected: bool) -> None:
    """Prints all that decided about one clip."""
    (row,) = clips.to_pylist()
    rules = _rules(dataset, policy, clips)
    review = current_reviews(dataset.catalog, row["clip_id"]).get(row["clip_id"])
    if terminal.output.json_lines:
        names = ("clip_id", "uri", "start_s", "end_s")
        decided = ("verdict", "reason", "duplicate_of", "similarity")
        facts = {name: row[name] for name in names} | {name: row.get(name) for name in decided}
        facts["review"] = None if review is None else asdict(review)
        print_objects([{**facts, "listed": _lists(policy, row["clip_id"]), "rules": rules}])
        return
    terminal.results.print(
        f"[bold]{row['clip_id']}[/]  {escape(row['uri'])}  "
        f"{row['start_s']:.2f}–{row['end_s']:.2f} s"
    )
    print_thumbnail(dataset, row["clip_id"])
    verdict = _verdict_text(row) if is_selected else "no selection yet: `reelmill select` makes one"
    terminal.results.print(verdict)
    if review is not None:
        terminal.results.print(escape(_review_text(review)))
    for use in _lists(policy, row["clip_id"]):
        terminal.results.print(f"it is on the list of clips to {use}")
    print_rows(rules, _COLUMNS)


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


def _review_text(review: Review) -> str:
    word = {"keep": "kept", "drop": "dropped"}[review.decision]
    note = f": {review.note}" if review.note else ""
    time = review.at[:16].replace("T", " ")
    return f"{word} by hand, by {review.by} at {time} UTC{note}; select applies it"


def _lists(policy: Policy, clip_id: str) -> list[str]:
    """The lists of the policy that name the clip, by what they are for."""
    lists = (("keep", policy.include), ("leave out", policy.exclude))
    return [use for use, prefixes in lists if match_prefixes(prefixes, pa.array([clip_id])).any()]


def _rules(dataset: Dataset, policy: Policy, clips: pa.Table) -> list[dict[str, Any]]:
    """Every value and tag of one clip, what is required of it, and the reason that it breaks."""
    (rules,) = [rules for rows, rules in policies_by_source(dataset, policy, clips) if len(rows)]
    values = {name: float(column[0]) for name, column in filter_values(clips).items()}
    categories = {name: clips[name][0].as_py() for name in TAGS}
    reasons = {v.column: v.reason for v in violations(rules, values, categories)}
    rows: list[dict[str, Any]] = []
    if violation := label_violation(dataset, policy, clips["clip_id"][0].as_py()):
        rows.append({"name": "labels", "value": violation.value, "about": "",
                     "required": violation.expected, "reason": violation.reason})  # fmt: skip
    for name, value in values.items():
        if not math.isnan(value):
            required = _bounds_text(rules.limits.get(name, Range()))
            rows.append({"name": name, "value": value, "required": required or None,
                         "reason": reasons.get(name), "about": LIMITS[name].about})  # fmt: skip
    for name, category in categories.items():
        if category is not None:
            required = _category_text(rules.tags.get(name, CategoryRule()))
            rows.append({"name": name, "value": category, "required": required or None,
                         "reason": reasons.get(name), "about": TAGS[name].about})  # fmt: skip
    return [{**row, "result": _result(row)} for row in rows]


def _result(row: Row) -> str:
    if row["reason"]:
        return str(row["reason"])
    return "passes" if row["required"] else ""


def _colour(row: Row) -> str | None:
    return "red" if row["reason"] else "green" if row["required"] else None


_COLUMNS = (
    Column("name", ""),
    Column("value", "measured", right=True),
    Column("required"),
    Column("result", "", style=_colour),
    Column("about", "", style=lambda _: "dim"),
)


def _category_text(rule: CategoryRule) -> str:
    parts = [f"one of {', '.join(rule.allow)}"] if rule.allow is not None else []
    return " and ".join([*parts, *([f"none of {', '.join(rule.deny)}"] if rule.deny else [])])


def _bounds_text(bounds: Range) -> str:
    sides = (("at least", bounds.min), ("at most", bounds.max))
    return ", ".join(f"{words} {bound:g}" for words, bound in sides if bound is not None)
