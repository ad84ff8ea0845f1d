"""`reelmill index` and `reelmill search`: finding scenarios in what was curated."""

from __future__ import annotations

import shlex
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import pyarrow as pa
import typer
from rich.markup import escape
from rich.table import Table

from pipelines.cli import terminal
from pipelines.report.formatting import base_name, clock
from pipelines.run.pipeline import NothingToDoError

if TYPE_CHECKING:
    from curation.search import Search

_CAPTION = 60
_ID = 12

Out = Annotated[str, typer.Argument(help="The output folder or s3:// address.")]


def index(
    out: Out,
    captions: Annotated[
        bool,
        typer.Option(
            "--captions",
            help="Embed the newest captions by MiniLM first, so that a search knows what they mean;"
            " needs the extra `text`.",
        ),
    ] = False,
) -> None:
    """Make the search index of an output, or take in what is new; `search` does so by itself."""
    if captions:
        from curation.embed import embed_captions

        terminal.console.print(f"captions: {escape(embed_captions(terminal.opened(out)))}")
    search = _opened(out)
    manifest, updated = search.index.manifest, search.updated
    if updated is not None and updated.rebuilt:
        terminal.console.print(f"[yellow]made anew[/]: {escape(updated.rebuilt)}")
    new = 0 if updated is None else updated.new_clips
    words = 0 if manifest.words is None else manifest.words.clips
    terminal.console.print(
        f"index {search.version}: {manifest.rows:,} clips, {new:,} of them new,"
        f" {words:,} with words"
    )
    table = Table("vectors", box=None, pad_edge=False)
    for name in ("count", "dim", "segments", "lists", "probes", "recall@10", "p50 ms", "empty"):
        table.add_column(name, justify="right")
    for name, said in manifest.vectors.items():
        tuning = said.tuning
        told = ["all", "–", "1 (exact)", "–"]
        if tuning is not None:
            told = [
                str(tuning.lists),
                str(tuning.probes),
                f"{tuning.recall:.3f}",
                str(tuning.p50_ms),
            ]
        cells = (f"{said.count:,}", str(said.dim), str(len(said.segments)), *told, str(said.empty))
        table.add_row(escape(name), *cells)
    if manifest.vectors:
        terminal.console.print(table)


def search(
    out: Out,
    text: Annotated[str | None, typer.Argument(help="What to look for, in words.")] = None,
    *,
    top: Annotated[int, typer.Option(help="How many hits.")] = 20,
    where: Annotated[
        str | None, typer.Option(help="SQL condition, as: duration_s > 3 and camera != 'static'.")
    ] = None,
    like: Annotated[
        list[str] | None,
        typer.Option(
            help="Example: clip id, picture, video.mp4 or video.mp4#3.5-7. May be given again."
        ),
    ] = None,
    minus: Annotated[
        list[str] | None, typer.Option(help="What hits shall not be like. May be given again.")
    ] = None,
    min_score: Annotated[float | None, typer.Option(help="Leave out hits below this.")] = None,
    by: Annotated[
        Literal["auto", "words", "vectors", "both"],
        typer.Option(help="Look words up in captions, among vectors, or both."),
    ] = "auto",
    embeddings: Annotated[
        str | None, typer.Option(help="Table of embeddings, where there are several.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="open_clip model that made them, where no run says it.")
    ] = None,
    duplicates: Annotated[bool, typer.Option(help="Show near-duplicates too.")] = False,
    after: Annotated[str | None, typer.Option(help="The cursor of the page before.")] = None,
    export: Annotated[
        str | None,
        typer.Option(help="Keep the hits as a subset of this name, or in a file NAME.parquet too."),
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Show the hits in a browser.")] = False,
) -> None:
    """Find clips by words, by example, by a condition, or by all of these."""
    from curation.search import SearchError, cursor

    opened = _opened(out, model)
    try:
        hits = opened.query(
            text, like=like or (), minus=minus or (), where=where, k=top, after=after,
            min_score=min_score, by=by, embeddings=embeddings, collapse=not duplicates,
        )  # fmt: skip
    except SearchError as error:
        raise NothingToDoError(str(error)) from error
    terminal.console.print(_table(hits) if hits.num_rows else "nothing fits")
    if more := cursor(hits):
        terminal.console.print(f"more: --after {more}")
    if export is not None:
        _export(opened, export, hits, out)
    if open_:
        _open(opened, hits, text or where or "by example")


def _opened(out: str, model: str | None = None) -> Search:
    from curation.search import Search

    terminal.opened(out)
    with terminal.console.status("reading tables") as status:
        try:
            return Search(out, model=model, watch=status.update)
        except ValueError as error:
            raise NothingToDoError(str(error)) from error


def _table(hits: pa.Table) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("score", justify="right")
    judged = "verdict" in hits.column_names
    for name in ("clip", "source", "span", *(["verdict"] if judged else []), "caption"):
        table.add_column(name)
    for hit in hits.to_pylist():
        caption = hit["caption"] or ""
        shown = caption if len(caption) <= _CAPTION else caption[: _CAPTION - 1] + "…"
        table.add_row(
            "" if hit["score"] is None else f"{hit['score']:.3f}",
            hit["clip_id"][:_ID],
            escape(base_name(hit["uri"])),
            f"{clock(hit['start_s'])}–{clock(hit['end_s'])}",
            *([hit["verdict"] or "–"] if judged else []),
            escape(shown),
        )
    return table


def _export(opened: Search, name: str, hits: pa.Table, out: str) -> None:
    try:
        subset_id = opened.export(name, hits)
    except ValueError as error:
        raise NothingToDoError(str(error)) from error
    if "verdict" in hits.column_names:
        others = Counter(word or "newer" for word in hits["verdict"].to_pylist() if word != "kept")
        if others:
            terminal.console.print(
                f"[yellow]not kept by the newest selection[/]: {terminal.said(others)};"
                """ --where "verdict = 'kept'" leaves them out"""
            )
    terminal.console.print(f"subset {subset_id}: {hits.num_rows:,} clips as {escape(name)}")
    words = shlex.join([out, "--selection", name])
    terminal.console.print(f"next: reelmill render {escape(words)}")


def _open(opened: Search, hits: pa.Table, title: str) -> None:
    from pipelines.report.hits import write_hits

    folder = opened.index.folder.root
    path: Path = write_hits(opened.dataset, hits, title, folder / "hits.html")
    terminal.console.print(f"contact sheet: {escape(str(path))}")
    typer.launch(path.as_uri())
