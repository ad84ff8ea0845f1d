"""`import reelmill`: the examples of docs/api.md run in order over one small output."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import reelmill

from curation.sample import Coding, write_numbered_video

PAGE = Path(__file__).parents[1] / "docs" / "api.md"
SETTINGS = {
    "execution.executor": "in_process",
    "scan.shots": {"ContentChange": {}},
    "tokenize.tokenizer": "pca-8x8x8",
    "policy.limits.motion.min": None,
    "policy.limits.sharpness.min": None,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """`videos` with a good and a bad file, and `out` made of them."""
    folder = tmp_path_factory.mktemp("api")
    (folder / "videos").mkdir()
    write_numbered_video(folder / "videos" / "a.mp4", 48, fps=24, size=(128, 72), coding=Coding())
    (folder / "videos" / "broken.mp4").write_bytes(b"no video")
    calls: list[tuple[str, int, int]] = []
    output = reelmill.curate(
        folder / "videos", folder / "out", settings=SETTINGS,
        on_progress=lambda *progress: calls.append(progress),
    )  # fmt: skip
    assert sorted(output.sources()["outcome"].to_pylist()) == ["failed", "scanned"]
    assert ("scan", 2, 2) in calls
    return folder


@pytest.mark.ray
def test_the_examples_of_the_page_run(folder, tmp_path, monkeypatch):
    (tmp_path / "videos").symlink_to(folder / "videos")
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)
    assert len(examples) >= 7
    names = {"reelmill": reelmill, "np": np}
    for example in examples:
        exec(compile(example, str(PAGE), "exec"), names)
    assert names["output"].clips("kept").num_rows == 1


def test_steps_one_by_one_make_the_same(folder, tmp_path):
    out = tmp_path / "out"
    settings = {k: v for k, v in SETTINGS.items() if k.split(".")[0] in ("execution", "scan")}
    reelmill.scan([folder / "videos"], out, settings=settings)
    limits = {k: v for k, v in SETTINGS.items() if k.split(".")[0] in ("execution", "policy")}
    assert reelmill.select(out, settings=limits).funnel["kept"] == 1
    executor = {"execution.executor": "in_process"}
    reelmill.render(out, settings=executor)
    reelmill.caption(out, settings=executor)
    tokenizer = {**executor, "tokenize.tokenizer": "pca-8x8x8"}
    output = reelmill.tokenize(out, settings=tokenizer)
    once = reelmill.open(folder / "out")
    assert output.clips("kept")["clip_id"].equals(once.clips("kept")["clip_id"])
    assert output.captions()["text"].equals(once.captions()["text"])
    (batch,) = reelmill.TokenFeed(out, batch_size=1)
    assert batch["codes"].shape[0] == 1


def test_frames_of_any_size_come_back():
    frames = np.random.default_rng(0).integers(0, 255, (10, 43, 70, 3), np.uint8)
    tokenizer = reelmill.load_tokenizer("pca-8x8x8")
    tokens = tokenizer.encode(frames)
    assert (tokens.codes.shape, tokens.latents.shape) == ((3, 6, 9), (16, 3, 6, 9))
    for head in ("codes", "latents"):
        assert tokenizer.decode(tokens, head, frames.shape[:3]).shape == frames.shape


def test_mistakes_are_reelmill_errors(tmp_path):
    with pytest.raises(reelmill.ReelmillError, match="no output at"):
        reelmill.open(tmp_path / "none")
    with pytest.raises(reelmill.ReelmillError, match="there is no key 'motoin'"):
        reelmill.select(tmp_path, settings={"motoin": 1})
    for step in (reelmill.select, reelmill.render, reelmill.caption, reelmill.tokenize):
        with pytest.raises(reelmill.ReelmillError, match="no output at"):
            step(tmp_path / "none")
    with pytest.raises(reelmill.ReelmillError, match="retry: bad luck: the reasons are missing"):
        reelmill.scan(tmp_path, tmp_path / "none", retry="bad luck")
    assert list(tmp_path.iterdir()) == []


def test_nothing_heavy_is_imported_before_it_is_used():
    code = "import reelmill, sys; print([m for m in ('torch', 'ray', 'faiss') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
