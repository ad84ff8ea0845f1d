"""The command line: what it says, how it exits, and that nothing is done twice."""

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import av
import numpy as np
import pyarrow.compute as pc
import pytest

from curation.dataset import Dataset
from curation.delta_table import StaleWriterError
from curation.errors import InfrastructureError
from curation.media.clip_reader import ClipReader
from curation.records import Render, TokenizedClip
from curation.sample import write_numbered_video
from pipelines.cli.commands import commands
from tests.outputs import COMMAND, ROOT, assert_same, environment, versions
from tokenizer.tokenize.psnr import psnr_db


def test_help_lists_every_command(reelmill):
    ended = reelmill("--help")
    assert ended.code == 0
    assert "Turn raw video into training data for world models." in ended.out
    listed = re.findall(r"^  ([a-z]+) +[A-Z]", ended.out, re.MULTILINE)
    assert sorted(listed) == sorted({name.split()[0] for name in commands()})
    assert reelmill().code == 2


def test_a_job_says_what_it_did(curated):
    assert (curated.ended.code, curated.ended.err) == (3, "")
    said = [line.strip() for line in curated.ended.out.splitlines()]
    assert "scan: 3 scanned, 1 not video" in said
    assert "render: 2 rendered" in said
    assert "tokenize: 2 tokenized" in said
    assert "1 input failed: 1 not video" in said
    assert f"look:   reelmill report {curated.out}" in said
    funnel = {" ".join(line.split()[:-2]): line.split()[-2] for line in said if line.endswith("%")}
    assert funnel == {"kept": "2", "duplicates": "2", "filtered: too_short": "1"}


def test_the_same_again_has_nothing_to_do_and_writes_nothing(reelmill, curated):
    before = versions(curated.out)
    ended = reelmill("curate", curated.videos, "--out", curated.out, *curated.options)
    assert (ended.code, ended.err) == (3, "")
    for step in ("scan", "render", "tokenize"):
        assert f"{step}: nothing to do" in ended.out
    assert versions(curated.out) == before


def test_a_job_ends_after_the_step_that_it_names(reelmill, curated, tmp_path):
    out = tmp_path / "out"
    job = ("curate", curated.videos, "--out", out, *curated.options)
    broken = reelmill(*job, "--set", "tokenizer=none.safetensors")
    assert (broken.code, out.exists()) == (2, False)
    ended = reelmill(*job, "--set", "tokenizer=none.safetensors", "--until", "render")
    assert ended.code == 3, "what only tokenize reads is not loaded"
    assert (out / "renders").exists()
    assert not (out / "captioned").exists()
    mistyped = reelmill(*job, "--until", "encode")
    assert mistyped.code == 2
    assert "until: there is no step 'encode'; there are scan, select, render," in mistyped.err
    assert reelmill(*job).code == 3
    assert_same(out, curated.out)


def test_the_steps_one_by_one_make_the_same(reelmill, curated, tmp_path):
    out = tmp_path / "out"
    assert reelmill("scan", curated.videos, "--out", out, *curated.options).code == 3
    for step in ("select", "render", "caption", "tokenize"):
        ended = reelmill(step, out, *curated.options)
        assert (ended.code, ended.err) == (3, ""), ended
    assert_same(out, curated.out)


def test_the_output_may_lie_among_the_videos(reelmill, curated, tmp_path):
    write_numbered_video(tmp_path / "a.mp4", 24, size=(160, 96))
    for said in ("scan: 1 scanned", "scan: nothing to do"):
        ended = reelmill("curate", tmp_path, "--out", tmp_path / "out", *curated.options)
        assert ended.code == 0, ended
        assert said in ended.out


def test_another_policy_shows_both_funnels(reelmill, copied):
    ended = reelmill("select", copied.out, *copied.options, "--set", "near_duplicates=null")
    assert re.search(r"kept +4 +80% +2\n", ended.out)
    assert re.search(r"duplicates +0 +0% +2\n", ended.out)
    assert len(Dataset(copied.out).clips("kept")) == 4


