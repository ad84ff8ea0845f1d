"""`reelmill keep`, `reelmill drop` and `reelmill reviews`: what people decide by hand."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from curation.output_location import check_writable
from curation.select.reviews import Decision, current_reviews, review_clips
from pipelines.cli import terminal
from pipelines.cli.clip_names import find_named
from pipelines.cli.options import Out
from pipelines.cli.places import local_path, open_output
from pipelines.cli.rows import Column, Row, print_result, print_rows, short_id, shorten
from pipelines.cli.terminal import count

Clips = Annotated[
    list[str],
    typer.Argument(help="Clip ids or their first digits, or names of files for all their clips."),
]
Undo = Annotated[bool, typer.Option("--undo", help="Withdraw what was decided by hand before.")]
Note = Annotated[str | None, typer.Option(help="Why, in a few words.")]
By = Annotated[str | None, typer.Option(help="Who decides; the user's name if left out.")]


def keep(out: Out, clips: Clips, *, undo: Undo = False, note: Note = None, by: By = None) -> None:
    """Stores the decisions and says how many."""
    _decide(out, clips, "undo" if undo else "keep", note, by)


def drop(out: Out, clips: Clips, *, undo: Undo = False, note: Note = None, by: By = None) -> None:
    """Stores the decisions and says how many."""
    _decide(out, clips, "undo" if undo else "drop", note, by)


def reviews(
    out: Out,
    fiftyone: Annotated[
        Path | None,
        typer.Option(
            help="Store the tags keep and drop of a samples.json, or of its folder, first.",
            parser=local_path,
        ),
    ] = None,
    by: By = None,
) -> None:
    """Prints the decisions that count, the oldest first."""
    dataset = open_output(out)
    if fiftyone is not None:
        from tokenizer.export.fiftyone import read_decisions

        check_writable(dataset.catalog.storage)
        review_clips(dataset.catalog, read_decisions(fiftyone), by or _user(), "FiftyOne")
    decided = current_reviews(dataset.catalog).values()
    print_rows(map(asdict, decided), _COLUMNS, empty="nothing was decided by hand")


def _decide(
    out: str, names: Iterable[str], decision: Decision, note: str | None, by: str | None
) -> None:
    dataset = open_output(out)
    check_writable(dataset.catalog.storage)
    conditions = [find_named(dataset, name).clips() for name in names]
    ids: list[str] = []
    for condition in conditions:
        ids += dataset.clips(where=condition)["clip_id"].to_pylist()
    ids = list(dict.fromkeys(ids))
    review_clips(dataset.catalog, dict.fromkeys(ids, decision), by or _user(), note)
    words = {"keep": "kept by hand", "drop": "dropped by hand", "undo": "undecided again"}
    print_result(
        {"decision": decision, "clips": ids}, f"{count(len(ids), 'clip')} {words[decision]}"
    )
    terminal.console.print("it counts from the next selection on: reelmill select")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no entry in the password file, as in some containers
        return f"uid {os.getuid()}"


def _colour(row: Row) -> str:
    return "green" if row["decision"] == "keep" else "red"


_COLUMNS = (
    Column("clip_id", "clip", short_id),
    Column("decision", style=_colour),
    Column("by"),
    Column("at", show=lambda time: time[:16].replace("T", " ")),
    Column("note", show=shorten),
)
