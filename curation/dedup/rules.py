"""The ways for clips to be duplicates, and the stored pairs of similar clips as graphs.

Stored pairs are completed first by those of clips that were not searched for yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curation import records
from curation.catalog import Catalog
from curation.dedup.greedy import DuplicateGraph
from curation.dedup.neighbours import Content, Embeddings, Signatures, find_neighbours
from curation.dedup.tasks import RunTasks, pairs_by_tasks
from curation.embed.signature import SIGNATURE_FPS
from curation.errors import ReelmillError
from curation.id_match import IdMatcher, one_chunk, to_bools
from curation.records import Embedding, Neighbour, Signature
from curation.table_writer import Writer

NEAR_DUPLICATE_PAIRS = "neighbours/copies"
"""The table of near-duplicates."""
_MIN_OVERLAP = 0.5
"""A near-duplicate that holds less than this share of a clip cannot represent it."""


class NotEmbeddedError(ReelmillError, ValueError):
    """Clips lack what they are compared by."""


@dataclass(frozen=True)
class DuplicateRule:
    """One way for clips to be duplicates, and how similar they have to be."""

    reason: str
    """What a clip is dropped for."""
    pairs_table: str
    """The table of neighbours."""
    content_table: str
    """The table of what they are compared by."""
    record: type[Any]
    content: type[Signatures] | type[Embeddings]
    threshold: float

    @classmethod
    def near_duplicate(cls, threshold: float) -> DuplicateRule:
        """The same footage, by signatures."""
        tables = NEAR_DUPLICATE_PAIRS, "signatures"
        return cls("near_duplicate", *tables, Signature, Signatures, threshold)

    @classmethod
    def semantic(cls, embedding: str, threshold: float) -> DuplicateRule:
        """The same kind of scene, by the vectors of a table `embeddings/…`."""
        tables = f"neighbours/{embedding}", f"embeddings/{embedding}"
        return cls("semantic_duplicate", *tables, Embedding, Embeddings, threshold)


def load_graph(  # noqa: PLR0917
    rule: DuplicateRule,
    catalog: Catalog,
    writer: Writer,
    clips: pa.Table,
    ids: IdMatcher,
    rows: npt.NDArray[np.int64],
    run: RunTasks | None = None,
) -> DuplicateGraph:
    """The graph of duplicates, by the rows of `clips`, which have these ids.

    The clips of `rows` are searched where they were not before.

    Searched in this process, or as tasks that `run` works off. Raises `NotEmbeddedError`, and
    `InfrastructureError` where a task fails.
    """
    stored = catalog.read(rule.pairs_table, Neighbour)
    searched = stored["clip_id"].filter(stored["identical"])
    new = rows[to_bools(pc.is_null(ids.rows(searched)))[rows]]
    if len(new):
        new_ids = set(ids.ids.take(pa.array(new)).to_pylist())
        found = _search(rule, catalog, stored, set(searched.to_pylist()), new_ids, run)
        writer.append(rule.pairs_table, found)
        stored = pa.concat_tables([stored, found])
    return graph_of_pairs(rule, stored, clips, ids)


def _search(  # noqa: PLR0917
    rule: DuplicateRule,
    catalog: Catalog,
    stored: pa.Table,
    searched: set[str],
    new: set[str],
    run: RunTasks | None,
) -> pa.Table:
    """The neighbours of clips that were not searched for yet."""
    content = _load_content(rule, catalog, searched | new)
    if missing := len(new.difference(content.ids)):
        raise NotEmbeddedError(
            f"{missing} clips have no row in {rule.content_table}; run `reelmill scan` "
            "with what fills it first"
        )
    is_self = pc.and_(stored["identical"], pc.equal(stored["clip_id"], stored["neighbour_id"]))
    representatives = set(stored.filter(is_self)["clip_id"].to_pylist())
    search = partial(pairs_by_tasks, catalog.storage, run) if run else None
    return find_neighbours(content, searched, representatives, search)


def _load_content(rule: DuplicateRule, catalog: Catalog, ids: set[str]) -> Content:
    columns = [f.name for f in records.arrow_schema(rule.record) if f.name != "source_id"]
    rows = catalog.read(rule.content_table, rule.record, columns)
    rows = rows.filter(pc.is_in(rows["clip_id"], pa.array(sorted(ids), pa.string())))
    # Sorting makes one chunk of each column, which may have over 2 GiB of bytes.
    fields = [
        field.with_type(pa.large_binary()) if pa.types.is_binary(field.type) else field
        for field in rows.schema
    ]
    return rule.content(rows.cast(pa.schema(fields)).sort_by("clip_id"))


def graph_of_pairs(
    rule: DuplicateRule, stored: pa.Table, clips: pa.Table, ids: IdMatcher
) -> DuplicateGraph:
    """Stored pairs above the threshold, by the rows of their clips in `clips`, with these ids."""
    # Most rows say that a clip represents itself, which is so without them.
    stored = stored.filter(pc.not_equal(stored["clip_id"], stored["neighbour_id"]))
    indices = [ids.index(stored[name]) for name in ("clip_id", "neighbour_id")]
    is_known = to_bools(pc.and_(pc.is_valid(indices[0]), pc.is_valid(indices[1])))
    one, other = (pc.fill_null(index, 0).to_numpy() for index in indices)
    is_identical = stored["identical"].to_numpy()
    group = np.arange(len(clips))
    group[one[is_identical & is_known]] = other[is_identical & is_known]
    similarity = stored["similarity"].to_numpy()
    linked = is_known & ~is_identical & (similarity >= rule.threshold)
    one, other, similarity = one[linked], other[linked], similarity[linked]
    represents = np.ones((2, len(one)), bool)
    exclude_group = None
    if rule.content is Signatures:
        duration_s = pc.subtract(clips["end_s"], clips["start_s"]).to_numpy()
        overlap_s = stored["overlap_s"].to_numpy()[linked] + 1 / SIGNATURE_FPS
        represents = np.stack([overlap_s >= _MIN_OVERLAP * duration_s[row] for row in (one, other)])
    else:
        # Windows of one shot continue one scene, so they stay together.
        source = pc.dictionary_encode(one_chunk(clips["source_id"])).indices.to_numpy()
        shot = np.stack([source.astype(np.int64), clips["shot_start_frame"].to_numpy()], axis=1)
        exclude_group = np.unique(shot, axis=0, return_inverse=True)[1].ravel()
    forward, backward = represents
    return DuplicateGraph(
        rule.reason,
        group,
        np.concatenate([one[forward], other[backward]]),
        np.concatenate([other[forward], one[backward]]),
        np.concatenate([similarity[forward], similarity[backward]]),
        exclude_group,
    )
