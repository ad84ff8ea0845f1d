"""The inputs that were listed, and which have no outcome yet: tables `listed` and `passed_over`.

A listing is stored before any scan, so that an interrupted run leaves a record of what it did not
reach. Only changes are appended. The newest row of an address is the current one, so that a changed
input is pending as it is now. A pending input that is missing when its root is listed again is
withdrawn.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc

from curation import records
from curation.catalog import Catalog
from curation.delta_table import StaleWriterError
from curation.errors import InfrastructureError
from curation.listing import Listing
from curation.records import ListedInput, SkippedFiles, Source
from curation.row_times import time_after

LISTED, SKIPPED = "listed", "passed_over"
_ATTEMPTS = 50
_PAUSE_S = 0.2
_KEY = ["uri", "size_bytes", "modified"]


def record_listing(catalog: Catalog, listing: Listing) -> None:
    """Stores a listing; an unchanged one writes nothing, nor does one that another run stores."""
    for _ in range(_ATTEMPTS):
        with contextlib.suppress(StaleWriterError):
            _record_changes(catalog.snapshot(), listing)
            return
        time.sleep(random.uniform(0, _PAUSE_S))
    raise InfrastructureError(f"{LISTED}: other runs list inputs all the time; run this again")


def _record_changes(catalog: Catalog, listing: Listing) -> None:
    """Stores what a listing changes; `StaleWriterError` where another run stores one meanwhile."""
    now = _now(catalog)
    current, pending = _current_rows(catalog), pending_inputs(catalog)
    entries = pa.table(
        {
            **{name: [getattr(entry, name) for entry in listing.entries] for name in _KEY},
            "place": [entry.root for entry in listing.entries],
            "listed": [now] * len(listing.entries),
            "withdrawn": [False] * len(listing.entries),
        },
        schema=records.arrow_schema(ListedInput),
    )
    added = _anti_join(entries, current, _KEY)
    relisted = pending.filter(_is_relisted(pending, list(listing.skipped)))
    missing = _anti_join(relisted, entries, ["uri"])
    rows = pa.concat_tables([added, _as_withdrawn(missing, now)])
    if rows.num_rows:
        catalog.append(LISTED, ListedInput, rows, only_unchanged=True)
    _record_skipped(catalog, listing, now)


def pending_inputs(catalog: Catalog) -> pa.Table:
    """Inputs that were listed and have no outcome, sorted by address: rows of `ListedInput`."""
    done = catalog.read("sources", Source, _KEY)
    return _anti_join(_current_rows(catalog), done, _KEY).sort_by("uri")


def times_listed(catalog: Catalog, uri: str) -> dict[tuple[int, str], str]:
    """When each state of an input was last listed, by its size and modification time."""
    rows = catalog.read(LISTED, ListedInput, where=pc.field("uri") == uri).sort_by("listed")
    columns = (rows[name].to_pylist() for name in ("size_bytes", "modified", "listed"))
    return {(size, modified): time for size, modified, time in zip(*columns, strict=True)}


def withdraw(catalog: Catalog, rows: pa.Table) -> None:
    """Withdraws pending inputs: rows of `pending_inputs`."""
    if rows.num_rows:
        catalog.append(LISTED, ListedInput, _as_withdrawn(rows, _now(catalog)))


def skipped_counts(catalog: Catalog) -> dict[str, Counter[str]]:
    """By root, the files that its newest listing skipped, by kind."""
    rows = catalog.read(SKIPPED, SkippedFiles).sort_by("listed")
    newest: dict[str, tuple[str, Counter[str]]] = {}
    for row in records.from_table(SkippedFiles, rows):
        time, counts = newest.get(row.place, ("", Counter()))
        if time != row.listed:
            counts = Counter()
        newest[row.place] = (row.listed, counts + Counter({row.kind: row.count}))
    return {root: counts for root, (_, counts) in newest.items()}


def _record_skipped(catalog: Catalog, listing: Listing, now: str) -> None:
    stored = skipped_counts(catalog)
    rows = []
    for root, counts in listing.skipped.items():
        if counts != stored.get(root, Counter()):
            kinds = counts.most_common() or [("", 0)]
            rows += [SkippedFiles(root, kind, count, now) for kind, count in kinds]
    if rows:
        table = records.to_table(SkippedFiles, rows)
        catalog.append(SKIPPED, SkippedFiles, table, only_unchanged=True)


def _current_rows(catalog: Catalog) -> pa.Table:
    """The newest row of each address, without withdrawn ones."""
    rows = catalog.read(LISTED, ListedInput)
    names = rows.column_names[1:]
    newest = rows.sort_by("listed").group_by("uri", use_threads=False)
    newest = newest.aggregate([(name, "last") for name in names])
    newest = newest.select(["uri", *(f"{name}_last" for name in names)])
    newest = newest.rename_columns(rows.column_names).cast(rows.schema)
    return newest.filter(pc.invert(newest["withdrawn"]))


def _anti_join(rows: pa.Table, other: pa.Table, key: list[str]) -> pa.Table:
    """Rows whose key the other table lacks."""
    unmatched = rows.join(other.select(key), key, join_type="left anti")
    return unmatched.select(rows.column_names).cast(rows.schema)


def _is_relisted(rows: pa.Table, roots: list[str]) -> pa.Array:
    """Whether a new listing of these roots would list a row's input, if it still existed.

    It would if one of them is the root that the input came from, or a folder around the input
    where that root is a folder: an input that was named, or that a list names, may have any name.
    """
    folders = tuple(f"{root}/" for root in roots)
    columns = (rows[name].to_pylist() for name in ("uri", "place"))
    relisted = [
        root in roots or (uri.startswith(folders) and uri.startswith(f"{root}/"))
        for uri, root in zip(*columns, strict=True)
    ]
    return pa.array(relisted, pa.bool_())


def _as_withdrawn(rows: pa.Table, now: str) -> pa.Table:
    marks = {"listed": pa.repeat(now, len(rows)), "withdrawn": pa.repeat(True, len(rows))}
    for name, values in marks.items():
        rows = rows.set_column(rows.column_names.index(name), name, values)
    return rows.cast(records.arrow_schema(ListedInput))


def _now(catalog: Catalog) -> str:
    """The time of rows that are newer than all stored ones."""
    tables = {LISTED: ListedInput, SKIPPED: SkippedFiles}
    newest = [pc.max(catalog.read(n, r, ["listed"])["listed"]).as_py() for n, r in tables.items()]
    return time_after(newest, "microseconds")
