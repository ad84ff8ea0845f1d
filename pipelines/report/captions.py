"""Captions: of how many clips, at what length, how repetitive, and at what cost."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation import caption_tables
from curation.records import Caption, CaptionedClip
from pipelines.report.histogram import HistogramPlot, plot_histogram
from pipelines.report.snapshot import OutputSnapshot

_MOST_REPEATED = 3


@dataclass(frozen=True)
class QuestionSummary:
    """The answers of a model to one question."""

    question: str
    clips: int
    yes: int
    """Clips where yes was likelier than no."""


@dataclass(frozen=True)
class CaptionSummary:
    """The captions of one table."""

    name: str
    """The table's name without its folder."""
    models: str
    """The models that wrote them; empty for measured facts."""
    clips: int
    windows: int
    failed: list[tuple[str, int]]
    """Clips without a caption, by reason, the most frequent first."""
    length: HistogramPlot | None
    """Words of a caption."""
    distinct_words: int
    """Regardless of case."""
    unique: int
    """Captions that occur once."""
    repeated: list[tuple[str, int]]
    """Captions that occur most often, and how often."""
    requests: int
    """To a model."""
    tokens: int
    """That the models read and wrote."""
    questions: list[QuestionSummary]


def gather(output: OutputSnapshot) -> list[CaptionSummary]:
    """One entry per table, the one that was filled last first."""
    summaries = [
        _summary(output, name) for name in caption_tables.list_tables(output.dataset.catalog)
    ]
    return [summary for summary in summaries if summary.clips or summary.failed]


def _summary(output: OutputSnapshot, name: str) -> CaptionSummary:
    catalog = output.dataset.catalog
    rows = output.dataset.side_table(name, Caption)
    committed = caption_tables.captioned_clip_ids(catalog, name)
    if committed is not None:
        rows = rows.filter(pc.is_in(rows["clip_id"], pa.array(sorted(committed), pa.string())))
    outcomes = catalog.read(name.replace("captions/", "captioned/", 1), CaptionedClip)
    failures = outcomes.filter(pc.field("outcome") == "failed")["reason"].to_pylist()
    texts = Counter(rows["text"].to_pylist())
    words = [text.split() for text in texts.elements()]
    lengths = np.array([len(caption) for caption in words], np.float64)
    answers = caption_tables.read_answers(catalog, name)
    totals = {c: pc.sum(outcomes[c]).as_py() or 0 for c in ("requests", "tokens_in", "tokens_out")}
    return CaptionSummary(
        name=name.removeprefix("captions/"),
        models=", ".join(sorted(pc.unique(rows["model"]).drop_null().to_pylist())),
        clips=pc.count_distinct(rows["clip_id"]).as_py(),
        windows=rows.num_rows,
        failed=Counter(failures).most_common(),
        length=plot_histogram("words", "Words of a caption.", {"kept": lengths}),
        distinct_words=len({w.strip(".,;:!?\"'()").lower() for caption in words for w in caption}),
        unique=sum(count == 1 for count in texts.values()),
        repeated=[(text, n) for text, n in texts.most_common(_MOST_REPEATED) if n > 1],
        requests=totals["requests"],
        tokens=totals["tokens_in"] + totals["tokens_out"],
        questions=[
            QuestionSummary(
                question,
                len(answers) - answers[question].null_count,
                pc.sum(pc.greater(answers[question], 0.5)).as_py() or 0,
            )
            for question in answers.column_names
            if question != "clip_id"
        ],
    )
