"""Schemas derive from the records and are pinned by a golden file.

To write it again: `PYTHONPATH=. python tests/curation/test_records.py > tests/golden/schemas.json`.
"""

import dataclasses
import json
from pathlib import Path

import pyarrow as pa
import pytest

from curation import records
from curation.records import (
    Caption,
    CaptionedClip,
    Clip,
    ClipLabel,
    Embedding,
    ListedInput,
    Neighbour,
    Render,
    Review,
    Run,
    Signature,
    SkippedFiles,
    Source,
    SubsetClip,
    Thumbnail,
    TokenizedClip,
    Verdict,
)
from curation.scores import SCORES
from curation.signals.blocks import SIGNAL_TABLES
from tokenizer.tokenize.shards import TokenWindow

GOLDEN = Path(__file__).parents[1] / "golden" / "schemas.json"
RECORDS = [
    Source, Clip, Thumbnail, Embedding, ClipLabel, Signature, Neighbour, Verdict, Render, Caption,
    CaptionedClip, Run, SubsetClip, Review, ListedInput, SkippedFiles,
    *(score.record for score in SCORES.values()), *SIGNAL_TABLES.values(), TokenWindow,
    TokenizedClip,
]  # fmt: skip


def current_schemas() -> dict[str, dict[str, str]]:
    return {
        record.__name__: {
            column.name: f"{column.type}{'' if column.nullable else ' not null'}"
            for column in records.arrow_schema(record)
        }
        for record in RECORDS
    }


def test_schemas_are_those_of_the_golden_file():
    assert current_schemas() == json.loads(GOLDEN.read_text())


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_every_field_is_documented_and_nullable_only_where_it_may_be_none(record):
    for field in dataclasses.fields(record):
        nullable = records.arrow_schema(record).field(field.name).nullable
        assert nullable == str(field.type).endswith("| None"), field.name


def source(**more: object) -> Source:
    return Source("/v/a.mp4", 12, "5", "scanned", **more)


def test_rows_with_nulls_and_maps_survive_a_roundtrip():
    rows = [
        source(),
        source(extra={}, fps=23.976, hdr=False, clips=0),
        source(extra={"licence": "CC0", "käse": "", "empty": "ü\n'"}, reason="corrupt"),
    ]
    assert records.from_table(Source, records.to_table(Source, rows)) == rows


def test_bytes_survive_a_roundtrip():
    rows = [Thumbnail("c", "s", 3, b"\xff\x00\xd8"), Thumbnail("d", "s", 4, b"")]
    assert records.from_table(Thumbnail, records.to_table(Thumbnail, rows)) == rows


def test_no_rows_still_have_the_schema():
    empty = records.to_table(Clip, [])
    assert empty.num_rows == 0
    assert empty.schema == records.arrow_schema(Clip)


def test_columns_that_the_record_lacks_are_left_out():
    rows = records.to_table(Caption, [Caption("c", "s", "text")])
    wider = rows.append_column("verdict", pa.array(["kept"]))
    assert records.from_table(Caption, wider) == [Caption("c", "s", "text")]


def test_a_value_of_another_type_is_refused():
    with pytest.raises((pa.ArrowInvalid, pa.ArrowTypeError)):
        records.to_table(Embedding, [Embedding("c", "s", "many", b"")])  # type: ignore[arg-type]


if __name__ == "__main__":
    print(json.dumps(current_schemas(), indent=1))
