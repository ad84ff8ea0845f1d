"""What scripts rely on: JSON, quiet, versions, closed pipes, and names instead of digests."""

import json
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from importlib.metadata import version

import pytest

from curation import records
from curation.dataset import Dataset
from curation.listing import Entry, Listing
from curation.pending_inputs import record_listing
from curation.reasons import ADVICE, INPUT_REASONS
from curation.records import Source
from curation.scan.stage import ScanItem
from pipelines.cli.clip_names import find_named
from pipelines.cli.terminal import ClosedPipeError, escape
from pipelines.config import load
from pipelines.run.estimate import Rates, estimate_steps
from tests.outputs import COMMAND, ROOT, environment, versions
from tests.rows import MeasuredClip, add_source, make_clip, make_source


def objects(ended):
    return [json.loads(line) for line in ended.out.splitlines()]


def test_json_has_one_object_a_line_with_stable_fields(reelmill, curated):
    clips = objects(reelmill("ls", curated.out, "--json"))
    assert len(clips) == 5
    kept = [clip for clip in clips if clip["verdict"] == "kept"]
    table = Dataset(curated.out).clips("kept")
    assert {c["clip_id"]: c["path"] for c in kept} == dict(
        zip(table["clip_id"].to_pylist(), table["path"].to_pylist(), strict=True)
    )
    assert all(clip["caption"] and clip["path"].endswith(".mp4") for clip in kept)
    (failed,) = objects(reelmill("failed", curated.out, "--json"))
    assert (failed["step"], failed["reason"]) == ("scan", "not_video")
    assert (failed["uri"], failed["advice"]) == (
        str(curated.videos / "notes.mp4"), ADVICE["not_video"],
    )  # fmt: skip
    invariants = objects(reelmill("verify", curated.out, "--json"))
    assert [row["holds"] for row in invariants] == [True] * 6
    sources = objects(reelmill("ls", curated.out, "--sources", "--json"))
    assert [row["outcome"] for row in sources].count("scanned") == 3


def test_a_job_in_json_tells_its_steps_and_what_failed(reelmill, curated):
    arguments = ("curate", curated.videos, "--out", curated.out, *curated.options)
    ended = reelmill(*arguments, "--json")
    rows = [json.loads(line) for line in ended.out.splitlines()]
    assert [row["step"] for row in rows if "counts" in row] == [
        "scan", "render", "caption", "tokenize",
    ]  # fmt: skip
    assert {row["outcome"]: row["clips"] for row in rows if "outcome" in row}["kept"] == 2
    assert [row["reason"] for row in rows if "advice" in row] == ["not_video"]
    quiet = reelmill(*arguments, "--quiet")
    assert (quiet.code, quiet.err) == (3, "")
    assert "scan: nothing to do" in quiet.out
    assert "reelmill report" not in quiet.out
    kinds = dict.fromkeys(row["kind"] for row in rows)
    assert list(kinds) == ["step", "funnel", "failure"]


def test_quiet_prints_the_results_of_every_command(reelmill, curated, tmp_path):
    shows = {
        ("settings", curated.out): "tokenizer=pca-8x8x8",
        ("pending", curated.out): "every listed input has an outcome",
        ("report", curated.out, "--html", tmp_path / "r.html"): "report: ",
        ("gc", curated.out): "removed 0 files",
    }
    for arguments, words in shows.items():
        assert words in reelmill(*arguments, "--quiet").out, arguments
    (settings, *_) = objects(reelmill("settings", curated.out, "--json", "--quiet"))
    assert settings["step"] == "scan"