def test_verify_says_whether_the_promises_hold(reelmill, copied):
    ended = reelmill("verify", copied.out)
    assert (ended.code, ended.out.count("holds")) == (0, 6)
    clip = next(copied.out.glob("renders/*/media/*/*.mp4"))
    clip.unlink()
    ended = reelmill("verify", copied.out)
    assert (ended.code, ended.out.count("holds"), ended.out.count("broken")) == (1, 5, 2)
    assert f"  {clip.relative_to(copied.out)} is missing\n" in ended.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["curate"], "Missing argument"),
        (["curate", "VIDEOS"], "Missing option"),
        (["cruate", "VIDEOS"], "No such command 'cruate'"),
        (["curate", "VIDEOS", "--out", "OUT", "--set", "motoin.min=1"], "mean 'motion.min'"),
        (["curate", "VIDEOS", "--out", "OUT", "--set", "motion.min=x"], "limits.motion.min:"),
        (["curate", "VIDEOS", "--out", "OUT", "--config", "none"], "no profile 'none'"),
        (["curate", "/no/[such]", "--out", "OUT"], "no such file or folder: /no/[such]"),
        (["curate", "EMPTY", "--out", "OUT"], "no videos found in"),
        (["curate", "VIDEOS", "--out", "MADE", "--set", "max_clip_s=3"], "with other settings"),
        (["select", "OUT"], "no output at"),
        (["render", "OUT"], "no output at"),
        (["tokenize", "OUT"], "no output at"),
        (["verify", "OUT"], "no output at"),
        (["report", "OUT"], "no output at"),
        (["tokenizer", "decode", "OUT", "ab"], "has no tokens: run `reelmill tokenize` first"),
        (["tokenizer", "decode", "MADE", "zz"], "'zz' has no tokens in tokens/pca-8x8x8-"),
        (["tokenizer", "decode", "MADE", "", "--tokens", "x"], "no tokens 'x'; there are "),
        (["tokenizer", "fit", "MADE", "--weights", "w.bin"], "needs to end in .safetensors"),
        (["tokenizer", "fit", "MADE", "--weights", "w.safetensors", "--rate=8"], "TIMExSPACE"),
        (["tokenizer", "fit", "MADE", "--weights", "w.safetensors"], "too few"),
    ],
)  # fmt: skip
def test_usage_errors_say_what_and_exit_with_2(reelmill, curated, tmp_path, arguments, words):
    (tmp_path / "empty").mkdir()
    places = {
        "VIDEOS": curated.videos, "OUT": tmp_path / "out", "MADE": curated.out,
        "EMPTY": tmp_path / "empty",
    }  # fmt: skip
    options = (
        ["--config", curated.profile] if "MADE" in arguments[:4] and "--set" in arguments else []
    )
    ended = reelmill(*(places.get(a, a) for a in arguments), *options)
    assert ended.code == 2, ended
    assert words in ended.err
    assert ended.err.startswith("reelmill: ")
    assert "Traceback" not in ended.err + ended.out
    assert not (tmp_path / "out").exists()


def test_render_before_select_names_the_step(reelmill, curated, tmp_path):
    reelmill("scan", curated.videos / "short.mp4", "--out", tmp_path / "out", *curated.options)
    ended = reelmill("render", tmp_path / "out", *curated.options)
    assert (ended.code, ended.err) == (
        2, "reelmill: there is no selection yet; run `reelmill select` first\n",
    )  # fmt: skip


@pytest.mark.parametrize("fault", [InfrastructureError, StaleWriterError])
def test_a_fault_of_the_surroundings_exits_with_4(reelmill, copied, monkeypatch, fault):
    def full(*_):
        raise fault("disk [full]")

    monkeypatch.setattr("pipelines.run.pipeline.select", full)
    ended = reelmill("select", copied.out, *copied.options)
    assert ended.code == 4
    assert ended.err == (
        "reelmill: stopped: disk [full]\n"
        "What was done is kept. Run the same command again to resume.\n"
    )


