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
from pipelines.report.snapshot import Float64s, OutputSnapshot

_MOST_REPEATED = 3
_SLICE = 65536


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


@dataclass(frozen=True)
class _Texts:
    """What the texts of a table have in common."""

    lengths: Float64s
    """Words of each."""
    distinct_words: int
    unique: int
    repeated: list[tuple[str, int]]

    @classmethod
    def of(cls, column: pa.ChunkedArray) -> _Texts:
        """Looks at each text once, some at a time."""
        texts, counts = (pc.value_counts(column).field(n) for n in ("values", "counts"))
        numbers = counts.to_numpy()
        lengths, words = np.empty(len(texts)), set()
        for start in range(0, len(texts), _SLICE):
            for row, text in enumerate(texts.slice(start, _SLICE).to_pylist(), start):
                parts = text.split()
                lengths[row] = len(parts)
                words.update(parts)
        first = np.argsort(-numbers, kind="stable")[:_MOST_REPEATED]
        return cls(
            lengths=np.repeat(lengths, numbers),
            distinct_words=len({word.strip(".,;:!?\"'()").lower() for word in words}),
            unique=int((numbers == 1).sum()),
            repeated=[
                (texts[n].as_py(), int(numbers[n])) for n in first.tolist() if numbers[n] > 1
            ],
        )


def gather(output: OutputSnapshot) -> list[CaptionSummary]:
    """One entry per table, the one that was filled last first."""
    summaries = [
        _summary(output, name) for name in caption_tables.list_tables(output.dataset.catalog)
    ]
    return [summary for summary in summaries if summary.clips or summary.failed]


def _summary(output: OutputSnapshot, name: str) -> CaptionSummary:
    catalog = output.dataset.catalog
    columns = ["clip_id", "source_id", "text", "model"]
    rows = output.dataset.side_table(name, Caption, columns)
    is_committed = caption_tables.is_committed(catalog, name, rows["clip_id"])
    rows = rows.filter(pa.array(is_committed))
    sums = ["requests", "tokens_in", "tokens_out"]
    outcomes = catalog.read(
        name.replace("captions/", "captioned/", 1), CaptionedClip, ["outcome", "reason", *sums]
    )
    failures = outcomes.filter(pc.field("outcome") == "failed")["reason"].to_pylist()
    texts = _Texts.of(rows["text"])
    answers = caption_tables.read_answers(catalog, name)
    totals = {c: pc.sum(outcomes[c]).as_py() or 0 for c in sums}
    return CaptionSummary(
        name=name.removeprefix("captions/"),
        models=", ".join(sorted(pc.unique(rows["model"]).drop_null().to_pylist())),
        clips=pc.count_distinct(rows["clip_id"]).as_py(),
        windows=rows.num_rows,
        failed=Counter(failures).most_common(),
        length=plot_histogram("words", "Words of a caption.", {"kept": texts.lengths}),
        distinct_words=texts.distinct_words,
        unique=texts.unique,
        repeated=texts.repeated,
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