def test_lists_are_filtered_by_verdict_condition_and_number(reelmill, curated):
    def ids(*arguments):
        return {row["clip_id"] for row in objects(reelmill("ls", curated.out, *arguments))}

    everything = ids("--json")
    assert ids("--json", "--verdict", "kept") < everything
    assert ids("--json", "--where", "duration_s < 0.6") == ids("--json", "--verdict", "filtered")
    shown = reelmill("ls", curated.out, "--limit", 1).out.splitlines()
    assert (len(shown), shown[-1]) == (3, "and 4 more: --limit 5")
    refused = reelmill("ls", curated.out, "--where", "nothing > 1")
    assert (refused.code, "nothing" in refused.err) == (2, True)
    for option in (["--sources"], ["--verdict", "kept"], ["--where", "clips > 1"]):
        refused = reelmill("ls", curated.out.parent, *option)
        assert (refused.code, "is a folder of 1 outputs" in refused.err) == (2, True)
    assert objects(reelmill("ls", curated.out.parent, "--json", "--limit", 0)) == []
    refused = reelmill("ls", curated.profile)
    assert (refused.code, "profile.yaml is a file" in refused.err) == (2, True)
    refused = reelmill("failed", curated.out, "--step", "rendr")
    assert (refused.code, "--step rendr: the steps are scan, render" in refused.err) == (2, True)
    (summary,) = objects(reelmill("ls", curated.out.parent, "--json"))
    assert {name: summary[name] for name in ("output", "sources", "failed", "clips", "kept")} == {
        "output": "out", "sources": 3, "failed": 1, "clips": 5, "kept": 2,
    }  # fmt: skip


@pytest.mark.parametrize("name", ["a.mp4", "a", "FULL"])
def test_a_clip_and_a_source_are_found_by_the_name_of_the_file(reelmill, curated, name):
    name = str(curated.videos / "a.mp4") if name == "FULL" else name
    (source,) = objects(reelmill("show", curated.out, name, "--json"))
    assert (source["outcome"], len(source["clips"])) == ("scanned", 2)
    clips = objects(reelmill("why", curated.out, name, "--json"))
    assert [clip["clip_id"] for clip in clips] == sorted(source["clips"])
    (clip,) = objects(reelmill("show", curated.out, source["clips"][0][:8], "--json"))
    assert clip["uri"] == str(curated.videos / "a.mp4")
    assert clip["tokens"].startswith(f"{curated.out}/tokens/")
    failed = reelmill("why", curated.out, "notes.mp4")
    assert (failed.code, "notes.mp4 has no clips" in failed.err) == (2, True)
    unknown = reelmill("show", curated.out, "nothing.mp4")
    assert (unknown.code, "no file of this name" in unknown.err) == (2, True)


def test_settings_say_where_they_come_from(reelmill, curated):
    rows = objects(reelmill("config", "show", *curated.options, "-s", "crf=20", "--json"))
    found = {row["key"]: (row["value"], row["from"]) for row in rows}
    assert found["render.encoding.crf"] == (20, "--set")
    assert found["tokenize.short_side"] == (64, str(curated.profile))
    assert found["render.mode"] == ("encode", "default")
    assert reelmill("config", "show", "no.such").code == 2


def test_version_and_short_help(reelmill):
    assert reelmill("--version").out == f"reelmill {version('reelmill')}\n"
    assert reelmill("ls", "-h").out == reelmill("ls", "--help").out


def test_verbose_shows_where_an_error_was_raised(reelmill, tmp_path):
    plain, verbose = (reelmill("ls", tmp_path / "none", *more) for more in ([], ["-v"]))
    assert (plain.code, "Traceback" in plain.err) == (2, False)
    assert (verbose.code, "Traceback" in verbose.err) == (2, True)
    assert verbose.err.endswith(plain.err)