@pytest.mark.slow
def test_a_fault_in_the_middle_keeps_what_was_done(reelmill, curated, tmp_path, monkeypatch):
    from curation.scan import stage

    decode_streams, seen = stage.decode_streams, []

    def faulty(path, *more, **named):
        seen.append(Path(path).name)
        if len(seen) > 1:
            raise OSError(28, "No space left on device")
        return decode_streams(path, *more, **named)

    arguments = ("curate", curated.videos, "--out", tmp_path / "out", *curated.options)
    with monkeypatch.context() as patch:
        patch.setattr(stage, "decode_streams", faulty)
        ended = reelmill(*arguments)
    assert (ended.code, "No space left" in ended.err) == (4, True)
    assert [Path(row["uri"]).name for row in Dataset(tmp_path / "out").sources().to_pylist()] == [
        "a.mp4"
    ]
    assert reelmill(*arguments).code == 3
    assert_same(tmp_path / "out", curated.out)


@pytest.mark.slow
def test_an_interrupt_stops_the_job_and_the_next_run_completes_it(reelmill, curated, tmp_path):
    """Ctrl-C once the first source is being watched."""
    videos, out = tmp_path / "videos", tmp_path / "out"
    for index in range(5):
        write_numbered_video(videos / f"{index}.mp4", 12, size=(160, 96), first=100 * index)
    arguments = ["curate", str(videos), "--out", str(out), *curated.options]
    process = subprocess.Popen(
        [*COMMAND, *arguments], cwd=ROOT, env=environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    while process.poll() is None and not (out / "sources").exists():
        time.sleep(0.005)
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    said, errors = process.communicate(timeout=300)
    assert process.returncode == 4, said + errors
    assert errors == (
        "reelmill: stopped. What was done is kept. Run the same command again to resume.\n"
    )
    done = Dataset(out).sources().num_rows
    assert done < 5
    ended = reelmill(*arguments)
    assert ended.code == 0
    assert f"scan: {5 - done} scanned" in ended.out
    assert reelmill("verify", out).code == 0


def test_a_termination_stops_the_job_like_an_interrupt(reelmill, copied, monkeypatch):
    monkeypatch.setattr(
        "pipelines.run.pipeline.select", lambda *_: os.kill(os.getpid(), signal.SIGTERM)
    )
    ended = reelmill("select", copied.out, *copied.options)
    assert (ended.code, ended.err[:17]) == (4, "reelmill: stopped")


def test_decode_writes_the_clip_from_its_tokens_where_nothing_else_is_left(
    reelmill, curated, tmp_path
):
    (clip, other) = Dataset(curated.out).clips("kept")["clip_id"].to_pylist()
    assert clip[:8] != other[:8]
    shutil.copytree(curated.out / "tokens", tmp_path / "out/tokens")
    video = tmp_path / "look.mp4"
    ended = reelmill("tokenizer", "decode", tmp_path / "out", clip[:8], "--video", video)
    assert (ended.code, ended.out) == (0, f"24 frames: {video}\n")
    with av.open(str(video)) as container:
        shown = np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])
    assert shown.shape == (24, 64, 108, 3), "an odd side gets one more column"
    (path,) = curated.out.glob(f"renders/*/media/*/{clip}.mp4")
    rendered = ClipReader(path.read_bytes(), width=107, height=64, frames=24).read(range(24))
    (table,) = Dataset(curated.out).catalog.names("tokenized")
    stored = Dataset(curated.out).catalog.read(table, TokenizedClip).to_pylist()
    (psnr,) = (row["psnr_codes_db"] for row in stored if row["clip_id"] == clip)
    assert psnr_db(rendered, shown[:, :, :107]) == pytest.approx(psnr, abs=1)


