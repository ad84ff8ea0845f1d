import csv
import json

import pytest

from tokenizer.evaluate.clip_metrics import ComparedClip
from tokenizer.evaluate.evaluation import Evaluation, SkippedClip
from tokenizer.evaluate.result_files import write_csv, write_json
from tokenizer.evaluate.seams import SeamComparison, Seams
from tokenizer.evaluate.summary import CodebookUse, FrechetDistance, Summary

FACTS = ("clip", "s", 20, 96, 64, 2, 30.5, 57.9, 0.9, None, 0.06, 0.25, 0.5)


@pytest.fixture
def evaluation():
    rows = [
        ComparedClip("pca", "codes", *FACTS, Seams(1, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0)),
        ComparedClip("pca", "latents", *FACTS, None),
    ]
    line = Summary(
        "pca", "ab12", "codes", 1, 20, 30.5, 30.4, 0.9, None, FrechetDistance(7.5, 3, 400), 0.06,
        CodebookUse(10, 64000, 0.5, 3.0),
        SeamComparison(1, 30.0, 29.5, 30.5, 31.0, 29.0, 2.0, 1.5), 80.0, 40.0, "cpu", "fp32",
    )  # fmt: skip
    return Evaluation([line], rows, [SkippedClip("bad", "corrupt", "noise")])


def test_json_holds_everything(evaluation, tmp_path):
    write_json(tmp_path / "e.json", evaluation, {"short_side": 256})
    result = json.loads((tmp_path / "e.json").read_text())
    assert (result["settings"], result["stopped"]) == ({"short_side": 256}, None)
    assert result["skipped"] == [{"clip_id": "bad", "reason": "corrupt", "detail": "noise"}]
    [line] = result["summaries"]
    assert (line["tokenizer"], line["head"], line["lpips"]) == ("pca", "codes", None)
    assert line["fvd"] == {"value": 7.5, "spans": 3, "dimensions": 400}
    assert line["codebook"]["entropy_bits"] == 3
    assert line["seams"]["gap_db"] == -1
    assert line["seams"]["end_gap_db"] == 0.5
    first, second = result["clips"]
    assert (first["seam_number"], first["seam_last"], first["seam_inside"]) == (1, 2, 5)
    assert (second["seam_number"], second["lpips"]) == (None, None)


def test_csv_has_a_line_for_each_clip_and_head(evaluation, tmp_path):
    write_csv(tmp_path / "e.csv", evaluation)
    with open(tmp_path / "e.csv", newline="") as file:
        first, second = csv.DictReader(file)
    assert first["head"], second["head"] == ("codes", "latents")
    assert (first["psnr_db"], first["lpips"], first["seam_across"]) == ("30.5", "", "4.0")
    assert (second["seam_across"], second["bits_per_pixel"]) == ("", "0.06")
    assert "seams" not in first
