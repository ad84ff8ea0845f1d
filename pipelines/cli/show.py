"""`reelmill show`: where everything of a clip lies, or what became of a file."""

from __future__ import annotations

from typing import Annotated, Any

import pyarrow.compute as pc
import typer

from curation import lineage
from curation.dataset import Dataset
from curation.lineage import LineageError
from curation.pending_inputs import times_listed
from curation.reasons import ADVICE
from curation.records import CaptionedClip, Clip, Render, Source, TokenizedClip
from pipelines.cli import terminal
from pipelines.cli.clip_names import find_named
from pipelines.cli.options import Out
from pipelines.cli.places import open_output
from pipelines.cli.rows import print_objects
from pipelines.cli.terminal import escape

_MADE = (("captions", CaptionedClip), ("tokens", TokenizedClip))


def show(
    out: Out,
    what: Annotated[
        str, typer.Argument(help="The clip's id or its first digits, or the name of a file.")
    ],
) -> None:
    """Prints one thing a line."""
    dataset = open_output(out).snapshot()
    named = find_named(dataset, what)
    if named.uri:
        found = dataset.catalog.read("sources", Source, where=pc.field("uri") == named.uri)
        listed = times_listed(dataset.catalog, named.uri)
        facts = [
            _source_facts(dataset, row, listed.get((row["size_bytes"], row["modified"])))
            for row in found.to_pylist(maps_as_pydicts="lossy")
        ]
        facts.sort(key=lambda fact: fact["listed"] or "")  # of a replaced file the last one counts
    else:
        clips = dataset.clips(where=named.clips()).to_pylist()
        facts = [_clip_facts(dataset, row) for row in clips]
    if terminal.output.json_lines:
        print_objects(facts)
        return
    for number, fact in enumerate(facts):
        if number:
            terminal.results.print()
        width = max(map(len, fact))
        for name, value in fact.items():
            if value is not None:
                terminal.results.print(f"[bold]{name:<{width}}[/]  {escape(_text(value))}")


def _source_facts(dataset: Dataset, row: dict[str, Any], listed: str | None) -> dict[str, Any]:
    fields = ("uri", "outcome", "reason", "detail")
    facts = {name: row[name] for name in fields}
    if row["reason"] is not None:
        facts["what to do"] = ADVICE[row["reason"]]
    named = {*fields, "clips"}
    facts |= {name: value for name, value in row.items() if name not in named}
    facts["listed"] = listed
    if row["outcome"] == "scanned":
        is_of_source = pc.field("source_id") == row["source_id"]
        columns = ["clip_id", "start_frame"]
        of_source = dataset.catalog.read("clips", Clip, columns, is_of_source)
        facts["clips"] = of_source.sort_by("start_frame")["clip_id"].to_pylist()
    return facts


def _clip_facts(dataset: Dataset, clip: dict[str, Any]) -> dict[str, Any]:
    """Addresses and outcomes; the scores are what `why` shows."""
    catalog, selection_id = dataset.catalog, dataset.latest_selection()
    facts: dict[str, Any] = {
        name: clip[name]
        for name in ("clip_id", "uri", "start_s", "end_s", "start_frame", "end_frame")
    }
    facts |= {name: clip.get(name) for name in ("verdict", "reason", "duplicate_of", "licence")}
    where = pc.field("clip_id") == clip["clip_id"]
    if renders := lineage.current_renders(catalog, selection_id):
        for row in catalog.read(renders, Render, where=where).to_pylist():
            names = ("outcome", "reason", "mode", "width", "height", "fps", "frames", "size_bytes")
            facts |= {"renders": renders, "path": clip["path"]}
            facts |= {f"render_{name}": row[name] for name in names}
    for kind, record in _MADE:
        try:
            table = lineage.resolve_table(catalog, kind, None, selection_id)
        except LineageError:
            continue
        marker = lineage.marker_table(table)
        for row in catalog.read(marker, record, where=where).to_pylist():
            facts |= {kind: catalog.storage.uri(table), f"{kind}_outcome": row["outcome"]}
            facts |= {f"{kind}_reason": row["reason"], f"{kind}_windows": row["windows"]}
    return {**facts, "caption": clip["caption"]}


def _text(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{name}={item}" for name, item in value.items())
    return f"{value:.6g}" if isinstance(value, float) else str(value)
