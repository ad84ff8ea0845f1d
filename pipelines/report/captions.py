"""What captioners said: of how many clips, at what length, how much alike, and at what cost."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation import caption_tables
from curation.records import Caption, CaptionedClip
from pipelines.report import histogram
from pipelines.report.histogram import Histogram, Layer
from pipelines.report.snapshot import Output

_MOST_REPEATED = 3


@dataclass(frozen=True)
class Answers:
    """What a model said to one question."""

    question: str
    clips: int
    yes: int
    """Clips of which it was more sure of yes than of no."""


@dataclass(frozen=True)
class Captions:
    """The captions of one table."""

    name: str
    """The table's name without its folder."""
    models: str
    """The models that wrote them; empty for measured facts."""
    clips: int
    windows: int
    failed: list[tuple[str, int]]
    """Clips that got none, by reason, the most frequent first."""
    words: Histogram | None
    """Words of a caption."""
    vocabulary: int
    """Different words, whatever their case."""
    alone: int
    """Captions that no other window has."""
    repeated: list[tuple[str, int]]
    """Those that several windows have, the most frequent first, and how many."""
    requests: int
    """Questions put to a model."""
    tokens: int
    """Tokens that it read and wrote."""
    answers: list[Answers]


def gather(output: Output) -> list[Captions]:
    """One entry a table, the one that was filled last first."""
    found = [_table(output, name) for name in caption_tables.tables(output.dataset.catalog)]
    return [one for one in found if one.clips or one.failed]


def _table(output: Output, name: str) -> Captions:
    catalog = output.dataset.catalog
    short = name.removeprefix("captions/")
    rows = output.dataset.side(name, Caption)
    known = caption_tables.announced(catalog, name)
    if known is not None:
        rows = rows.filter(pc.is_in(rows["clip_id"], pa.array(sorted(known), pa.string())))
    outcomes = catalog.read(name.replace("captions/", "captioned/", 1), CaptionedClip)
    failures = outcomes.filter(pc.field("outcome") == "failed")["reason"].to_pylist()
    texts = Counter(rows["text"].to_pylist())
    terms = [text.split() for text in texts.elements()]
    return Captions(
        name=short,
        models=", ".join(sorted(pc.unique(rows["model"]).drop_null().to_pylist())),
        clips=pc.count_distinct(rows["clip_id"]).as_py(),
        windows=rows.num_rows,
        failed=Counter(failures).most_common(),
        words=_lengths(terms),
        vocabulary=len({term.strip(".,;:!?\"'()").lower() for each in terms for term in each}),
        alone=sum(count == 1 for count in texts.values()),
        repeated=[(t, n) for t, n in texts.most_common(_MOST_REPEATED) if n > 1],
        requests=_total(outcomes, "requests"),
        tokens=_total(outcomes, "tokens_in") + _total(outcomes, "tokens_out"),
        answers=_answers(output, name),
    )


def _lengths(terms: list[list[str]]) -> Histogram | None:
    counts = np.array([len(each) for each in terms], np.float64)
    return histogram.draw("words", "Words of a caption.", [Layer("kept", counts)])


def _total(rows: pa.Table, column: str) -> int:
    return pc.sum(rows[column]).as_py() or 0


def _answers(output: Output, name: str) -> list[Answers]:
    table = caption_tables.answers(output.dataset.catalog, name)
    questions = [question for question in table.column_names if question != "clip_id"]
    return [
        Answers(
            question,
            len(table) - table[question].null_count,
            pc.sum(pc.greater(table[question], 0.5)).as_py() or 0,
        )
        for question in questions
    ]