def test_sample_writes_sources(reelmill, tmp_path, monkeypatch):
    monkeypatch.setattr("curation.sample.write_sample", lambda folder: ["truth"] * 3)
    ended = reelmill("sample", tmp_path)
    assert (ended.code, ended.out) == (0, f"3 sample sources in {tmp_path}\n")


@pytest.mark.slow
def test_sources_out_of_reach_are_left_for_another_run(reelmill, curated, tmp_path):
    videos, out = tmp_path / "videos", tmp_path / "out"
    shutil.copytree(curated.videos, videos)
    assert reelmill("scan", videos, "--out", out, *curated.options).code == 3
    assert reelmill("select", out, *curated.options).code == 3
    (videos / "a.mp4").rename(tmp_path / "a.mp4")
    ended = reelmill("render", out, *curated.options)
    assert ended.code == 4
    assert "sources unavailable, by step: 2 render" in ended.err
    again = reelmill("render", out, *curated.options)
    assert (again.code, again.err.count(f"{videos}/a.mp4: missing")) == (4, 1)
    assert "Bring them back and run the same command again; or continue without them" in again.err
    (tmp_path / "a.mp4").rename(videos / "a.mp4")
    ended = reelmill("render", out, *curated.options)
    assert (ended.code, "2 rendered" in ended.out) == (3, True)
    assert reelmill("verify", out).code == 0


@pytest.mark.slow
def test_an_input_with_another_chance_has_one_outcome_still(reelmill, curated, tmp_path):
    source = tmp_path / "text.mp4"
    source.write_text("no video\n")
    (tmp_path / "empty.mp4").touch()
    listed = (tmp_path / "empty.mp4", source)
    words = ("scan", *listed, "--out", tmp_path / "out", *curated.options)
    for retry in ((), ("--retry", "not_video"), ("--retry", "not_video")):
        ended = reelmill(*words, *retry)
        assert (ended.code, "1 not video" in ended.out) == (3, True)
        assert reelmill("verify", tmp_path / "out").code == 0


def test_retry_takes_reasons_of_the_list(reelmill, curated, tmp_path):
    ended = reelmill("scan", curated.videos, "--out", tmp_path / "out", "--retry", "bad luck")
    assert ended.code == 2
    assert "bad luck: the reasons are missing, unreadable" in ended.err


