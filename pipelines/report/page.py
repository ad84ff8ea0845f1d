"""The report: one HTML file that shows what an output holds and why.

It shows the tables, and frames decoded from tokens where they are asked for; nothing in the output
changes. The file is
self-contained (styles, script and pictures are inside, and its content policy forbids the network),
and everything from the data (file names, details, captions) is escaped text. The content policy has
the script's digest, so no other script runs even if such text got through.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from markupsafe import Markup

from curation.dataset import Dataset
from curation.select.policy import FILTER_REASONS, LIMITS, Policy
from pipelines.report import (
    captions,
    comparison,
    contact_sheets,
    funnel,
    reconstructions,
    tags,
    timing,
    tokenizers,
    totals,
)
from pipelines.report.formatting import duration, large, share, size, thousands
from pipelines.report.histogram import HistogramPlot, plot_histogram
from pipelines.report.snapshot import OutputSnapshot, selection_run
from pipelines.report.templates import template, write_text
from pipelines.report.tokenizers import TokenizerSummary
from pipelines.report.totals import FunnelCounts


def write_report(
    dataset: Dataset,
    target: str | os.PathLike[str],
    *,
    policy: Policy | None = None,
    compare: str | None = None,
    num_reconstructions: int = 0,
) -> Path:
    """Writes the report of an output's newest selection and returns its absolute path.

    `policy` is drawn instead of the one that the selection's run recorded. `compare` names another
    selection to compare with (`UnknownSelectionError` if there is none such). The file is written
    atomically; `IsADirectoryError` if `target` is a folder.
    """
    path = Path(target).expanduser().absolute()
    if path.is_dir():
        raise IsADirectoryError(
            f"{path} is a folder; name a file in it, such as {path}/report.html"
        )
    return write_text(path, page(OutputSnapshot.at(dataset, policy), compare, num_reconstructions))


def page(output: OutputSnapshot, compare: str | None = None, num_reconstructions: int = 0) -> str:
    """The report as HTML, with a comparison to another selection if one is named."""
    script = template("report.js").render()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    counts = totals.gather(output)
    tokenized = tokenizers.gather(output)
    is_selected = output.selection_id is not None
    selected_at = str(selection_run(output.runs, output.selection_id).get("started", ""))
    return template("report.html").render(
        script=Markup(script),
        script_digest=digest,
        place=output.dataset.catalog.storage.root,
        generated=datetime.now(timezone.utc),
        selection_id=output.selection_id,
        selected_at=selected_at[:16].replace("T", " "),
        policy=output.policy,
        counts=counts,
        totals=_totals(counts, tokenized, is_selected),
        rows=funnel.draw(counts, is_selected, tokenizers.amount(tokenized)),
        reasons=sorted(
            ((reason, FILTER_REASONS.get(reason, ""), n) for reason, n in counts.filtered.items()),
            key=lambda row: -row[2],
        ),
        histograms=list(_histograms(output)),
        tags=tags.gather(output),
        captions=captions.gather(output),
        comparison=None if compare is None else comparison.compare(output, compare),
        sheets=contact_sheets.gather(output),
        failed_inputs=totals.failed_inputs(output),
        failed_clips=totals.failed_clips(output),
        remarks=totals.remarks(output),
        max_remarks=totals.MAX_FAILURES,
        tokenizers=tokenized,
        reconstructions=reconstructions.gather(output, num_reconstructions),
        timings=timing.gather(output, counts),
    )


@dataclass(frozen=True)
class Total:
    """One number of the headline."""

    label: str
    value: str
    detail: str


def _totals(
    counts: FunnelCounts, tokenized: list[TokenizerSummary], is_selected: bool
) -> list[Total]:
    outcomes = f"{thousands(counts.failed.total())} failed"
    if pending := len(counts.pending_places):
        outcomes += f", {thousands(pending)} never scanned"
    mean = duration(counts.clips_s / max(1, counts.clips))
    rows = [
        Total("Inputs", thousands(counts.inputs + pending), outcomes),
        Total("Source video", duration(counts.source_s), "distinct files"),
        Total("Clips", thousands(counts.clips), f"{mean} long on average"),
    ]
    if not is_selected:
        return [*rows, Total("Kept", "–", "no selection yet")]
    clips_share = f"{share(counts.kept, counts.clips)} of the clips"
    video_share = f"{share(counts.kept_s, counts.source_s)} of the video"
    rows.append(Total("Kept", thousands(counts.kept), clips_share))
    rows.append(Total("Kept video", duration(counts.kept_s), video_share))
    if tokenized and tokenized[0].is_current:
        tokens = tokenized[0]
        clips = f"of {thousands(tokens.clips)} clips"
        rows.append(Total("Token windows", thousands(tokens.windows), clips))
        sizes = [f"{size(head.size_bytes)} of {head.name}" for head in tokens.heads[:1]]
        rows.append(Total(tokens.kind.capitalize(), large(tokens.num_tokens), "".join(sizes)))
    return rows


def _histograms(output: OutputSnapshot) -> Iterator[HistogramPlot]:
    """One for each value that a policy may bound and that was measured on some clip."""
    limits = output.policy.limits if output.policy else {}
    for name, limit in LIMITS.items():
        series = {"clips": output.values(name)}
        if output.selection_id is not None:
            series = output.by_verdict(name)
        if plot := plot_histogram(name, limit.about, series, limits.get(name)):
            yield plot
