"""Opening an output: what others import to read its tables.

    from curation.dataset import Dataset
    kept = Dataset("out").clips(verdict="kept")     # an Arrow table, one row per clip

A source is visible as a whole or not at all: its row in `sources` is the commit marker of its rows
in the other tables.
"""

from __future__ import annotations

import copy
import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from curation import caption_tables, lineage, records, subset
from curation.catalog import Catalog
from curation.clip_details import with_details
from curation.clip_table import read_clip_table, scanned_ids, visible_sources, with_columns
from curation.errors import PrerequisiteError, ReelmillError, UnknownSelectionError
from curation.id_match import IdMatcher, one_chunk
from curation.records import Clip, Run, Source, Verdict
from curation.run_history import latest_selection
from curation.storage import Storage

VERDICTS = ("kept", "filtered", "duplicate")
VERDICT_COLUMNS = ("verdict", "reason", "duplicate_of", "similarity", "group_id")
"""What a selection says of a clip."""
_GROUP = ("clip_id", "duplicate_of")
"""What `group_id` is made of."""
ALL, LATEST = subset.RESERVED
"""Mean every clip, and the selection that was asked for last."""


class VerdictError(ReelmillError, ValueError):
    """There is no such verdict; the message lists them."""


class Dataset:
    """The tables of one output folder (a path, or an address such as `s3://`)."""

    def __init__(self, address: str | os.PathLike[str]) -> None:
        self.catalog = Catalog(Storage.at(address))

    def snapshot(self) -> Dataset:
        """The same output with each table read at one version, but for its own commits."""
        dataset = copy.copy(self)
        dataset.catalog = self.catalog.snapshot()
        return dataset

    def sources(self) -> pa.Table:
        """Every input and its outcome."""
        return self.catalog.read("sources", Source)

    def remarked_sources(self) -> int:
        """How many scanned sources have `remarks`: something unusual."""
        valid = pc.is_valid(pc.field("remarks"))
        return int(self.catalog.read("sources", Source, ["remarks"], where=valid).num_rows)

    def all_clips(self) -> pa.Table:
        """The clips of every scanned source, sorted by id."""
        return self.side_table("clips", Clip).sort_by("clip_id")

    def clip_columns(self, columns: Collection[str]) -> pa.Table:
        """`clip_id` and columns of the clips of every scanned source, sorted by id."""
        return read_clip_table(self.catalog, columns)

    def side_table(self, name: str, record: type, columns: list[str] | None = None) -> pa.Table:
        """The rows of every scanned source, in a table that scan fills; with `source_id`."""
        rows = self.catalog.read(name, record, columns)
        return rows.filter(pc.is_in(rows["source_id"], scanned_ids(self.catalog)))

    def find_clips(self, prefix: str) -> list[str]:
        """Ids of the clips whose ids begin so, sorted; none for an empty prefix."""
        if not prefix:
            return []
        is_within = (pc.field("clip_id") >= prefix) & (pc.field("clip_id") < f"{prefix}\uffff")
        rows = self.catalog.read("clips", Clip, ["clip_id", "source_id"], is_within)
        if not rows.num_rows:
            return []
        is_source = pc.field("source_id").isin(pc.unique(rows["source_id"]))
        where = (pc.field("outcome") == "scanned") & is_source
        scanned = self.catalog.read("sources", Source, ["source_id"], where)
        rows = rows.filter(pc.is_in(rows["source_id"], scanned["source_id"]))
        ids: list[str] = rows["clip_id"].sort().to_pylist()
        return ids

    def runs(self) -> pa.Table:
        """Runs that did work, oldest first."""
        return self.catalog.read("runs", Run).sort_by("started")

    def latest_selection(self) -> str | None:
        """Id of the selection that was asked for last, or None."""
        return latest_selection(self.catalog)

    def resolve_selection(self, requested: str | None = None) -> str | None:
        """Id of the requested selection or subset; None for every clip.

        None and `latest` mean the newest selection, or every clip while there is none; `all` means
        every clip. Otherwise an id, its first digits, or a subset's name or file. Raises
        `UnknownSelectionError`.
        """
        if requested == ALL:
            return None
        if requested in (None, LATEST):
            return self.latest_selection()
        rows = subset.read_subset(self.catalog, str(requested))
        if rows.num_rows:
            subset_id = str(rows["subset_id"][0])
            return (
                subset_id
                if subset.read_subset(self.catalog, subset_id).num_rows
                else str(requested)
            )
        selection_ids = sorted(self.catalog.values("selection", Verdict, "selection_id"))
        matches = [name for name in selection_ids if name.startswith(str(requested))]
        if len(matches) != 1:
            existing = ", ".join(selection_ids) or "none: run `reelmill select` first"
            raise UnknownSelectionError(
                f"there is no selection {requested!r}; there are {existing}, and no such subset"
            )
        return str(matches[0])

    def kept_clip_ids(self, selection_id: str) -> pa.ChunkedArray:
        """Ids of the clips that a selection or subset keeps."""
        rows = self.selection(selection_id, columns=["clip_id", "verdict"])
        return rows.filter(pc.field("verdict") == "kept")["clip_id"]

    def selection(
        self,
        selection_id: str,
        where: pc.Expression | None = None,
        columns: Sequence[str] | None = None,
    ) -> pa.Table:
        """One selection's rows, sorted by clip; or a subset's (its id, name or Parquet file).

        `where`, a condition on `clip_id` and `source_id`, reads only some clips; `columns`, of
        which `clip_id` has to be one, only these.
        """
        return self._verdicts(selection_id, where, columns).sort_by("clip_id")

    def _verdicts(
        self,
        selection_id: str,
        where: pc.Expression | None = None,
        columns: Sequence[str] | None = None,
    ) -> pa.Table:
        """The same in any order."""
        is_selection = pc.field("selection_id") == selection_id
        wanted = is_selection if where is None else is_selection & where
        names = None if columns is None else list(columns)
        rows = self.catalog.read("selection", Verdict, names, wanted)
        if rows.num_rows:
            return rows
        rows = subset.subset_verdicts(self.catalog, selection_id)
        rows = rows if where is None else rows.filter(where)
        return rows if names is None else rows.select(names)

    def outcomes(self, selection_id: str) -> Counter[str]:
        """The `funnel` of a selection or subset; empty if there is none."""
        where = pc.field("selection_id") == selection_id
        rows = self.catalog.read("selection", Verdict, ["verdict", "reason"], where)
        return funnel(rows if rows.num_rows else self.selection(selection_id))

    def clips(
        self,
        verdict: str | None = None,
        selection_id: str | None = None,
        where: pc.Expression | None = None,
    ) -> pa.Table:
        """The clips as of `scored_clips`, with file, caption, licence and list columns.

        The further columns are those of `curation.clip_details`.
        """
        clips = self.scored_clips(verdict, selection_id, where=where)
        return with_details(self.catalog, clips, selection_id or self.latest_selection(), where)

    def scored_clips(
        self,
        verdict: str | None = None,
        selection_id: str | None = None,
        *,
        columns: Collection[str] | None = None,
        where: pc.Expression | None = None,
        as_dictionaries: bool = False,
    ) -> pa.Table:
        """Clips with scores, metadata of their source, and verdicts of a selection.

        Of the newest selection unless one is named. `verdict` selects clips that are `kept`,
        `filtered` or `duplicate`; raises `VerdictError` for any other, and `PrerequisiteError`
        without a selection. A clip that is newer than the selection has no verdict. `group_id` is
        the kept clip's id for it and its duplicates; a filtered clip has its own. `columns` reads
        only these, beside `clip_id`, and only the tables that have them; `where`, a condition on
        `clip_id` and `source_id`, only some clips. `as_dictionaries` gives texts of sources and
        scores as dictionaries, which hold each text once.
        """
        if verdict not in (None, *VERDICTS):
            raise VerdictError(f"verdict {verdict!r} is none of {', '.join(VERDICTS)}")
        selection_id = selection_id or self.latest_selection()
        if selection_id is None and verdict is not None:
            raise PrerequisiteError(f"no clip is {verdict} yet: run `reelmill select` first")
        table = read_clip_table(self.catalog, columns, where, as_dictionaries=as_dictionaries)
        names = [n for n in VERDICT_COLUMNS if columns is None or n in columns]
        if selection_id is None or not (names or verdict):
            return table
        needed = {"clip_id", "verdict", *(_GROUP if "group_id" in names else ()), *names}
        verdicts = self._verdicts(selection_id, where, sorted(needed - {"group_id"}))
        if "group_id" in names:
            groups = pc.coalesce(verdicts["duplicate_of"], verdicts["clip_id"])
            verdicts = verdicts.append_column("group_id", groups)
        index = IdMatcher(table["clip_id"]).rows(verdicts["clip_id"])
        table = with_columns(table, verdicts, names, index)
        if verdict is None:
            return table
        return table.filter(pc.equal(one_chunk(verdicts["verdict"]).take(index), verdict))

    def caption_tables(self) -> list[str]:
        """Tables of captions, the one last asked for first; those of other renders at the end."""
        return caption_tables.list_tables(self.catalog)

    def captions(self, name: str | None = None) -> pa.Table:
        """One row per clip: `clip_id`, `source_id`, `text` and number of `windows`.

        Of the current table unless one is named, such as `facts-1a2b3c4d`. Raises `LineageError`.
        """
        table = lineage.resolve_table(self.catalog, "captions", name, self.latest_selection())
        return caption_tables.read_captions(self.catalog, table)

    def answers(
        self, name: str | None = None, thresholds: Mapping[str, float] | None = None
    ) -> pa.Table:
        """One row per clip: the confidence in each question's yes, or whether it is high enough."""
        table = lineage.resolve_table(self.catalog, "captions", name, self.latest_selection())
        return caption_tables.read_answers(self.catalog, table, thresholds)


def funnel(verdicts: pa.Table) -> Counter[str]:
    """Clips by verdict or, where filtered, by reason."""
    is_filtered = pc.equal(verdicts["verdict"], "filtered")
    counts = pc.value_counts(pc.if_else(is_filtered, verdicts["reason"], verdicts["verdict"]))
    return Counter({pair["values"]: pair["counts"] for pair in counts.to_pylist()})


def sources_by_id(catalog: Catalog, source_ids: Collection[str] | None = None) -> dict[str, Source]:
    """Scanned sources by id, or these; of several copies of the same bytes the first by address."""
    names = [name for name in records.arrow_schema(Source).names if name != "source_id"]
    of = None if source_ids is None else pa.array([*source_ids], pa.string())
    rows = visible_sources(catalog, names, of)
    if of is not None:
        rows = rows.filter(pc.is_in(rows["source_id"], of))
    return {source.source_id: source for source in records.from_table(Source, rows)}
