"""Select: which clips are kept, decided from stored scores and neighbours in seconds."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curation import records
from curation.catalog import Catalog, Writer
from curation.dataset import Dataset, numbers
from curation.dedup import greedy, neighbours, unpack
from curation.descriptor import FrameDct
from curation.policy import Policy
from curation.records import Embedding, Neighbour, Verdict
from curation.watcher import EMBEDDINGS

NEIGHBOURS = f"neighbours/{FrameDct.name}"
APP = "select"
_QUALITY = ("short_side", "sharpness", "duration_s")
"""What makes one of two near-duplicates the better one: more of the first, then of the next."""

Values = Mapping[str, npt.NDArray[np.float64]]


class NotEmbeddedError(ValueError):
    """Clips have no embedding, so their near-duplicates cannot be found."""


@dataclass(frozen=True)
class Selection:
    """A finished selection and the one before it."""

    selection_id: str
    funnel: Counter[str]
    """Clips by verdict or, where filtered, by reason."""
    before: Counter[str] | None
    """The same of the newest selection until now."""
    is_new: bool
    """Whether it is another one than the newest until now."""


def select(dataset: Dataset, policy: Policy) -> Selection:
    """Applies a policy to every clip and stores the verdicts; the same again writes nothing.

    Raises `NotEmbeddedError`.
    """
    clips = dataset.clips()
    values = numbers(clips)
    previous = dataset.latest_selection()
    before = funnel(dataset.selection(previous)) if previous else None
    selection_id = _name(policy, clips["clip_id"].to_pylist(), values)
    rows = dataset.selection(selection_id)
    if clips.num_rows and not rows.num_rows:
        rows = _decided(dataset, clips, values, policy, selection_id)
    return Selection(selection_id, funnel(rows), before, selection_id != previous)


def _decided(
    dataset: Dataset, clips: pa.Table, values: Values, policy: Policy, selection_id: str
) -> pa.Table:
    """Commits the verdicts, unless another run did so before this one had the tables."""
    tables = {NEIGHBOURS: Neighbour, "selection": Verdict}
    with dataset.catalog.writer(APP, tables) as writer:
        rows = dataset.selection(selection_id)
        if not rows.num_rows:
            duplicates = _duplicates(dataset.catalog, writer, clips, values, policy)
            reasons = policy.reasons(values)
            rows = records.table(Verdict, _verdicts(clips, reasons, duplicates, selection_id))
            writer.append("selection", rows)
    return rows


def funnel(verdicts: pa.Table) -> Counter[str]:
    """Clips by verdict or, where filtered, by reason."""
    pairs = zip(verdicts["verdict"].to_pylist(), verdicts["reason"].to_pylist(), strict=True)
    return Counter(reason if verdict == "filtered" else verdict for verdict, reason in pairs)


def _name(policy: Policy, clip_ids: list[str], values: Values) -> str:
    """Names a selection by all that decides it, so that a score that came later makes a new one."""
    state = hashlib.sha256(f"{policy.digest}{FrameDct.name}{''.join(clip_ids)}".encode())
    for name in sorted({*policy.limits, *_QUALITY}):
        state.update(values[name].tobytes())
    return state.hexdigest()[:16]


def _verdicts(
    clips: pa.Table,
    reasons: Sequence[str | None],
    duplicates: Mapping[str, tuple[str, float]],
    selection_id: str,
) -> list[Verdict]:
    """One verdict a clip, in the order of the clips."""
    verdicts = []
    columns = (clips["clip_id"].to_pylist(), clips["source_id"].to_pylist(), reasons)
    for clip, source, reason in zip(*columns, strict=True):
        named = (selection_id, clip, source)
        if reason is not None:
            verdicts.append(Verdict(*named, "filtered", reason))
        elif clip in duplicates:
            verdicts.append(Verdict(*named, "duplicate", "near_duplicate", *duplicates[clip]))
        else:
            verdicts.append(Verdict(*named, "kept"))
    return verdicts


def _duplicates(
    catalog: Catalog, writer: Writer, clips: pa.Table, values: Values, policy: Policy
) -> dict[str, tuple[str, float]]:
    """The near-duplicates among the clips that pass the filter."""
    passing = [i for i, reason in enumerate(policy.reasons(values)) if reason is None]
    if policy.similarity is None or not passing:
        return {}
    ids = clips["clip_id"].to_pylist()
    pairs = _pairs(catalog, writer, [ids[i] for i in passing])
    quality = np.nan_to_num(np.stack([-values[name] for name in _QUALITY]))
    order = sorted(passing, key=lambda i: (*quality[:, i].tolist(), ids[i]))
    shot = zip(clips["source_id"].to_pylist(), clips["shot_start_frame"].to_pylist(), strict=True)
    shots: dict[str, Any] = dict(zip(ids, shot, strict=True))
    return greedy((ids[i] for i in order), pairs, shots, policy.similarity)


def _pairs(catalog: Catalog, writer: Writer, wanted: list[str]) -> list[tuple[str, str, float]]:
    """Stored pairs of clips, after searching for those of the wanted not searched for yet."""
    stored = catalog.read(NEIGHBOURS, Neighbour)
    own = pc.equal(stored["clip_id"], stored["neighbour_id"])
    searched = set(stored.filter(own)["clip_id"].to_pylist())
    new = sorted(set(wanted) - searched)
    if new:
        ids, vectors = _vectors(catalog, searched | set(new))
        if lacking := len(set(new).difference(ids)):
            raise NotEmbeddedError(f"{lacking} clips have no embedding; run `reelmill scan` first")
        fresh = records.table(Neighbour, neighbours(new, ids, vectors))
        writer.append(NEIGHBOURS, fresh)
        stored = pa.concat_tables([stored, fresh])
    names = [field.name for field in records.schema(Neighbour)]
    columns = [stored[name].to_pylist() for name in names]
    return list(zip(*columns, strict=True))


def _vectors(catalog: Catalog, wanted: set[str]) -> tuple[list[str], npt.NDArray[np.float32]]:
    rows = catalog.read(EMBEDDINGS, Embedding, ["clip_id", "vector"])
    rows = rows.filter(pc.is_in(rows["clip_id"], pa.array(sorted(wanted), pa.string())))
    rows = rows.sort_by("clip_id")
    return rows["clip_id"].to_pylist(), unpack(rows["vector"].to_pylist(), FrameDct.dim)
