"""What was listed, and what of it has no outcome yet: the tables `listed` and `passed_over`.

A listing is stored before anything is watched, so that a run that is stopped leaves word of what
it never came to. Only what changed is appended. Of several rows of one address the newest counts,
so that an input that changed is waited for as it is now. One that waits and is not there when its
place is listed again is withdrawn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone

import pyarrow as pa
import pyarrow.compute as pc

from curation import records
from curation.catalog import Catalog
from curation.listing import Listing
from curation.records import Listed, PassedOver, Source

LISTED, PASSED_OVER = "listed", "passed_over"
_KEY = ["uri", "size_bytes", "modified"]


def record(catalog: Catalog, listing: Listing) -> None:
    """Stores a listing; the same again writes nothing."""
    now = _now()
    known, waiting = _newest(catalog), pending(catalog)
    entries = _rows(listing, now)
    new = _without(entries, known, _KEY)
    under = waiting.filter(_covered(waiting, listing.passed_over))
    gone = _without(under, entries, ["uri"])
    rows = pa.concat_tables([new, _withdrawn(gone, now)])
    if rows.num_rows:
        catalog.append(LISTED, Listed, rows)
    _record_passed_over(catalog, listing.passed_over, now)


def pending(catalog: Catalog) -> pa.Table:
    """Inputs that were listed and have no outcome, sorted by address: rows of `Listed`."""
    done = catalog.read("sources", Source, _KEY)
    return _without(_newest(catalog), done, _KEY).sort_by("uri")


def withdraw(catalog: Catalog, rows: pa.Table) -> None:
    """Takes inputs that wait off the list: rows of `pending`."""
    if rows.num_rows:
        catalog.append(LISTED, Listed, _withdrawn(rows, _now()))


def passed_over(catalog: Catalog) -> dict[str, Counter[str]]:
    """For each place that was listed, what was passed over there the last time."""
    rows = catalog.read(PASSED_OVER, PassedOver).sort_by("listed")
    found: dict[str, tuple[str, Counter[str]]] = {}
    for row in records.records(PassedOver, rows):
        listed, counts = found.get(row.place, ("", Counter()))
        if listed != row.listed:
            counts = Counter()
        found[row.place] = (row.listed, counts + Counter({row.kind: row.count}))
    return {place: counts for place, (_, counts) in found.items()}


def _record_passed_over(catalog: Catalog, over: Mapping[str, Counter[str]], now: str) -> None:
    before = passed_over(catalog)
    rows = []
    for place, counts in over.items():
        if counts != before.get(place, Counter()):
            rows += [PassedOver(place, kind, n, now) for kind, n in counts.most_common()]
            rows += [] if counts else [PassedOver(place, "", 0, now)]
    if rows:
        catalog.append(PASSED_OVER, PassedOver, records.table(PassedOver, rows))


def _rows(listing: Listing, now: str) -> pa.Table:
    entries = listing.entries
    columns = {name: [getattr(entry, name) for entry in entries] for name in (*_KEY, "place")}
    more = {"listed": [now] * len(entries), "withdrawn": [False] * len(entries)}
    return pa.table({**columns, **more}, schema=records.schema(Listed))


def _newest(catalog: Catalog) -> pa.Table:
    """Of each address the newest row, but for those that were withdrawn."""
    rows = catalog.read(LISTED, Listed)
    names = rows.column_names[1:]
    newest = rows.sort_by("listed").group_by("uri", use_threads=False)
    newest = newest.aggregate([(name, "last") for name in names])
    newest = newest.select(["uri", *(f"{name}_last" for name in names)])
    newest = newest.rename_columns(rows.column_names).cast(rows.schema)
    return newest.filter(pc.invert(newest["withdrawn"]))


def _without(rows: pa.Table, others: pa.Table, key: list[str]) -> pa.Table:
    """Rows whose key no other row has."""
    left = rows.join(others.select(key), key, join_type="left anti")
    return left.select(rows.column_names).cast(rows.schema)


def _covered(rows: pa.Table, places: Iterable[str]) -> pa.Array:
    """Whether a new listing of these places would have found a row's input, were it there.

    It would if one of them is where it was found, or a folder around it, if that was found in a
    folder: one that a list named, or that was pointed at, may have any name.
    """
    again, folders = set(places), tuple(f"{place}/" for place in places)
    columns = (rows[name].to_pylist() for name in ("uri", "place"))
    covered = [
        place in again or (uri.startswith(folders) and uri.startswith(f"{place}/"))
        for uri, place in zip(*columns, strict=True)
    ]
    return pa.array(covered, pa.bool_())


def _withdrawn(rows: pa.Table, now: str) -> pa.Table:
    count = rows.num_rows
    rows = rows.drop_columns(["listed", "withdrawn"])
    rows = rows.append_column("listed", pa.array([now] * count, pa.string()))
    rows = rows.append_column("withdrawn", pa.array([True] * count, pa.bool_()))
    return rows.cast(records.schema(Listed))


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="microseconds")
