"""Subsets: clips that somebody found and named, read like a selection that keeps them alone.

A subset is a snapshot: the ids of its clips, the question that found them and the version of the
index that was asked. The same name may be given again; it then stands for the newer subset, and the
older one keeps its id.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation import records
from curation.catalog import Catalog
from curation.records import Run, Subset, Verdict
from curation.run_history import results
from curation.storage import Storage

TABLE = "subsets"
STEP = "search"
RESERVED = ("all", "latest")
"""Names that stand for no subset wherever a selection is asked for."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PACKAGES = ("reelmill", "faiss-cpu", "tantivy")


def export(
    catalog: Catalog, name: str, hits: pa.Table, question: Mapping[str, Any], index: str
) -> str:
    """Stores hits under a name, or in a file too if the name ends in `.parquet`; returns their id.

    `hits` has clip_id, source_id and score; `question` says how they were found, `index` in which
    version of the index. Raises `ValueError`.
    """
    file = Path(name) if name.endswith(".parquet") else None
    if file is not None and Storage.at(name).is_s3:
        raise ValueError(f"{name}: a subset's file has to be local")
    label = file.stem if file else name
    if not _NAME.fullmatch(label):
        raise ValueError(f"a subset's name is of letters, digits, dots and dashes, not {label!r}")
    if label in RESERVED:
        raise ValueError(f"a subset cannot be called {label}: that stands for a selection")
    if not hits.num_rows:
        raise ValueError("nothing was found, so there is nothing to export")
    started = time.monotonic()
    said = {"name": label, "question": question, "index": index}
    subset_id = _id(said, hits["clip_id"].to_pylist())
    rows = _rows(subset_id, label, hits)
    if not read(catalog, subset_id).num_rows:
        catalog.append(TABLE, Subset, rows)
    catalog.append("runs", Run, records.table(Run, [_run(said, subset_id, rows, started)]))
    if file is not None:
        _write(file, rows, {**said, "subset_id": subset_id})
    return subset_id


def read(catalog: Catalog, name: str) -> pa.Table:
    """A subset by its id, its name (the newest of it) or its file; empty if there is none."""
    if name.endswith(".parquet"):
        return _read(name)
    wanted = (pc.field("subset_id") == name) | (pc.field("name") == name)
    rows = catalog.read(TABLE, Subset, where=wanted)
    ids = pc.unique(rows["subset_id"]).to_pylist()
    if len(ids) > 1:
        order = results(catalog, STEP)
        ids.sort(key=lambda each: max((n for n, r in enumerate(order) if r == each), default=-1))
        rows = rows.filter(pc.field("subset_id") == (name if name in ids else ids[-1]))
    return rows


def verdicts(catalog: Catalog, name: str) -> pa.Table:
    """A subset as the rows of a selection that keeps its clips, sorted by clip; may be empty."""
    rows = read(catalog, name).sort_by("clip_id")
    kept = pa.array(["kept"] * len(rows), pa.string())
    known = {"selection_id": rows["subset_id"], "verdict": kept}
    known |= {column: rows[column] for column in ("clip_id", "source_id")}
    form = records.schema(Verdict)
    columns = [known.get(f.name, pa.nulls(len(rows), f.type)) for f in form]
    return pa.table(columns, schema=form)


def _id(said: Mapping[str, Any], clips: Sequence[str]) -> str:
    text = json.dumps([said, clips], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _rows(subset_id: str, name: str, hits: pa.Table) -> pa.Table:
    columns = zip(*(hits[c].to_pylist() for c in ("clip_id", "source_id", "score")), strict=True)
    rows = [Subset(subset_id, name, c, s, n, score) for n, (c, s, score) in enumerate(columns)]
    return records.table(Subset, rows)


def _run(said: Mapping[str, Any], subset_id: str, rows: pa.Table, started: float) -> Run:
    versions = {package: importlib.metadata.version(package) for package in _PACKAGES}
    return Run(
        run_id=secrets.token_hex(8),
        step=STEP,
        started=datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
        seconds=round(time.monotonic() - started, 3),
        config=json.dumps({"search": said}, sort_keys=True),
        versions=json.dumps(versions, sort_keys=True),
        counts=json.dumps({"exported": len(rows)}),
        cpu_seconds="{}",
        result=subset_id,
    )


def _write(file: Path, rows: pa.Table, said: Mapping[str, Any]) -> None:
    noted = rows.replace_schema_metadata({"reelmill": json.dumps(said, sort_keys=True)})
    place = file.expanduser().absolute()
    with Storage.at(place.parent).writing(place.name) as temporary:
        pq.write_table(noted, temporary)


def _read(name: str) -> pa.Table:
    form = records.schema(Subset)
    path = Path(name).expanduser()
    if not path.is_file():
        return form.empty_table()
    try:
        return pq.read_table(path, columns=form.names).cast(form)
    except (pa.ArrowException, KeyError, ValueError) as error:
        raise ValueError(f"{path} is no exported subset: {error}") from error
