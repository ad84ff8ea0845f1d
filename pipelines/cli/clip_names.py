"""Clips and sources by what people call them: first digits of an id, or the name of a file.

A file whose whole name it is comes first, then the clip whose id begins so, then a file by its
name without the suffix.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from curation.dataset import Dataset
from curation.pending_inputs import times_listed
from curation.records import Source
from curation.storage import Storage
from curation.web_files import without_query
from pipelines.cli.exit import UsageError
from pipelines.cli.rows import short_id

_SHOWN = 5


@dataclass(frozen=True)
class Named:
    """What a name is of: one clip, or one file."""

    clip_id: str = ""
    uri: str = ""
    """The file's address; empty for a clip."""
    source_id: str | None = None
    """The file's; None where it has no clips."""

    def clips(self) -> pc.Expression:
        """The condition that chooses its clips; raises `UsageError` for a file that has none."""
        if self.clip_id:
            return pc.field("clip_id") == self.clip_id
        if self.source_id is None:
            raise UsageError(f"{self.uri} has no clips: `reelmill show` says what became of it")
        return pc.field("source_id") == self.source_id


def find_named(dataset: Dataset, name: str) -> Named:
    """The one clip or file that is called so; raises `UsageError` for none, and for several."""
    exact = {name, Storage.at(name).root} if name else set()
    sources = _sources_with(dataset, name, exact)
    tail = f"/{name.removeprefix('./')}"

    def file(is_called: Callable[[str], bool]) -> Named | None:
        return _one_file(dataset, sources, name, is_called)

    def clip() -> Named | None:
        ids = dataset.find_clips(name)
        if len(ids) > 1:
            some = ", ".join(map(short_id, ids[:_SHOWN]))
            raise UsageError(f"{name}: {len(ids)} clips begin so: {some} …")
        return Named(clip_id=ids[0]) if ids else None

    found = name and (
        file(lambda uri: uri in exact)
        or file(lambda uri: without_query(uri).endswith(tail))
        or clip()
        or file(lambda uri: posixpath.splitext(posixpath.basename(without_query(uri)))[0] == name)
    )
    if not found:
        raise UsageError(
            f"{name}: there is no such clip, and no file of this name; `reelmill ls` lists the"
            " clips, `reelmill ls --sources` the files"
        )
    return found


def _sources_with(dataset: Dataset, name: str, exact: set[str]) -> pa.Table:
    """The few sources that may be called so, so that not all become Python objects."""
    columns = ["uri", "size_bytes", "modified", "source_id", "clips"]
    sources = dataset.catalog.read("sources", Source, columns)
    may_be = pc.match_substring(sources["uri"], name.removeprefix("./"))
    return sources.filter(pc.or_(may_be, pc.is_in(sources["uri"], pa.array(exact, pa.string()))))


def _one_file(
    dataset: Dataset, sources: pa.Table, name: str, is_called: Callable[[str], bool]
) -> Named | None:
    """The file; of a file that was replaced what was listed last, of all that has clips."""
    rows = [row for row in sources.to_pylist() if is_called(row["uri"])]
    uris = sorted({row["uri"] for row in rows})
    if len(uris) > 1:
        raise UsageError(f"{name}: {len(uris)} files are called so: {', '.join(uris[:_SHOWN])} …")
    if not rows:
        return None
    listed = times_listed(dataset.catalog, uris[0])
    with_clips = sorted(
        (listed.get((row["size_bytes"], row["modified"]), ""), row["source_id"])
        for row in rows
        if row["clips"]
    )
    return Named(uri=uris[0], source_id=with_clips[-1][1] if with_clips else None)
