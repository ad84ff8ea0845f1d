"""The stored pairs of similar clips, completed by those of clips that are new, as relations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curation import records
from curation.catalog import Catalog, Writer
from curation.dedup.content import Content, Embedded, Signatures
from curation.dedup.greedy import Relation
from curation.dedup.neighbours import neighbours
from curation.embed.signature import RATE
from curation.errors import ReelmillError
from curation.records import Embedding, Neighbour, Signature

SIGNATURES = "signatures"
COPIES = "neighbours/copies"
_SHARED = 0.5
"""A copy that holds less than this share of a clip does not stand for it."""


class NotEmbeddedError(ReelmillError, ValueError):
    """Clips lack what they are compared by."""


@dataclass(frozen=True)
class Notion:
    """One way for clips to be duplicates, and how similar they have to be."""

    reason: str
    """What a clip is dropped for."""
    pairs: str
    """The table of neighbours."""
    table: str
    """The table of what they are compared by."""
    record: type[Any]
    content: type[Signatures] | type[Embedded]
    threshold: float

    @classmethod
    def copies(cls, threshold: float) -> Notion:
        """The same footage, by signatures."""
        return cls("near_duplicate", COPIES, SIGNATURES, Signature, Signatures, threshold)

    @classmethod
    def alike(cls, embedding: str, threshold: float) -> Notion:
        """The same kind of scene, by the vectors of a table `embeddings/…`."""
        tables = f"neighbours/{embedding}", f"embeddings/{embedding}"
        return cls("semantic_duplicate", *tables, Embedding, Embedded, threshold)


def relation(
    notion: Notion, catalog: Catalog, writer: Writer, clips: pa.Table, wanted: Sequence[str]
) -> Relation:
    """How clips are related, by their rows in `clips`; those wanted are searched for if need be.

    Raises `NotEmbeddedError`.
    """
    stored = catalog.read(notion.pairs, Neighbour)
    searched = set(stored.filter(stored["identical"])["clip_id"].to_pylist())
    if new := set(wanted) - searched:
        content = _content(notion, catalog, searched | new)
        if lacking := len(new.difference(content.ids)):
            raise NotEmbeddedError(
                f"{lacking} clips have no row in {notion.table}; run `reelmill scan` "
                "with what fills it first"
            )
        own = pc.and_(stored["identical"], pc.equal(stored["clip_id"], stored["neighbour_id"]))
        first = set(stored.filter(own)["clip_id"].to_pylist())
        fresh = neighbours(content, searched, first)
        writer.append(notion.pairs, fresh)
        stored = pa.concat_tables([stored, fresh])
    return related(notion, stored, clips)


def _content(notion: Notion, catalog: Catalog, wanted: set[str]) -> Content:
    columns = [f.name for f in records.schema(notion.record) if f.name != "source_id"]
    rows = catalog.read(notion.table, notion.record, columns)
    rows = rows.filter(pc.is_in(rows["clip_id"], pa.array(sorted(wanted), pa.string())))
    return notion.content(wide(rows).sort_by("clip_id"))


def wide(rows: pa.Table) -> pa.Table:
    """The rows with room for over 2 GiB in a column of bytes, which sorting makes one piece."""
    fields = [
        field.with_type(pa.large_binary()) if pa.types.is_binary(field.type) else field
        for field in rows.schema
    ]
    return rows.cast(pa.schema(fields))


def related(notion: Notion, stored: pa.Table, clips: pa.Table) -> Relation:
    """Stored pairs above the threshold, by the rows of their clips in `clips`."""
    ids = clips["clip_id"].combine_chunks()
    places = [pc.index_in(stored[name], ids) for name in ("clip_id", "neighbour_id")]
    there = pc.and_(pc.is_valid(places[0]), pc.is_valid(places[1])).to_numpy()
    one, other = (pc.fill_null(place, 0).to_numpy().astype(np.int64) for place in places)
    same = stored["identical"].to_numpy() & there
    group = np.arange(len(ids))
    group[one[same]] = other[same]
    similarity = stored["similarity"].to_numpy()
    near = there & ~stored["identical"].to_numpy() & (similarity >= notion.threshold)
    one, other, similarity = one[near], other[near], similarity[near]
    stands = np.ones((2, len(one)), bool)
    if notion.content is Signatures:
        duration_s = _seconds(clips)
        overlap_s = stored["overlap_s"].to_numpy()[near] + 1 / RATE
        stands = np.stack([overlap_s >= _SHARED * duration_s[at] for at in (one, other)])
    return Relation(
        notion.reason,
        group,
        np.concatenate([one[stands[0]], other[stands[1]]]),
        np.concatenate([other[stands[0]], one[stands[1]]]),
        np.concatenate([similarity[stands[0]], similarity[stands[1]]]),
        None if notion.content is Signatures else _shots(clips),
    )


def _seconds(clips: pa.Table) -> npt.NDArray[np.float64]:
    return np.asarray(pc.subtract(clips["end_s"], clips["start_s"]).to_numpy(), np.float64)


def _shots(clips: pa.Table) -> list[tuple[str, int]]:
    """The shot of each clip: its windows show how one scene goes on, so they stay together."""
    columns = (clips["source_id"].to_pylist(), clips["shot_start_frame"].to_pylist())
    return list(zip(*columns, strict=True))
