"""`reelmill tokenizer eval` on a curated output."""

import csv
import json
import re

import av
import pytest
import torch

from curation.dataset import Dataset

QUICK = ("--short-side", 64, "--max-frames", 17)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Frames are small here, and tests run in parallel."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def table_cells(text, title):
    """Cells of a printed table, by tokenizer and head."""
    block = text.split(title, 1)[1].split("\n\n", 1)[0]
    rows = [line.split() for line in block.splitlines()[2:]]
    return {(row[0], row[1]): row[2:] for row in rows if row}


def test_tokenizers_are_compared(reelmill, curated, tmp_path):
    files = {name: tmp_path / f"e.{name}" for name in ("json", "csv")}
    ended = reelmill(
        "tokenizer", "eval", curated.out, *QUICK, "-t", "pca-8x8x8", "-t", "pca-8x16x16",
        "--figures", files["json"], "--csv", files["csv"], "--video", tmp_path / "e.mp4",
    )  # fmt: skip
    assert (ended.code, ended.err) == (0, "")
    report = json.loads(files["json"].read_text())
    heads = [(name, h) for name in ("pca-8x8x8", "pca-8x16x16") for h in ("codes", "latents")]
    assert [(s["tokenizer"], s["head"]) for s in report["summaries"]] == heads
    quality, codes = table_cells(ended.out, "quality"), table_cells(ended.out, "codes and seams")
    speed = table_cells(ended.out, "frames a second")
    assert list(quality) == list(codes) == list(speed) == heads
    for summary in report["summaries"]:
        cells = quality[summary["tokenizer"], summary["head"]]
        assert cells == [
            f"{summary['psnr_db']:.2f}", f"{summary['pooled_psnr_db']:.2f}",
            f"{summary['ssim']:.4f}", f"{summary['bits_per_pixel']:.4f}",
        ]  # fmt: skip
    assert quality["pca-8x8x8", "latents"][0] > quality["pca-8x8x8", "codes"][0]
    assert speed["pca-8x8x8", "codes"][2:] == ["cpu", "fp64"]
    frames = sum(row["frames"] for row in report["clips"]) // 4
    assert f"2 clips, {frames} frames" in ended.out
    assert (report["settings"]["short_side"], report["settings"]["placement"]["batch"]) == (64, 1)
    with open(files["csv"], newline="") as file:
        assert len(list(csv.DictReader(file))) == 2 * 4
    with av.open(str(tmp_path / "e.mp4")) as container:
        assert container.streams.video[0].frames == frames


def test_a_split_selects_the_sources(reelmill, curated, tmp_path):
    split = tmp_path / "split.json"
    split.write_text(json.dumps({"validation": ["a", "copy"]}))
    arguments = ("tokenizer", "eval", curated.out, *QUICK, "-t", "pca-8x8x8", "--split", split)
    ended = reelmill(*arguments, "--by", "name", "--clips", 1, "--clip-frames", 5)
    assert ended.code == 0
    assert "1 clip, 5 frames" in ended.out
    ended = reelmill(*arguments)
    assert ended.code == 2
    assert "no rendered clip is of the groups held out (a, copy); by source_id" in ended.err


def test_bad_clips_are_named_and_the_others_are_evaluated(reelmill, copied):
    clips = sorted(copied.out.glob("renders/*/media/*/*.mp4"))
    clips[0].unlink()
    ended = reelmill("tokenizer", "eval", copied.out, *QUICK, "-t", "pca-8x8x8")
    assert ended.code == 3
    assert re.search(r"left out \w{8}: missing: ", ended.out)
    assert "1 clip left out, for all tokenizers alike" in ended.out
    assert "1 clip, " in ended.out
    clips[1].unlink()
    ended = reelmill("tokenizer", "eval", copied.out, *QUICK, "-t", "pca-8x8x8")
    assert ended.code == 2
    assert "none of 2 clips could be evaluated: " in ended.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["OUT"], "no output at"),
        (["MADE", "-t", "pca-9"], "unknown tokenizer 'pca-9'"),
        (["MADE", "-t", "/none.safetensors"], "no tokenizer weights at /none.safetensors"),
        (["MADE", "-t", "pca-8x8x8", "--max-frames", "20"], "max_frames 20 is not 1 + 8·k"),
        (["MADE", "--split", "/none.json"], "No such file"),
        (["MADE", "--figures", "/none/e.json"], "no folder /none"),
        (["MADE", "--lpips", "/none.onnx"], "no LPIPS network at /none.onnx"),
        (["MADE", "--fvd", "/none.pt"], "no video network at /none.pt"),
        (["MADE", "--device", "abacus"], "abacus"),
    ],
)
def test_usage_errors_say_what(reelmill, curated, tmp_path, arguments, words):
    places = {"OUT": tmp_path / "out", "MADE": curated.out}
    ended = reelmill("tokenizer", "eval", *(places.get(word, word) for word in arguments))
    assert ended.code == 2
    assert words in ended.err
    assert not (tmp_path / "out").exists()


def test_an_output_without_renders_says_what_to_run(reelmill, curated, tmp_path):
    out = tmp_path / "out"
    assert reelmill("scan", curated.videos, "--out", out, *curated.options).code == 3
    ended = reelmill("tokenizer", "eval", out, "-t", "pca-8x8x8")
    assert ended.code == 2
    assert "no rendered clips; run `reelmill render` first" in ended.err
    assert Dataset(out).catalog.names("renders") == []
