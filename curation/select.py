"""Select: which clips are kept, decided from stored scores and neighbours in seconds."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curation import records
from curation.catalog import Catalog
from curation.dataset import Dataset, numbers
from curation.dedup import greedy, neighbours, unpack
from curation.descriptor import FrameDct
from curation.policy import Policy
from curation.records import Embedding, Neighbour, Verdict
from curation.scan import EMBEDDINGS

NEIGHBOURS = f"neighbours/{FrameDct.name}"
APP = "select"


@dataclass(frozen=True)
class Selection:
    """A finished selection and the one before it."""

    selection_id: str
    funnel: Counter[str]
    """Clips by verdict or, where filtered, by reason."""
    before: Counter[str] | None
    """The same of the newest selection until now."""
    is_new: bool
    """Whether anything was written."""


def select(dataset: Dataset, policy: Policy) -> Selection:
    """Applies a policy to every clip and stores the verdicts; the same again writes nothing."""
    clips = dataset.clips()
    previous = dataset.latest_selection()
    before = funnel(dataset.selection(previous)) if previous else None
    selection_id = _name(policy, clips["clip_id"].to_pylist())
    known = dataset.selection(selection_id)
    if known.num_rows:
        return Selection(selection_id, funnel(known), before, selection_id != previous)
    verdicts = decide(dataset.catalog, clips, policy, selection_id)
    rows = records.table(Verdict, verdicts)
    with dataset.catalog.writer(APP, {"selection": Verdict}) as writer:
        writer.append("selection", rows)
    return Selection(selection_id, funnel(rows), before, True)


def funnel(verdicts: pa.Table) -> Counter[str]:
    """Clips by verdict or, where filtered, by reason."""
    pairs = zip(verdicts["verdict"].to_pylist(), verdicts["reason"].to_pylist(), strict=True)
    return Counter(reason if verdict == "filtered" else verdict for verdict, reason in pairs)


def _name(policy: Policy, clip_ids: list[str]) -> str:
    text = policy.digest + FrameDct.name + "".join(clip_ids)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def decide(
    catalog: Catalog, clips: pa.Table, policy: Policy, selection_id: str
) -> list[Verdict]:
    """One verdict a clip, in the order of the clips."""
    ids = clips["clip_id"].to_pylist()
    values = numbers(clips)
    reasons = policy.reasons(values)
    passing = [i for i, reason in enumerate(reasons) if reason is None]
    duplicates: dict[str, tuple[str, float]] = {}
    if policy.similarity is not None and passing:
        duplicates = _duplicates(catalog, clips, values, passing, policy.similarity)
    verdicts = []
    for clip, source, reason in zip(ids, clips["source_id"].to_pylist(), reasons, strict=True):
        named = (selection_id, clip, source)
        if reason is not None:
            verdicts.append(Verdict(*named, "filtered", reason))
        elif clip in duplicates:
            verdicts.append(Verdict(*named, "duplicate", "near_duplicate", *duplicates[clip]))
        else:
            verdicts.append(Verdict(*named, "kept"))
    return verdicts


def _duplicates(
    catalog: Catalog,
    clips: pa.Table,
    values: dict[str, npt.NDArray[np.float64]],
    passing: list[int],
    threshold: float,
) -> dict[str, tuple[str, float]]:
    ids = clips["clip_id"].to_pylist()
    pairs = _pairs(catalog, [ids[i] for i in passing])
    quality = np.nan_to_num(
        np.stack([-values["short_side"], -values["sharpness"], -values["duration_s"]])
    )
    order = sorted(passing, key=lambda i: (*quality[:, i].tolist(), ids[i]))
    shot = zip(
        clips["source_id"].to_pylist(), clips["shot_start_frame"].to_pylist(), strict=True
    )
    shots: dict[str, Any] = dict(zip(ids, shot, strict=True))
    return greedy((ids[i] for i in order), pairs, shots, threshold)


def _pairs(catalog: Catalog, wanted: list[str]) -> list[tuple[str, str, float]]:
    """Stored pairs among the wanted clips, after searching for those not searched for yet."""
    stored = catalog.read(NEIGHBOURS, Neighbour)
    own = pc.equal(stored["clip_id"], stored["neighbour_id"])
    searched = set(stored.filter(own)["clip_id"].to_pylist())
    new = sorted(set(wanted) - searched)
    if new:
        ids, vectors = _vectors(catalog, searched | set(new))
        fresh = records.table(Neighbour, neighbours(new, ids, vectors))
        with catalog.writer(APP, {NEIGHBOURS: Neighbour}) as writer:
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
