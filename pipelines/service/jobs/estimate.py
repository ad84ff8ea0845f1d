"""What a job would cost, from what the runs before have cost.

A scan is charged by the bytes that it has to read, at the bytes a second of the runs so far; render
and tokenize by the clips that they have yet to do, at the clips a second. How many clips new
sources give, and how many of those are kept, is taken from the sources so far. No guess is made
where there is nothing to go by.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow.compute as pc

from curation.caption.step import table_name
from curation.dataset import Dataset
from curation.lineage import marker
from curation.listing import Entry, list_inputs
from pipelines.config import Profile
from pipelines.service.outputs import NoOutputError, Outputs
from pipelines.service.schemas import Estimate, Wish

_STEPS = {
    "curate": ("scan", "select", "render", "caption", "tokenize"),
    "scan": ("scan",), "select": ("select",), "render": ("render",), "caption": ("caption",),
    "tokenize": ("tokenize",),
}  # fmt: skip


@dataclass
class Rates:
    """Seconds that things have taken; None where nothing has told yet."""

    scan_byte_s: float | None = None
    clip_s: dict[str, float] | None = None
    """Of a clip, by step."""
    clips_a_byte: float = 0.0
    kept_share: float = 0.0
    of: tuple[str, ...] = ()
    """The collections that told."""


def inputs(places: list[str], wish: Wish, outputs: Outputs) -> tuple[list[Entry], list[Entry]]:
    """All inputs, and those that have no outcome yet."""
    entries = list_inputs(places, outside=outputs.place(wish.collection)) if places else []
    try:
        rows = outputs.opened(wish.collection).sources()
    except NoOutputError:
        return entries, entries
    columns = (rows[name].to_pylist() for name in ("uri", "size_bytes", "modified"))
    known = {f"{uri}|{size}|{modified}" for uri, size, modified in zip(*columns, strict=True)}
    return entries, [entry for entry in entries if entry.key not in known]


def estimates(
    wish: Wish, profile: Profile, new: list[Entry], outputs: Outputs
) -> tuple[dict[str, Estimate], Rates]:
    """What each step has to do and takes."""
    rates = measured(wish.collection, outputs)
    size = sum(entry.size_bytes for entry in new)
    new_clips = round(size * rates.clips_a_byte * rates.kept_share)
    waiting = _waiting(wish.collection, profile, outputs)
    found = {}
    for step in _STEPS.get(wish.kind, ()):
        if step == "scan":
            each = rates.scan_byte_s
            found[step] = Estimate(items=len(new), seconds=None if each is None else size * each)
            found[step].seconds = 0.0 if not new else found[step].seconds
            continue
        fresh = new_clips if wish.kind == "curate" else 0
        clips = waiting.get(step, 0) + fresh
        a_clip = (rates.clip_s or {}).get(step)
        unknown = a_clip is None or (wish.kind == "curate" and new and not rates.clips_a_byte)
        seconds = None if unknown else clips * (a_clip or 0.0)
        found[step] = Estimate(items=clips, seconds=seconds)
    return found, rates


def _waiting(name: str, profile: Profile, outputs: Outputs) -> dict[str, int]:
    """Clips that each step has yet to do, were it to run now; select looks at all of them."""
    try:
        dataset = outputs.opened(name)
    except NoOutputError:
        return {}
    catalog = dataset.catalog
    waiting = {"select": catalog.rows("clips") or 0}
    if selection := dataset.latest_selection():
        rows = dataset.selection(selection)
        kept = rows.filter(pc.field("verdict") == "kept").num_rows
        renders = f"renders/{profile.render.profile}"
        tables = {"render": renders, "tokenize": f"tokenized/{profile.tokenize.table(renders)}"}
        with contextlib.suppress(ValueError):  # a model that is not there: the job will say so
            tables["caption"] = marker(table_name(profile.caption, catalog, renders))
        waiting |= {s: max(0, kept - (catalog.rows(t) or 0)) for s, t in tables.items()}
    return waiting


def measured(name: str, outputs: Outputs) -> Rates:
    """Rates of the collection's own runs, or of all others' where it has none."""
    others = [other for other in outputs.names() if other != name]
    for group in ([name], others):
        found = [(each, dataset) for each in group for dataset in _there(each, outputs)]
        rates = _rates([dataset for _, dataset in found])
        if rates.scan_byte_s is not None:
            rates.of = tuple(each for each, _ in found)
            return rates
    return Rates()


def _there(name: str, outputs: Outputs) -> Iterator[Dataset]:
    try:
        yield outputs.opened(name)
    except NoOutputError:
        return


def _rates(datasets: list[Dataset]) -> Rates:
    seconds: Counter[str] = Counter()
    items: Counter[str] = Counter()
    size = clips = kept = judged = 0
    for dataset in datasets:
        for run in dataset.runs().to_pylist():
            seconds[run["step"]] += run["seconds"]
            items[run["step"]] += sum(json.loads(run["counts"]).values())
        scanned = dataset.sources().filter(pc.field("outcome") == "scanned")
        size += pc.sum(scanned["size_bytes"]).as_py() or 0
        clips += pc.sum(scanned["clips"]).as_py() or 0
        if selection := dataset.latest_selection():
            rows = dataset.selection(selection)
            judged += rows.num_rows
            kept += rows.filter(pc.field("verdict") == "kept").num_rows
    return Rates(
        scan_byte_s=seconds["scan"] / size if size else None,
        clip_s={step: seconds[step] / count for step, count in items.items() if count},
        clips_a_byte=clips / size if size else 0.0,
        kept_share=kept / judged if judged else 1.0,
    )