@pytest.mark.slow
def test_a_job_that_is_stopped_leaves_word_of_what_was_never_scanned(reelmill, curated, tmp_path):
    """Stopped by a fault at the second source, with three more to come."""
    videos, out = tmp_path / "my videos", tmp_path / "out"
    for index in range(5):
        write_numbered_video(videos / f"{index}.mp4", 12, size=(160, 96), first=100 * index)
    (videos / "notes.txt").touch()
    arguments = ("scan", videos, "--out", out, *curated.options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("curation.scan.stage.decode_streams", stopped_at_the_second())
        ended = reelmill(*arguments)
    assert (ended.code, "skipped: 1 .txt\n" in ended.out) == (4, True)
    ended = reelmill("verify", out)
    assert (ended.code, ended.out.count("broken")) == (1, 2)
    assert "  4 of 5 were never scanned: `reelmill pending` lists them" in ended.out
    ended = reelmill("pending", out)
    assert (ended.code, ended.out) == (
        0,
        "4 inputs listed and never scanned:\n"
        + "".join(f"  {videos}/{n}.mp4\n" for n in range(1, 5))
        + f"resume: reelmill scan '{videos}' --out {out}  (or curate; with the same options)\n"
        + f"skipped in {videos}: 1 .txt\n",
    )
    page = tmp_path / "r.html"
    assert reelmill("report", out, "--html", page).code == 0
    text = page.read_text()
    assert "4 listed inputs were never scanned. To scan them, run" in text
    assert re.search(r"never scanned.{0,4}4 · 80", text)
    assert "Skipped when listing: 1 .txt." in text
    (videos / "4.mp4").unlink()
    assert reelmill(*arguments).code == 0
    assert "every listed input has an outcome" in reelmill("pending", out).out
    assert reelmill("verify", out).code == 0


def stopped_at_the_second():
    from curation.scan import stage

    decode_streams, seen = stage.decode_streams, []

    def stopped(path, *more, **named):
        seen.append(path)
        if len(seen) > 1:
            raise KeyboardInterrupt
        return decode_streams(path, *more, **named)

    return stopped


def test_inputs_that_are_not_wanted_any_more_are_withdrawn(reelmill, curated, tmp_path):
    write_numbered_video(tmp_path / "v/a.mp4", 12, size=(160, 96))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "curation.scan.stage.decode_streams", lambda *_, **__: os.kill(os.getpid(), 2)
        )
        arguments = ("scan", tmp_path / "v", "--out", tmp_path / "out", *curated.options)
        assert reelmill(*arguments).code == 4
    assert reelmill("verify", tmp_path / "out").code == 1
    assert "1 input removed" in reelmill("pending", tmp_path / "out", "--withdraw").out
    assert reelmill("verify", tmp_path / "out").code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["curate", "VIDEOS", "--out", "ftp://b/o"],
        ["scan", "VIDEOS", "--out", "s3:/b/o"],
        ["scan", "ftp://b/v", "--out", "out"],
        ["select", "ftp://b/o"],
        ["verify", "ftp://b/o"],
        ["report", "MADE", "--html", "ftp://b/r.html"],
        ["export", "MADE", "ftp://b/e"],
        ["search", "MADE", "dark", "--export", "ftp://b/x.parquet"],
        ["sample", "ftp://b/v"],
        ["serve", "ftp://b"],
        ["key", "create", "ftp://b", "--scope", "read"],
        ["tokenizer", "decode", "MADE", "ab", "--video", "ftp://b/x.mp4"],
        ["tokenizer", "eval", "MADE", "--figures", "ftp://b/x.json"],
    ],
    ids=" ".join,
)
def test_places_that_cannot_be_reached_are_refused_and_make_no_folder(
    reelmill, copied, tmp_path, monkeypatch, arguments
):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    places = {"VIDEOS": copied.videos, "MADE": copied.out}
    ended = reelmill(*(places.get(each, each) for each in arguments))
    assert (ended.code, "only local paths" in ended.err) == (2, True), ended
    assert os.listdir() == []


@pytest.mark.parametrize(
    ("command", "change", "words"),
    [
        ("select", "crf=20", "select does not read render.encoding.crf; it is read by curate, "
         "render, caption, tokenize"),
        ("select", "threshold=0.4", "select does not read scan.shots.ContentChange.threshold; it "
         "is read by curate, scan"),
        ("render", "motion.min=0.1", "render does not read policy.limits.motion.min; it is read by "
         "curate, select"),
        ("tokenize", "captioner=FactsCaption", "it is read by curate, caption"),
        ("caption", "short_side=64", "it is read by curate, tokenize"),
    ],
)  # fmt: skip
def test_a_setting_that_a_step_does_not_read_is_refused(reelmill, copied, command, change, words):
    ended = reelmill(command, copied.out, *copied.options, "--set", change)
    assert ended.code == 2
    assert ended.err.startswith(f"reelmill: --set {change}: ")
    assert words in ended.err


def test_a_setting_that_changes_is_said_and_those_of_an_output_are_shown(reelmill, copied):
    assert "duration_s.min=0.9  (default 1.0)" in reelmill("settings", copied.out).out
    ended = reelmill("select", copied.out, *copied.options, "--set", "motion.min=0.3")
    assert re.search(r"^select: motion\.min none → 0\.3 \(last run: 20", ended.out, re.M)
    shown = reelmill("settings", copied.out).out
    assert "motion.min=0.3  (default 0.004)" in shown
    ended = reelmill("curate", copied.videos, "--out", copied.out, *copied.options)
    assert re.search(r"^select: motion\.min 0\.3 → none \(last run: 20", ended.out, re.M)
    again = reelmill("curate", copied.videos, "--out", copied.out, *copied.options)
    assert "→" not in again.out


