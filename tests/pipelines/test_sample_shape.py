"""`tokenize.shape`: every sample of one shape, from the tables to the feed, decoding and export."""

import json
import re
import tarfile

import av

from tokenizer.feed import TokenFeed, TokenTable


def test_samples_of_one_shape_are_verified_fed_decoded_and_exported(reelmill, copied, tmp_path):
    """Two kept clips of 24 frames of 160 × 96 pixels."""
    shaped = ("--set", "shape=17x64x64", "--set", "fit=crop", "--set", "tail=overlap")
    ended = reelmill("tokenize", copied.out, *copied.options, *shaped)
    assert (ended.code, "2 tokenized" in ended.out) == (3, True), ended  # one input is no video
    assert reelmill("verify", copied.out).code == 0
    table = TokenTable(copied.out, columns=["codes", "frames", "overlap_frames", "scaled_width"])
    (batch,) = TokenFeed(table, batch_size=4)
    assert batch["codes"].shape == (4, 3, 8, 8)
    assert sorted(batch["overlap_frames"].tolist()) == [0, 0, 10, 10]
    assert batch["frames"].tolist() == [17] * 4
    assert batch["scaled_width"].tolist() == [107] * 4
    clip = json.loads(reelmill("ls", copied.out, "--verdict", "kept", "--json").out.split("\n")[0])
    video = tmp_path / "decoded.mp4"
    assert reelmill("tokenizer", "decode", copied.out, clip["clip_id"], "--video", video).code == 0
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        assert (stream.frames, stream.width, stream.height) == (24, 64, 64)
    page = tmp_path / "report.html"
    assert reelmill("report", copied.out, "--html", page, "--reconstructions", 2).code == 0
    psnr_db = [
        float(db) for db in re.findall(r"(?:codes|latents) <b>([\d.]+) dB", page.read_text())
    ]
    assert len(psnr_db) == 4
    assert min(psnr_db) > 15, "the original is cropped like the tokens"
    assert reelmill("export", copied.out, tmp_path / "shards").code == 0
    with tarfile.open(next((tmp_path / "shards").glob("*.tar"))) as tar:
        facts = json.load(tar.extractfile(next(n for n in tar.getnames() if n.endswith(".json"))))
    assert [window["overlap_frames"] for window in facts["windows"]] == [0, 10]
    assert (facts["scaled_width"], facts["crop_left"]) == (107, 21)


def test_a_shape_that_the_tokenizer_does_not_take_is_refused_with_the_nearest(reelmill, copied):
    ended = reelmill("tokenize", copied.out, *copied.options, "--set", "shape=16x60x64")
    assert ended.code == 2
    assert "shape 16x60x64 does not fit the rate 8x8x8; the nearest that does is 17x64x64" in (
        ended.err
    )
