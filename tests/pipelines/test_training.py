"""Training through the command line, and the plot of its curves."""

import csv
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from pipelines.report.curves import draw_curves
from tests.tokenizer.train.conftest import rendered_clips
from tokenizer.models.load import load

SVG = "{http://www.w3.org/2000/svg}"


def write_log(path: Path, rows: list[tuple[float, ...]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["step", "seconds", "loss", "psnr_codes_db", "psnr_latents_db"])
        writer.writerows(rows)


def test_curves_show_loss_and_both_heads(tmp_path):
    rows = [(0, 0, float("nan"), 20, 24), (500, 9, 0.2, 21, 25), (1000, 18, 0.1, 22.5, 26.25)]
    write_log(tmp_path / "log.csv", rows)
    draw_curves(tmp_path / "log.csv", tmp_path / "curves.svg")
    root = ElementTree.parse(tmp_path / "curves.svg").getroot()
    paths = [path.get("d") for path in root.iter(f"{SVG}path")]
    assert [path.count("L") for path in paths] == [1, 2, 2]
    words = [text.text for text in root.iter(f"{SVG}text")]
    assert "codes 22.5" in words
    assert "latents 26.25" in words
    codes = [float(part.split()[1]) for part in paths[2].removeprefix("M").split("L")]
    assert codes == sorted(codes, reverse=True)


def test_a_first_row_without_a_loss_draws_the_psnr(tmp_path):
    write_log(tmp_path / "log.csv", [(0, 0, float("nan"), 20, 24)])
    draw_curves(tmp_path / "log.csv", tmp_path / "curves.svg")
    root = ElementTree.parse(tmp_path / "curves.svg").getroot()
    assert len(list(root.iter(f"{SVG}path"))) == 2


@pytest.mark.train
def test_from_clips_to_weights(reelmill, tmp_path):
    rendered_clips(tmp_path / "out", [("a", "CC0"), ("b", "CC0"), ("c", "MIT"), ("d", "CC0")])
    crops, folder, split = tmp_path / "crops.safetensors", tmp_path / "run", tmp_path / "split.json"
    small = ("--side", "64", "--frames", "9", "--size-mib", "0.3", "--split", split)
    packed = reelmill("tokenizer", "pack", tmp_path / "out", crops, *small, "--by", "recording")
    assert (packed.code, packed.err) == (0, "")
    assert "CC0" in packed.out
    assert set(json.loads(split.read_text())) == {"train", "validation"}
    options = ("--steps", "2", "--every", "1", "--batch", "1", "--side", "32")
    trained = reelmill("tokenizer", "train", crops, folder, *options)
    assert (trained.code, trained.err) == (0, "")
    assert len(re.findall(r"^step +[012] ", trained.out, re.MULTILINE)) == 3
    assert "causal-8x8x8" in trained.out
    assert load(str(folder / "weights.safetensors")).card["steps"] == "2"
    assert (folder / "curves.svg").exists()
    again = reelmill("tokenizer", "train", crops, folder, *options, "--seed", "1")
    assert again.code != 0
    assert "trained with another seed" in again.err


def test_a_file_without_crops_is_named(reelmill, tmp_path):
    (tmp_path / "crops.safetensors").write_bytes(b"no")
    ended = reelmill("tokenizer", "train", tmp_path / "crops.safetensors", tmp_path / "run")
    assert ended.code != 0
    assert "crops.safetensors" in ended.err
    assert "reelmill tokenizer pack" in ended.err
