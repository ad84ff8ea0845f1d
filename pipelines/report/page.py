"""The report: one HTML file that shows what an output holds and why.

It is a picture of the tables: nothing is decoded and nothing in the output changes. The file stands
alone (styles, script and pictures are inside, and its content policy forbids the network), and all
that came with the data (file names, details, captions) is escaped text. The script's digest is in
the policy, so that no other script runs even if such text got through.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from curation.dataset import Dataset
from curation.select.policy import FILTER_REASONS, LIMITS, Policy
from curation.storage import Storage
from pipelines.report import (
    captions,
    comparison,
    formatting,
    funnel,
    histogram,
    pictures,
    tags,
    timing,
    tokenizers,
    totals,
)
from pipelines.report.histogram import Histogram, Layer
from pipelines.report.snapshot import Output
from pipelines.report.tokenizers import Tokens
from pipelines.report.totals import Counts

_VERDICTS = ("kept", "duplicate", "filtered")


def write_report(
    dataset: Dataset,
    target: str | os.PathLike[str],
    *,
    policy: Policy | None = None,
    compare: str | None = None,
) -> Path:
    """Writes the report of an output's newest selection and returns where it is.

    `policy` is drawn instead of the one that the selection's run recorded. `compare` names another
    selection to set beside it (`UnknownSelectionError` if there is none such). The file appears
    whole or not at all; `IsADirectoryError` if `target` is a folder.
    """
    path = Path(target).expanduser().absolute()
    if path.is_dir():
        raise IsADirectoryError(
            f"{path} is a folder; name a file in it, such as {path}/report.html"
        )
    text = page(Output.at(dataset, policy), compare)
    with Storage.at(path.parent).writing(path.name) as temporary:
        Path(temporary).write_text(text, encoding="utf-8")
    return path


def page(output: Output, compare: str | None = None) -> str:
    """The report as HTML, with another selection beside the newest if one is named."""
    environment = Environment(
        loader=PackageLoader("pipelines", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    names = ("thousands", "share", "duration", "number", "large", "size", "base_name")
    environment.filters |= {name: getattr(formatting, name) for name in names}
    script = environment.get_template("report.js").render()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    counts = totals.gather(output)
    made = tokenizers.gather(output)
    return environment.get_template("report.html").render(
        script=Markup(script),
        script_digest=digest,
        place=output.dataset.catalog.storage.root,
        generated=datetime.now(timezone.utc),
        selection_id=output.selection_id,
        selected=_when(output),
        policy=output.policy,
        counts=counts,
        totals=_totals(counts, made, output.selection_id is not None),
        rows=funnel.draw(counts, output.selection_id is not None, amount(made)),
        reasons=list(_reasons(counts)),
        histograms=list(_scores(output)),
        tags=tags.gather(output),
        captions=captions.gather(output),
        comparison=None if compare is None else comparison.compare(output, compare),
        pictures=pictures.gather(output),
        failed_inputs=totals.failed_inputs(output),
        failed_clips=totals.failed_clips(output),
        remarks=totals.remarks(output),
        most_remarks=totals.MOST_FAILURES,
        tokenizers=[_tokenizer(found) for found in made],
        stages=timing.gather(output, counts),
    )


@dataclass(frozen=True)
class Total:
    """One number of the headline."""

    label: str
    value: str
    beside: str = ""


@dataclass(frozen=True)
class Tokenizer:
    """One tokenizer and its pictures."""

    tokens: Tokens
    histograms: list[Histogram]


def _totals(counts: Counts, made: list[Tokens], selected: bool) -> list[Total]:
    beside = f"{formatting.thousands(sum(counts.failed.values()))} failed"
    if waiting := len(counts.unwatched):
        beside += f", {formatting.thousands(waiting)} never watched"
    mean = formatting.duration(counts.clips_s / max(1, counts.clips))
    totals = [
        Total("Inputs", formatting.thousands(counts.inputs + waiting), beside),
        Total("Source video", formatting.duration(counts.source_s), "distinct files"),
        Total("Clips", formatting.thousands(counts.clips), f"{mean} long on average"),
    ]
    if not selected:
        return [*totals, Total("Kept", "–", "no selection yet")]
    clips_kept = f"{formatting.share(counts.kept, counts.clips)} of the clips"
    video_kept = f"{formatting.share(counts.kept_s, counts.source_s)} of the video"
    totals.append(Total("Kept", formatting.thousands(counts.kept), clips_kept))
    totals.append(Total("Kept video", formatting.duration(counts.kept_s), video_kept))
    if made and made[0].is_current:
        first = made[0]
        clips = f"of {formatting.thousands(first.clips)} clips"
        totals.append(Total("Token windows", formatting.thousands(first.windows), clips))
        words, count = first.amount
        weights = [f"{formatting.size(head.size_bytes)} of {head.name}" for head in first.heads[:1]]
        totals.append(Total(words.capitalize(), formatting.large(count), "".join(weights)))
    return totals


def amount(made: list[Tokens]) -> str:
    """How many windows and tokens there are of the tokens that count, in words; empty without."""
    if not made or not made[0].is_current:
        return ""
    words, count = made[0].amount
    return f"{formatting.thousands(made[0].windows)} windows, {formatting.large(count)} {words}"


def _reasons(counts: Counts) -> Iterator[tuple[str, str, int]]:
    """Reason, sentence and clips, most frequent first."""
    found: list[tuple[str, str, int]] = [
        (reason, FILTER_REASONS.get(reason, ""), clips) for reason, clips in counts.filtered.items()
    ]
    yield from sorted(found, key=lambda row: -row[2])


def _scores(output: Output) -> Iterator[Histogram]:
    """One picture for each value that a policy may bound and that was measured at all."""
    limits = output.policy.limits if output.policy else {}
    for name, limit in LIMITS.items():
        values = output.values[name]
        layers = [Layer("clips", values)]
        if output.selection_id is not None:
            layers = [Layer(word, values[output.verdicts == word]) for word in _VERDICTS]
            newer = np.array([verdict is None for verdict in output.verdicts], bool)
            layers.append(Layer("waiting", values[newer]))
        if drawn := histogram.draw(name, limit.about, layers, limits.get(name)):
            yield drawn


_DECODED = {
    "codes": "Decoded from the discrete tokens.",
    "latents": "Decoded from the continuous tokens.",
}


def _tokenizer(found: Tokens) -> Tokenizer:
    every = np.concatenate([np.zeros(0), *(head.psnr_db for head in found.heads)])
    drawn = [
        histogram.draw(
            f"PSNR of {head.name}, dB",
            _DECODED[head.name],
            [Layer(head.name, head.psnr_db)],
            span=every,
        )
        for head in found.heads
    ]
    return Tokenizer(found, [picture for picture in drawn if picture is not None])


def _when(output: Output) -> str:
    """When the selection was made, as its run says; empty if none does."""
    runs: list[dict[str, Any]] = output.runs
    found = [run["started"] for run in runs if run["result"] == output.selection_id]
    return str(found[-1])[:16].replace("T", " ") if found else ""
