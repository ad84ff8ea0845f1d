"""`reelmill index` and `reelmill search`: finding clips in an output."""

from __future__ import annotations

import shlex
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import pyarrow as pa
import typer
from rich.table import Table

from pipelines.cli import terminal
from pipelines.cli.exit import usage_errors
from pipelines.cli.options import Out
from pipelines.cli.terminal import escape
from pipelines.report.formatting import base_name, clock

if TYPE_CHECKING:
    from curation.search import Search

_MAX_CAPTION = 60
_ID_DIGITS = 12


def index(
    out: Out,
    captions: Annotated[
        bool,
        typer.Option(
            "--captions",
            help="Embed the newest captions with MiniLM first, so that a search matches their"
            " meaning; needs the extra `text`.",
        ),
    ] = False,
) -> None:
    """Build or update the search index of an output; `search` does so by itself."""
    if captions:
        from curation.embed import embed_captions

        terminal.console.print(f"captions: {escape(embed_captions(terminal.open_output(out)))}")
    search = _open_search(out)
    manifest, updated = search.index.manifest, search.last_update
    if updated is not None and updated.rebuild_reason:
        terminal.console.print(f"[yellow]rebuilt[/]: {escape(updated.rebuild_reason)}")
    num_new = 0 if updated is None else updated.new_clips
    num_text = 0 if manifest.text is None else manifest.text.clips
    terminal.console.print(
        f"index {search.version}: {manifest.rows:,} clips, {num_new:,} of them new,"
        f" {num_text:,} with words"
    )
    table = Table("vectors", box=None, pad_edge=False)
    for name in ("count", "dim", "segments", "lists", "probes", "recall@10", "p50 ms", "empty"):
        table.add_column(name, justify="right")
    for name, vectors in manifest.vectors.items():
        ivf = ["all", "–", "1 (exact)", "–"]
        if tuning := vectors.tuning:
            ivf = [
                str(tuning.lists), str(tuning.probes), f"{tuning.recall:.3f}", str(tuning.p50_ms)
            ]  # fmt: skip
        sizes = (f"{vectors.count:,}", str(vectors.dim), str(len(vectors.segments)))
        table.add_row(escape(name), *sizes, *ivf, str(vectors.empty))
    if manifest.vectors:
        terminal.console.print(table)


def search(
    out: Out,
    text: Annotated[str | None, typer.Argument(help="A description of the clips.")] = None,
    *,
    top: Annotated[int, typer.Option(help="The number of hits.")] = 20,
    where: Annotated[
        str | None,
        typer.Option(help="An SQL condition, such as: duration_s > 3 and camera != 'static'."),
    ] = None,
    like: Annotated[
        list[str] | None,
        typer.Option(
            help="An example: clip id, picture, video.mp4 or video.mp4#3.5-7. May be given again."
        ),
    ] = None,
    minus: Annotated[
        list[str] | None, typer.Option(help="An example of what to avoid. May be given again.")
    ] = None,
    min_score: Annotated[float | None, typer.Option(help="The lowest score of a hit.")] = None,
    by: Annotated[
        Literal["auto", "words", "vectors", "both"],
        typer.Option(help="Match the description with captions, with vectors, or with both."),
    ] = "auto",
    embeddings: Annotated[
        str | None, typer.Option(help="The table of embeddings, where there are several.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="The open_clip model of the embeddings, where no run records it."),
    ] = None,
    duplicates: Annotated[bool, typer.Option(help="Show near-duplicates too.")] = False,
    after: Annotated[str | None, typer.Option(help="The cursor of the previous page.")] = None,
    export: Annotated[
        str | None,
        typer.Option(
            help="Save the hits as a subset of this name, or also as a file NAME.parquet."
        ),
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Show the hits in a browser.")] = False,
) -> None:
    """Find clips by a description, by example, by a condition, or by all of these."""
    from curation.search import cursor

    engine = _open_search(out, model)
    hits = engine.query(
        text, like=like or (), minus=minus or (), where=where, k=top, after=after,
        min_score=min_score, by=by, embeddings=embeddings, collapse=not duplicates,
    )  # fmt: skip
    terminal.console.print(_table(hits) if hits.num_rows else "no matches")
    if more := cursor(hits):
        terminal.console.print(f"more: --after {more}")
    if export is not None:
        _export(engine, export, hits, out)
    if open_:
        _open_sheet(engine, hits, text or where or "by example")


def _open_search(out: str, model: str | None = None) -> Search:
    from curation.search import Search

    terminal.open_output(out)
    with terminal.console.status("reading tables") as status, usage_errors(ValueError):
        return Search(out, model=model, on_progress=status.update)


def _table(hits: pa.Table) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("score", justify="right")
    is_selected = "verdict" in hits.column_names
    for name in ("clip", "source", "span", *(["verdict"] if is_selected else []), "caption"):
        table.add_column(name)
    for hit in hits.to_pylist():
        caption = hit["caption"] or ""
        shown = caption if len(caption) <= _MAX_CAPTION else caption[: _MAX_CAPTION - 1] + "…"
        table.add_row(
            "" if hit["score"] is None else f"{hit['score']:.3f}",
            hit["clip_id"][:_ID_DIGITS],
            escape(base_name(hit["uri"])),
            f"{clock(hit['start_s'])}–{clock(hit['end_s'])}",
            *([hit["verdict"] or "–"] if is_selected else []),
            escape(shown),
        )
    return table


def _export(engine: Search, name: str, hits: pa.Table, out: str) -> None:
    with usage_errors(ValueError):
        subset_id = engine.export(name, hits)
    if "verdict" in hits.column_names:
        verdicts = hits["verdict"].to_pylist()
        if others := Counter(verdict or "newer" for verdict in verdicts if verdict != "kept"):
            terminal.console.print(
                f"[yellow]not kept by the newest selection[/]: {terminal.format_counts(others)};"
                """ --where "verdict = 'kept'" leaves them out"""
            )
    terminal.console.print(f"subset {subset_id}: {hits.num_rows:,} clips as {escape(name)}")
    arguments = shlex.join([out, "--selection", name])
    terminal.console.print(f"next: reelmill render {escape(arguments)}")


def _open_sheet(engine: Search, hits: pa.Table, title: str) -> None:
    from pipelines.report.hits import write_hits

    folder = engine.index.store.root
    path: Path = write_hits(engine.dataset, hits, title, folder / "hits.html")
    terminal.console.print(f"contact sheet: {escape(str(path))}")
    typer.launch(path.as_uri())