def test_a_closed_pipe_is_no_failure(curated):
    line = [*COMMAND, "ls", str(curated.out), "--json"]
    process = subprocess.Popen(
        line, cwd=ROOT, env=environment() | {"PYTHONUNBUFFERED": "1"}, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    process.stdout.close()
    assert (process.stderr.read(), process.wait(60)) == (b"", 0)


def test_hits_are_exported_before_a_list_that_nobody_reads_is_printed(
    reelmill, copied, monkeypatch
):
    def print_rows(*_, **__):
        raise ClosedPipeError

    monkeypatch.setattr("pipelines.cli.search.print_rows", print_rows)
    ended = reelmill("search", copied.out, "--where", "duration_s > 0", "--export", "every")
    assert ended.code == 0
    assert Dataset(copied.out).selection("every").num_rows == 3, "without near-duplicates"


def test_help_imports_nothing_heavy():
    code = (
        "import sys; sys.argv = ['reelmill', '--help']\n"
        "from pipelines.cli.app import main\n"
        "main()\n"
        "heavy = {'numpy', 'pyarrow', 'deltalake', 'duckdb', 'torch', 'pandas', 'pydantic'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_verify_and_report_load_no_torch():
    code = "import sys, pipelines.verify, pipelines.report.page; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_every_reason_of_a_failure_has_an_advice():
    assert ADVICE.keys() == INPUT_REASONS.keys()
    assert escape("\x1b[0m") == "\N{REPLACEMENT CHARACTER}[0m"


def test_a_dry_run_says_what_is_to_do_and_writes_nothing(reelmill, curated, tmp_path):
    fresh = ("curate", curated.videos, "--out", tmp_path / "new", *curated.options, "--dry-run")
    ended = reelmill(*fresh)
    assert (ended.code, (tmp_path / "new").exists()) == (0, False)
    assert "4 inputs, 4 without an outcome" in ended.out
    assert re.search(r"scan +4 +sources +not known yet", ended.out)
    assert re.search(r"render +not known yet +clips +not known yet", ended.out)
    before = versions(curated.out)
    again = ("curate", curated.videos, "--out", curated.out, *curated.options, "--dry-run")
    rows = {row["step"]: row for row in objects(reelmill(*again, "--json"))}
    assert list(rows) == ["scan", "select", "render", "caption", "tokenize"]
    assert [rows[name]["items"] for name in ("scan", "render", "tokenize")] == [0, 0, 0]
    (retry, *_) = objects(reelmill(*again, "--retry", "not_video", "--json"))
    assert (retry["kind"], retry["step"], retry["items"]) == ("plan", "scan", 1)
    assert reelmill(*again, "--retry", "bad_luck").code == 2
    backfill = reelmill(*again, "--set", "scan.scores=[Exposure, Text]")
    assert "4 inputs, 0 without an outcome" in backfill.out
    assert "3 known sources lack a score or an embedding" in backfill.out
    assert re.search(r"scan +3 +sources", backfill.out)
    assert versions(curated.out) == before


def test_a_plan_selects_all_new_clips_and_renders_those_that_it_expects_to_keep():
    profile, new = load(None, opens_files=False), [ScanItem(Entry("/v/x.mp4", 1000))]
    steps = ("scan", "select", "render")
    costs = estimate_steps(None, profile, steps, new, Rates(clips_per_byte=0.01, kept_share=0.3))
    assert [cost.items for cost in costs.values()] == [1, 10, 3]
    unknown = estimate_steps(None, profile, steps, new, Rates())
    assert [cost.items for cost in unknown.values()] == [1, None, None]


def test_a_whole_file_name_comes_before_an_id_and_that_before_a_name_without_suffix(tmp_path):
    dataset, clip = Dataset(tmp_path), make_clip("a" * 64, 0, 48)
    start = clip.clip_id[:6]
    for uri, known in (
        (f"/v/{start}", clip),
        (f"/v/{clip.clip_id[:8]}.mp4", make_clip("b" * 64, 0, 48)),
        ("/w/x.mp4", make_clip("c" * 64, 0, 48)),
    ):
        add_source(dataset, uri, [MeasuredClip(known)])
    assert find_named(dataset, start).uri == f"/v/{start}"
    assert find_named(dataset, clip.clip_id[:8]).clip_id == clip.clip_id
    assert find_named(dataset, f"{clip.clip_id[:8]}.mp4").uri.endswith(".mp4")
    assert find_named(dataset, "x").uri == "/w/x.mp4"


@pytest.mark.parametrize("states", ["abc", "cba", "bacab"])
def test_of_a_file_that_was_replaced_the_one_that_was_listed_last_is_meant(
    reelmill, tmp_path, states
):
    dataset = Dataset(tmp_path)
    for state in states:
        entry = Entry("/v/x.mp4", 1000, state)
        record_listing(dataset.catalog, Listing([entry], {"/v": Counter()}))
        if state not in dataset.catalog.read("sources", Source)["modified"].to_pylist():
            source = make_source(entry.uri, state * 64, [make_clip(state * 64, 0, 48)])
            rows = records.to_table(Source, [replace(source, modified=state)])
            dataset.catalog.append("sources", Source, rows)
    assert find_named(dataset, "x.mp4").source_id == states[-1] * 64
    shown = objects(reelmill("show", tmp_path, "x.mp4", "--json"))
    assert shown[-1]["source_id"] == states[-1] * 64