def test_the_second_run_is_refused_and_told_by_whom(reelmill, copied):
    (table,) = Dataset(copied.out).catalog.names("renders")
    with Dataset(copied.out).catalog.writer("render", {"renders/x": Render}):
        assert reelmill("render", copied.out, *copied.options).code == 3, "other tables are free"
    shutil.rmtree(copied.out / table)
    with Dataset(copied.out).catalog.writer("render", {table: Render}) as first:
        ended = reelmill("render", copied.out, *copied.options)
        first.add_files(table, [])
    assert ended.code == 4
    assert f"render: {copied.out} is held by pid {os.getpid()} on " in ended.err
    assert "Start it again when the other has ended." in ended.err
    assert reelmill("render", copied.out, *copied.options).code == 3


@pytest.mark.slow
def test_a_source_that_is_gone_for_good_is_given_up(reelmill, curated, tmp_path):
    videos, out = tmp_path / "videos", tmp_path / "out"
    shutil.copytree(curated.videos, videos)
    assert reelmill("scan", videos, "--out", out, *curated.options).code == 3
    assert reelmill("select", out, *curated.options).code == 3
    (videos / "a.mp4").unlink()
    assert reelmill("render", out, *curated.options).code == 4
    ended = reelmill("render", out, *curated.options, "--give-up")
    assert (ended.code, "render: 2 missing" in ended.out) == (3, True)
    assert "nothing to do" in reelmill("render", out, *curated.options).out
    assert reelmill("verify", out).code == 0


def test_a_place_that_cannot_be_written_is_told_before_any_work(reelmill, curated, small_disk):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    ended = reelmill("curate", curated.videos, "--out", small_disk / "out", *curated.options)
    assert (ended.code, ended.out) == (4, "")
    assert ended.err == (
        f"reelmill: stopped: {small_disk}/out cannot be written: Read-only file system\n"
        "The output is read-only, and running again will not change that: make it writable, or name"
        " another output.\n"
    )


@pytest.mark.slow
def test_a_full_disk_is_told_as_one_and_the_run_goes_on_once_there_is_room(
    reelmill, curated, small_disk, capfd
):
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(1_750_000))
    arguments = ("curate", curated.videos, "--out", small_disk / "out", *curated.options)
    ended = reelmill(*arguments)
    assert (ended.code, "No space left on device" in ended.err) == (4, True)
    assert "The disk is full. What was done is kept: free some space" in ended.err
    assert "panicked" not in capfd.readouterr().err
    ballast.unlink()
    subprocess.run(["mount", "-o", "remount,size=30m", str(small_disk)], check=True)
    assert reelmill(*arguments).code == 3
    assert_same(small_disk / "out", curated.out)


def test_names_of_files_are_shown_and_not_obeyed(copied, reelmill, tmp_path):
    (tmp_path / "v").mkdir()
    name = tmp_path / "v" / "a\x1b]0;owned\x07[red]b.mp4"
    name.write_bytes((copied.videos / "a.mp4").read_bytes() + b"\0\0\0\x08free")
    ended = reelmill("scan", tmp_path / "v", "--out", copied.out, *copied.options)
    assert ended.code in (0, 3), ended
    dataset = Dataset(copied.out)
    rows = dataset.clips().filter(pc.match_substring(dataset.clips()["uri"], "owned")).to_pylist()
    shown = reelmill("why", copied.out, rows[0]["clip_id"]).out
    assert "a\ufffd]0;owned\ufffd[red]b.mp4" in shown
    shown += reelmill("search", copied.out, "--where", "uri like '%owned%'").out
    assert not {"\x1b", "\x07"} & set(shown + ended.out + ended.err)
