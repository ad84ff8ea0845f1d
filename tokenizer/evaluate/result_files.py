"""Writes an evaluation for other programs: JSON with everything, CSV with the clips."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tokenizer.evaluate.clip_metrics import ComparedClip
from tokenizer.evaluate.evaluation import Evaluation
from tokenizer.evaluate.seams import Seams


def write_json(path: Path, evaluation: Evaluation, settings: Mapping[str, Any]) -> None:
    """Writes `settings`, `stopped`, `summaries`, `clips` and `skipped`.

    What was not measured is null; `stopped` is `time` or `interrupted` where clips are left out.
    """
    summaries = []
    for summary in evaluation.summaries:
        row = asdict(summary)
        if summary.seams is not None:
            row["seams"]["gap_db"] = summary.seams.gap_db
            row["seams"]["end_gap_db"] = summary.seams.end_gap_db
        summaries.append(row)
    content = {
        "settings": dict(settings),
        "stopped": evaluation.stopped,
        "summaries": summaries,
        "clips": [_flat_row(row) for row in evaluation.clips],
        "skipped": [asdict(skipped) for skipped in evaluation.skipped],
    }
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def write_csv(path: Path, evaluation: Evaluation) -> None:
    """Writes one line for each clip, tokenizer and head; what was not measured is empty."""
    rows = [_flat_row(row) for row in evaluation.clips]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def _flat_row(row: ComparedClip) -> dict[str, Any]:
    """The fields of a row, and those of its seams as `seam_…`."""
    fields = asdict(row)
    del fields["seams"]
    seams = row.seams._asdict() if row.seams else dict.fromkeys(Seams._fields)
    return fields | {f"seam_{name}": value for name, value in seams.items()}
