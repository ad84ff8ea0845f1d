"""`reelmill why`: everything that decided about one clip."""

from __future__ import annotations

import json
import math
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from curation.dataset import Dataset
from curation.reasons import CLIP_REASONS
from curation.select.filter import breaches, label_breaches, listed, numbers, rules_of
from curation.select.policy import FILTER_REASONS, LIMITS, Policy, Range
from curation.select.tags import TAGS, Words
from pipelines import config
from pipelines.cli import terminal


def why(
    out: Annotated[str, typer.Argument(help="The output folder or s3:// address.")],
    clip: Annotated[str, typer.Argument(help="The clip's id or its beginning.")],
) -> None:
    """Explain one clip: its verdict, every rule that it breaks, and what was measured."""
    dataset = terminal.opened(out)
    row = _row(dataset, clip)
    terminal.console.print(
        f"[bold]{row['clip_id'][0].as_py()}[/]  {escape(row['uri'][0].as_py())}  "
        f"{row['start_s'][0].as_py():.2f}–{row['end_s'][0].as_py():.2f} s"
    )
    selection_id = dataset.latest_selection()
    if selection_id is None:
        terminal.console.print("no selection yet: `reelmill select` makes one")
        policy = Policy()
    else:
        policy = _policy(dataset, selection_id)
        terminal.console.print(_verdict({n: row[n][0].as_py() for n in _VERDICT}))
    _print_rules(dataset, policy, row)


_VERDICT = ("clip_id", "verdict", "reason", "duplicate_of", "similarity")


def _row(dataset: Dataset, beginning: str) -> Any:
    """The one clip whose id begins so, with scores and verdict; a table of one row."""
    clips = dataset.clips()
    ids = clips["clip_id"].to_pylist()
    found = [place for place, name in enumerate(ids) if beginning and name.startswith(beginning)]
    if len(found) != 1:
        some = ", ".join(ids[place][:12] for place in found[:5])
        words = f"{len(found)} clips begin so: {some} …" if found else "there is no such clip"
        raise typer.BadParameter(f"{beginning}: {words}")
    return clips.slice(found[0], 1)


def _policy(dataset: Dataset, selection_id: str) -> Policy:
    """The policy of a selection, as its run recorded it."""
    for run in reversed(dataset.runs().to_pylist()):
        if run["step"] == "select" and run["result"] == selection_id:
            return config.recorded_policy(json.loads(run["config"]))
    return Policy()


def _verdict(row: dict[str, Any]) -> str:
    verdict = row["verdict"]
    if verdict is None:
        return "[yellow]no verdict[/]: it came after the newest selection"
    if verdict == "kept":
        return "[green]kept[/]"
    sentence = {**CLIP_REASONS, **FILTER_REASONS}.get(row["reason"], "")
    words = f"[red]{verdict}[/]: {row['reason']}. {sentence}"
    if row["duplicate_of"]:
        words += f" It is {row['duplicate_of']}, similarity {row['similarity']:.3f}."
    return words


def _print_rules(dataset: Dataset, policy: Policy, row: Any) -> None:
    """Every value and tag, what is asked of it, and whether it passes."""
    ids = row["clip_id"].to_pylist()
    for use, beginnings in (("keep", policy.include), ("leave out", policy.exclude)):
        if listed(beginnings, ids).any():
            terminal.console.print(f"it is on the list of clips to {use}")
    for breach in label_breaches(dataset, policy, ids):
        if breach is not None:
            said = f"labels: {breach.value}; wanted: {breach.wanted}"
            terminal.console.print(f"{escape(said)}  [red]{breach.reason}[/]")
    (rules,) = [rules for part, rules in rules_of(dataset, policy, row) if part.any()]
    values = {name: float(found[0]) for name, found in numbers(row).items()}
    words = {name: row[name][0].as_py() for name in TAGS}
    broken = {breach.column: breach for breach in breaches(rules, values, words)}
    table = Table(box=None, pad_edge=False)
    for name, justify in (("", "left"), ("measured", "right"), ("wanted", "left"), ("", "left")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for name, value in values.items():
        if not math.isnan(value):
            wanted = _bounds(rules.limits.get(name, Range()))
            table.add_row(name, f"{value:.5g}", wanted, _mark(name, broken, wanted))
    for name, word in words.items():
        if word is not None:
            wanted = _words(rules.tags.get(name, Words()))
            table.add_row(name, word, wanted, _mark(name, broken, wanted))
    terminal.console.print(table)


def _mark(name: str, broken: dict[str, Any], wanted: str) -> str:
    if name in broken:
        return f"[red]{broken[name].reason}[/]"
    return "[green]passes[/]" if wanted else f"[dim]{_about(name)}[/]"


def _about(name: str) -> str:
    return LIMITS[name].about if name in LIMITS else TAGS[name].about


def _words(words: Words) -> str:
    parts = [f"one of {', '.join(words.allow)}"] if words.allow is not None else []
    return " and ".join([*parts, *([f"none of {', '.join(words.deny)}"] if words.deny else [])])


def _bounds(bounds: Range) -> str:
    sides = (("at least", bounds.min), ("at most", bounds.max))
    return ", ".join(f"{word} {bound:g}" for word, bound in sides if bound is not None)
