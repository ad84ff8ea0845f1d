"""`reelmill ls`: the outputs of a folder, or the clips or sources of an output."""

from __future__ import annotations

import json
import os
from typing import Annotated, Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import typer
from pyarrow import fs

from curation.dataset import Dataset
from curation.sql_filter import filter_clips
from curation.storage import Storage, storage_faults
from pipelines.cli import terminal
from pipelines.cli.exit import UsageError
from pipelines.cli.places import open_output
from pipelines.cli.rows import Column, print_rows, short_id, shorten
from pipelines.report.formatting import base_name, clock, duration

_ROWS = 50


def ls(
    out: Annotated[
        str, typer.Argument(help="The output, or the folder of outputs: a path or address.")
    ],
    *,
    sources: Annotated[
        bool, typer.Option("--sources", help="List the sources instead of the clips.")
    ] = False,
    verdict: Annotated[
        Literal["kept", "filtered", "duplicate"] | None,
        typer.Option(help="Only clips of this verdict of the newest selection."),
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(help="An SQL condition over the columns, such as: duration_s > 3."),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=0, help="The number of rows; 50 in a table, and all with --json."),
    ] = None,
) -> None:
    """Prints the list."""
    storage = Storage.at(out)
    if not storage.is_remote and os.path.isfile(storage.root):
        raise UsageError(f"{out} is a file; name an output, or a folder of outputs")
    if outputs := _outputs(storage):
        if sources or verdict or where is not None:
            raise UsageError(
                f"{out} is a folder of {len(outputs)} outputs: --sources, --verdict and --where are"
                f" of one output, such as {outputs[0][1]}"
            )
        outputs = outputs[:limit]
        print_rows([_summary(name, Dataset(address)) for name, address in outputs], _OUTPUTS)
        return
    dataset = open_output(out)
    table = dataset.sources() if sources else dataset.clips(verdict)
    if where is not None:
        table = filter_clips(_without_maps(table), where)
    order = ["uri"] if sources else ["uri", "start_s"]
    table = table.sort_by([(name, "ascending") for name in order])
    if limit is None:
        limit = len(table) if terminal.output.json_lines else _ROWS
    shown = table.slice(0, limit)
    rows = shown.to_pylist(maps_as_pydicts="lossy")
    print_rows(rows, _SOURCES if sources else _CLIPS, empty="none")
    if len(table) > len(shown):
        terminal.console.print(f"and {len(table) - len(shown):,} more: --limit {len(table)}")


def _outputs(storage: Storage) -> list[tuple[str, str]]:
    """Names and addresses of the outputs in a folder that is none itself."""
    if _is_output(storage, ""):
        return []
    selector = fs.FileSelector(storage.path(""), allow_not_found=True)
    with storage_faults():
        entries = storage.filesystem.get_file_info(selector)
    names = sorted(e.base_name for e in entries if e.type == fs.FileType.Directory)
    return [(name, storage.uri(name)) for name in names if _is_output(storage, f"{name}/")]


def _is_output(storage: Storage, prefix: str) -> bool:
    path = storage.path(f"{prefix}sources/_delta_log")
    with storage_faults():
        return bool(storage.filesystem.get_file_info(path).type == fs.FileType.Directory)


def _summary(name: str, dataset: Dataset) -> dict[str, Any]:
    sources, runs = dataset.sources(), dataset.runs()
    outcomes = pc.equal(sources["outcome"], "scanned")
    selection_id = dataset.latest_selection()
    return {
        "output": name,
        "sources": pc.sum(outcomes).as_py() or 0,
        "failed": len(sources) - (pc.sum(outcomes).as_py() or 0),
        "duration_s": pc.sum(sources["duration_s"]).as_py() or 0.0,
        "clips": dataset.all_clips().num_rows,
        "kept": None if selection_id is None else len(dataset.kept_clip_ids(selection_id)),
        "last_run": runs["started"][-1].as_py() if len(runs) else None,
        "last_step": runs["step"][-1].as_py() if len(runs) else None,
    }


def _without_maps(table: pa.Table) -> pa.Table:
    """The table with maps as JSON, so that a condition can look into them as text."""
    for index, field in enumerate(table.schema):
        if pa.types.is_map(field.type):
            values = table[field.name].to_pylist(maps_as_pydicts="lossy")
            texts = [None if value is None else json.dumps(value) for value in values]
            table = table.set_column(index, field.name, pa.array(texts, pa.string()))
    return table


def _colour(row: Any) -> str | None:
    outcome = row.get("verdict") or row.get("outcome")
    return {"kept": "green", "failed": "yellow"}.get(str(outcome))


_OUTPUTS = (
    Column("output"),
    Column("sources", right=True),
    Column("failed", right=True),
    Column("duration_s", "video", duration, right=True),
    Column("clips", right=True),
    Column("kept", right=True),
    Column("last_run", "last run", lambda time: (time or "")[:16].replace("T", " ")),
    Column("last_step", "of"),
)
_CLIPS = (
    Column("clip_id", "clip", short_id),
    Column("uri", "source", base_name),
    Column("start_s", "from", clock, right=True),
    Column("end_s", "to", clock, right=True),
    Column("verdict", show=lambda verdict: verdict or "–", style=_colour),
    Column("reason"),
    Column("caption", show=shorten),
)
_SOURCES = (
    Column("uri", "source", base_name),
    Column("outcome", style=_colour),
    Column("reason"),
    Column("duration_s", "video", lambda s: "" if s is None else duration(s), right=True),
    Column("width", show=lambda width: "" if width is None else str(width), right=True),
    Column("height", show=lambda height: "" if height is None else str(height), right=True),
    Column("codec"),
    Column("clips", right=True),
    Column("remarks", show=shorten),
)
