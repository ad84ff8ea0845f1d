"""The one declaration of the pipeline: a step that is added there is everywhere."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from curation.records import arrow_schema
from curation.steps import STEPS, load_object

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def with_step(curated, tmp_path_factory):
    """Runs `reelmill` with the further step over a copy of the output that the suite made."""
    out = tmp_path_factory.mktemp("steps") / "out"
    shutil.copytree(curated.out, out)

    def run(command: str, *arguments: str) -> subprocess.CompletedProcess:
        line = [sys.executable, "-m", "tests.pipelines.further_step", command, *arguments]
        return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)

    run.out, run.options = out, ("--config", str(curated.profile))
    return run


@pytest.mark.slow
def test_a_further_step_runs_and_is_counted_checked_timed_and_listed(with_step, tmp_path):
    out = str(with_step.out)
    assert "Measure how long the kept clips are." in with_step("--help").stdout
    done = with_step("measure", out, *with_step.options, "--set", "length.unit_s=0.5")
    assert (done.returncode, "measure: 1 corrupt, 1 measured" in done.stdout) == (3, True), done
    rows = [row for file in (with_step.out / "measured/length").glob("*.parquet")
            for row in pq.read_table(file).to_pylist()]  # fmt: skip
    assert sorted((row["outcome"], row["units"]) for row in rows)[0] == ("failed", None)
    assert "nothing to do" in with_step("measure", out, *with_step.options).stdout
    assert "unit_s=0.5  (default none)" in with_step("settings", out).stdout

    assert with_step("verify", out).returncode == 0
    page = tmp_path / "report.html"
    assert with_step("report", out, "--html", str(page)).returncode == 0
    text = " ".join(re.sub(r"<[^>]+>", " ", page.read_text()).split())
    assert "To measure: 2; measured 1 · 50.0 %, failed 1 · 50.0 %" in page.read_text()
    assert "Decoding met damaged data. begins with a" in text
    order = [text.rindex(f"{name} ") for name in ("tokenize", "measure")]
    assert order == sorted(order)

    wrong = with_step("measure", out, *with_step.options, "--set", "crf=20")
    assert (wrong.returncode, "it is read by" in wrong.stderr) == (2, True)
    again = with_step("measure", out, *with_step.options, "--retry", "corrupt")
    assert "measure: 1 corrupt" in again.stdout
    assert with_step("verify", out).returncode == 0


def test_a_further_step_is_a_kind_of_job():
    code = (
        "import json; from tests.pipelines import further_step;"
        "from pipelines.service.schemas import JOB_KINDS, JobRequest;"
        "JobRequest(kind='measure', collection='c');"
        "print(json.dumps([JOB_KINDS['measure'].model_dump(), JOB_KINDS['curate'].steps]))"
    )
    line = [sys.executable, "-c", code]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True)
    kind, steps = json.loads(done.stdout)
    assert kind["takes_selection"]
    assert not kind["takes_inputs"]
    assert steps[-1] == "measure"


@pytest.mark.parametrize("step", STEPS.values(), ids=lambda step: step.name)
def test_a_step_names_what_exists(step):
    if step.plan:
        assert callable(load_object(step.plan))
    if step.is_of_clips:
        columns = {"clip_id", "source_id", "outcome", "reason", "detail"}
        assert columns <= set(arrow_schema(step.load_record()).names)
