"""`reelmill index` and `reelmill search`: finding clips in an output."""

from __future__ import annotations

import shlex
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import pyarrow as pa
import typer

from pipelines.cli import terminal
from pipelines.cli.exit import usage_errors
from pipelines.cli.options import Out
from pipelines.cli.places import open_output
from pipelines.cli.rows import Column, print_line, print_rows, short_id, shorten
from pipelines.cli.terminal import escape
from pipelines.report.formatting import base_name, clock

if TYPE_CHECKING:
    from curation.search import Search

_HINT = "no clip was embedded by Things or OpenClip, which know what it shows: docs/embedders.md"
_INDEX = (
    Column("vectors"), *(Column(name, right=True) for name in ("count", "dim", "segments", "lists",
    "probes")), Column("recall", "recall@10", right=True), Column("p50_ms", "p50 ms", right=True),
    Column("empty", right=True),
)  # fmt: skip


_HITS = (
    Column("score", show=lambda score: "" if score is None else f"{score:.3f}", right=True),
    Column("clip_id", "clip", short_id),
    Column("uri", "source", base_name),
    Column("start_s", "from", clock, right=True),
    Column("end_s", "to", clock, right=True),
    Column("verdict", show=lambda verdict: verdict or "–"),
    Column("caption", show=shorten),
)


def index(
    out: Out,
    captions: Annotated[
        bool,
        typer.Option(
            "--captions",
            help="Embed the newest captions with MiniLM first, so that a search matches their"
            " meaning.",
        ),
    ] = False,
) -> None:
    """Brings the index up to date and prints what it holds."""
    if captions:
        from curation.embed import embed_captions

        table = embed_captions(open_output(out))
    search = _open_search(out)
    if captions:
        terminal.console.print(f"captions: {escape(table)}")
    manifest, updated = search.index.manifest, search.last_update
    if updated is not None and updated.rebuild_reason:
        terminal.console.print(f"[yellow]rebuilt[/]: {escape(updated.rebuild_reason)}")
    num_new = 0 if updated is None else updated.new_clips
    num_text = 0 if manifest.text is None else manifest.text.clips
    print_line(
        f"index {search.version}: {manifest.rows:,} clips, {num_new:,} of them new,"
        f" {num_text:,} with words"
    )
    rows = []
    for name, vectors in manifest.vectors.items():
        tuning = vectors.tuning
        rows.append({
            "vectors": name, "count": vectors.count, "dim": vectors.dim,
            "segments": len(vectors.segments), "lists": tuning.lists if tuning else "all",
            "probes": tuning.probes if tuning else None,
            "recall": tuning.recall if tuning else 1.0, "p50_ms": tuning.p50_ms if tuning else None,
            "empty": vectors.empty,
        })  # fmt: skip
    print_rows(rows, _INDEX)


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
        typer.Option(help="Match the description with words, with vectors, or with both."),
    ] = "auto",
    embeddings: Annotated[
        str | None, typer.Option(help="The table of embeddings, where there are several.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="The open_clip model of the embeddings, where no run records it."),
    ] = None,
    duplicates: Annotated[
        bool, typer.Option("--duplicates", help="Show near-duplicates too.")
    ] = False,
    after: Annotated[str | None, typer.Option(help="The cursor of the previous page.")] = None,
    export: Annotated[
        str | None,
        typer.Option(
            help="Save the hits as a subset of this name, or also as a file NAME.parquet."
        ),
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Show the hits in a browser.")] = False,
) -> None:
    """Prints the hits, the best first."""
    from curation.search import cursor, searched

    engine = _open_search(out, model)
    hits = engine.query(
        text, like=like or (), minus=minus or (), where=where, k=top, after=after,
        min_score=min_score, by=by, embeddings=embeddings, collapse=not duplicates,
    )  # fmt: skip
    subset_id = _export(engine, export, hits) if export is not None else ""
    print_rows(hits.to_pylist(), _HITS, empty="no matches")
    if names := searched(hits):
        terminal.console.print(f"searched: {', '.join(names)}")
        if text and names == ["words"] and by == "auto":
            terminal.console.print(f"[dim]{_HINT}[/]")
    if more := cursor(hits):
        terminal.console.print(f"more: --after {more}")
    if export is not None:
        _print_subset(subset_id, export, hits, out)
    if open_:
        _open_sheet(engine, hits, text or where or "by example")


def _open_search(out: str, model: str | None = None) -> Search:
    from curation.search import Search

    open_output(out)
    with terminal.console.status("reading tables") as status, usage_errors(ValueError):
        return Search(out, model=model, on_progress=status.update)


def _export(engine: Search, name: str, hits: pa.Table) -> str:
    """Saves the hits before anything is printed: whoever reads the list may stop."""
    with usage_errors(ValueError):
        return engine.export(name, hits)


def _print_subset(subset_id: str, name: str, hits: pa.Table, out: str) -> None:
    if "verdict" in hits.column_names:
        verdicts = hits["verdict"].to_pylist()
        if others := Counter(verdict or "newer" for verdict in verdicts if verdict != "kept"):
            terminal.console.print(
                f"[yellow]not kept by the newest selection[/]: {terminal.format_counts(others)};"
                """ --where "verdict = 'kept'" leaves them out"""
            )
    print_line(f"subset {subset_id}: {hits.num_rows:,} clips as {escape(name)}")
    arguments = shlex.join([out, "--selection", name])
    terminal.console.print(f"next: reelmill render {escape(arguments)}")


def _open_sheet(engine: Search, hits: pa.Table, title: str) -> None:
    from pipelines.report.hits import write_hits

    folder = engine.index.store.root
    path: Path = write_hits(engine.dataset, hits, title, folder / "hits.html")
    terminal.console.print(f"contact sheet: {escape(str(path))}")
    typer.launch(path.as_uri())
