"""A LeRobot data set and a bad file of signals through the command line: curated, fed, exported."""

import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import reelmill

from curation.dataset import Dataset
from curation.sample import write_numbered_video
from curation.scores.recording import RecordingScores
from curation.signals.blocks import RECORDINGS, SAMPLES, ClipRecording, SignalBlock
from tests.curation.signals.test_readers import write_lerobot
from tests.outputs import run
from tokenizer.feed import TokenTable

pytestmark = pytest.mark.slow
LENGTHS = (30, 25)
QUICK = (
    "-s", "execution.executor=in_process", "-s", "scan.scores=[Motion, RecordingQuality]",
    "-s", "scan.shots=ContentChange",
)  # fmt: skip


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """Two episodes in one file, by two cameras; a video with a bad and one with a good table."""
    folder = tmp_path_factory.mktemp("journey")
    top = write_lerobot(folder / "in" / "set", "v3.0", LENGTHS)[0]
    add_camera(folder / "in" / "set")
    for camera in ("top", "side"):
        path = top.parents[2] / f"observation.images.{camera}" / "chunk-000" / "file-000.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_numbered_video(path, sum(LENGTHS), fps=10, cuts=(40,) if camera == "top" else ())
    for name, text in (("bad", "time_s,v\n0,1\n2,1\n1,1\n"), ("good", "time_s,v\n0,1\n9,1\n")):
        write_numbered_video(folder / "in" / f"{name}.mp4", 30, fps=10, size=(128, 72))
        (folder / "in" / f"{name}.signals.csv").write_text(text)
    policy = ("-s", "policy.near_duplicates=null")
    done = run(
        "curate",
        str(folder / "in"),
        "--out",
        str(folder / "out"),
        *QUICK,
        *policy,
        "-s",
        "tokenizer=pca-8x8x8",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "out"


def add_camera(root):
    """A second camera with the same files as the first."""
    info = root / "meta" / "info.json"
    text = info.read_text()
    feature = '"observation.images.side": {"dtype": "video", "shape": [8, 8, 3], "names": null}'
    info.write_text(text.replace('"features": {', f'"features": {{{feature}, ', 1))
    path = root / "meta/episodes/chunk-000/file-000.parquet"
    table = pq.read_table(path)
    for name in table.column_names:
        if "images.top" in name:
            table = table.append_column(name.replace("top", "side"), table[name])
    pq.write_table(table, path)


def test_cameras_are_cut_alike_at_episodes(out):
    dataset = Dataset(out)
    clips = {row["clip_id"]: row for row in dataset.all_clips().to_pylist()}
    rows = dataset.catalog.read(RECORDINGS, ClipRecording).to_pylist()
    spans = {}
    for row in rows:
        if row["session"]:
            clip = clips[row["clip_id"]]
            span = (row["task"], clip["start_frame"], clip["end_frame"])
            spans.setdefault(row["camera"], []).append(span)
    expected = [("task 0", 0, 30), ("task 1", 30, 55)]
    assert {c: sorted(several) for c, several in spans.items()} == {
        "observation.images.top": expected, "observation.images.side": expected,
    }  # fmt: skip


def test_bad_signals_are_a_reason_and_the_video_goes_on(out):
    dataset = Dataset(out)
    remarks = {
        row["uri"].rpartition("/")[2]: (row["outcome"], row["remarks"])
        for row in dataset.sources().to_pylist()
    }
    assert remarks["good.mp4"] == ("scanned", None)
    outcome, text = remarks["bad.mp4"]
    assert outcome == "scanned"
    assert "its signals are left out: v: its stamps go back at sample 2" in text
    words = dataset.catalog.values("scores/recording", RecordingScores, "recording")
    assert {"unreadable", "good"} <= words
    assert run("verify", str(out)).returncode == 0


def test_latents_have_the_actions_of_their_frames(out):
    """Number 0 of frame n of episode e is 100 e + n; a hold is that of a latent's last frame."""
    table = TokenTable(out, columns=["actions", "clip_id", "start_frame", "frames"])
    assert table.action_names[:3] == ("action.x", "action.y", "action.z")
    seen = 0
    for batch in reelmill.TokenFeed(table, batch_size=1):
        if not batch["actions_valid"][0, :, 0].any():
            continue
        start, frames = int(batch["start_frame"][0]), int(batch["frames"][0])
        last = start + np.minimum(np.arange(batch["actions"].shape[1]) * 8, frames - 1)
        number = np.where(last < 30, last, 100 + last - 30)
        assert batch["actions"][0, :, 0].tolist() == number.tolist()
        seen += 1
    assert seen == 4


def test_lerobot_to_lerobot_keeps_every_action_bit_for_bit(out, tmp_path):
    done = run("export", str(out), str(tmp_path / "set"), "--format", "lerobot")
    assert done.returncode == 0, done.stdout + done.stderr
    first = pq.read_table(out.parent / "in/set/data/chunk-000/file-000.parquet")
    second = pq.read_table(tmp_path / "set/data/chunk-000/file-000.parquet")
    assert second["episode_index"].to_pylist() == first["episode_index"].to_pylist()
    before, after = (np.array(t["action"].to_pylist(), np.float32) for t in (first, second))
    assert before.tobytes() == after.tobytes()
    videos = sorted((tmp_path / "set" / "videos").rglob("*.mp4"))
    assert len(videos) == 4


def test_a_second_scan_reads_signals_again_once_they_changed(out):
    table = out.parent / "in" / "bad.signals.csv"
    table.write_text("time_s,v\n0,1\n1,1\n2,1\n")
    done = run("scan", str(out.parent / "in"), "--out", str(out), *QUICK)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 filled" in done.stdout + done.stderr
    rows = Dataset(out).catalog.read(RECORDINGS, ClipRecording).to_pylist()
    assert [row["problem"] for row in rows] == [None] * len(rows)
    words = Dataset(out).catalog.read("scores/recording", RecordingScores)["recording"]
    assert "unreadable" not in words.to_pylist()
    assert run("verify", str(out)).returncode == 0


def test_verify_names_a_signal_that_is_gone(out, tmp_path):
    """Its advice brings the signal back."""
    shutil.copytree(out, tmp_path / "out")
    catalog = Dataset(tmp_path / "out").catalog
    with catalog.writer("scan", {SAMPLES: SignalBlock}) as writer:
        writer.drop(SAMPLES, "signal", {"action"})
    done = run("verify", str(tmp_path / "out"))
    assert done.returncode == 1
    assert "signals/samples lacks action of clip" in done.stdout + done.stderr
    done = run("scan", str(out.parent / "in"), "--out", str(tmp_path / "out"), *QUICK)
    assert done.returncode == 0, done.stdout + done.stderr
    assert run("verify", str(tmp_path / "out")).returncode == 0
