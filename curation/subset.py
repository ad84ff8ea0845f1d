"""Subsets: clips found by a search and stored under a name, read like a selection that keeps them.

A subset is a snapshot: the ids of its clips, the query that found them and the version of the
index. A name may be given again: it then means the newer subset, and the older one keeps its id.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation import records
from curation.catalog import Catalog
from curation.errors import ReelmillError
from curation.records import SubsetClip, Verdict
from curation.run_history import RunClock, record_run, run_results
from curation.storage import Storage

SUBSETS = "subsets"
STEP = "search"
RESERVED = ("all", "latest")
"""Names of selections, which no subset can have."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PACKAGES = ("reelmill", "faiss-cpu", "tantivy")


class SubsetError(ReelmillError, ValueError):
    """A subset that cannot be stored or read; the message says why."""


def export_subset(
    catalog: Catalog, name: str, hits: pa.Table, query: Mapping[str, Any], index: str
) -> str:
    """Stores hits under a name, also in a file if the name ends in `.parquet`; returns their id.

    `hits` has clip_id, source_id and score; `query` is what found them, `index` the version of the
    index. Raises `SubsetError`.
    """
    file = Path(name) if name.endswith(".parquet") else None
    if file is not None and Storage.at(name).is_remote:
        raise SubsetError(f"{name}: a subset's file has to be local")
    label = file.stem if file else name
    if not _NAME.fullmatch(label):
        raise SubsetError(f"a subset's name is of letters, digits, dots and dashes, not {label!r}")
    if label in RESERVED:
        raise SubsetError(f"a subset cannot be called {label}: that means a selection")
    if not hits.num_rows:
        raise SubsetError("nothing was found, so there is nothing to export")
    clock = RunClock()
    origin = {"name": label, "question": query, "index": index}
    content = json.dumps([origin, hits["clip_id"].to_pylist()], sort_keys=True)
    subset_id = hashlib.sha256(content.encode()).hexdigest()[:16]
    columns = zip(*(hits[c].to_pylist() for c in ("clip_id", "source_id", "score")), strict=True)
    rows = records.to_table(
        SubsetClip,
        [SubsetClip(subset_id, label, clip, source, rank, score)
         for rank, (clip, source, score) in enumerate(columns)],
    )  # fmt: skip
    if not read_subset(catalog, subset_id).num_rows:
        catalog.append(SUBSETS, SubsetClip, rows)
    record_run(
        catalog, STEP, clock, config={"search": origin}, packages=_PACKAGES,
        counts={"exported": len(rows)}, result=subset_id,
    )  # fmt: skip
    if file is not None:
        metadata = {"reelmill": json.dumps({**origin, "subset_id": subset_id}, sort_keys=True)}
        path = file.expanduser().absolute()
        with Storage.at(path.parent).atomic_write(path.name) as temporary:
            pq.write_table(rows.replace_schema_metadata(metadata), temporary)
    return subset_id


def read_subset(catalog: Catalog, name: str) -> pa.Table:
    """A subset by its id, its name (the newest of it) or its file; empty if there is none."""
    if name.endswith(".parquet"):
        return _read_file(name)
    where = (pc.field("subset_id") == name) | (pc.field("name") == name)
    rows = catalog.read(SUBSETS, SubsetClip, where=where)
    ids = pc.unique(rows["subset_id"]).to_pylist()
    if len(ids) > 1:
        ages = {result: age for age, result in enumerate(run_results(catalog, STEP))}
        ids.sort(key=lambda subset_id: ages.get(subset_id, -1))
        rows = rows.filter(pc.field("subset_id") == (name if name in ids else ids[-1]))
    return rows


def subset_verdicts(catalog: Catalog, name: str) -> pa.Table:
    """A subset as the rows of a selection that keeps its clips, sorted by clip; may be empty."""
    rows = read_subset(catalog, name).sort_by("clip_id")
    values = {
        "selection_id": rows["subset_id"],
        "verdict": pa.repeat("kept", len(rows)),
        "clip_id": rows["clip_id"],
        "source_id": rows["source_id"],
    }
    schema = records.arrow_schema(Verdict)
    columns = [values.get(field.name, pa.nulls(len(rows), field.type)) for field in schema]
    return pa.table(columns, schema=schema)


def _read_file(name: str) -> pa.Table:
    schema = records.arrow_schema(SubsetClip)
    path = Path(name).expanduser()
    if not path.is_file():
        return schema.empty_table()
    try:
        return pq.read_table(path, columns=schema.names).cast(schema)
    except (pa.ArrowException, KeyError, ValueError) as error:
        raise SubsetError(f"{path} is no exported subset: {error}") from error
