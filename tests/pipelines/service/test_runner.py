"""The runner as a program: what it does where it does not see what the server sees."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.run.storage_check import StorageMark
from pipelines.service.jobs.runner import NOT_SEEN
from tests.outputs import ROOT, environment


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipelines.service.jobs.runner", str(folder)],
        cwd=ROOT, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("is_seen", [True, False])
def test_a_command_runs_only_where_its_storage_is_seen(tmp_path, is_seen):
    root, done = tmp_path / "root", tmp_path / "done"
    mark = StorageMark.of(str(root))
    if not is_seen:
        (root / ".reelmill-storage").write_text("another machine's")
    order = {
        "command": [sys.executable, "-c", f"open({str(done)!r}, 'w')"],
        "log": str(tmp_path / "log"), "artefacts": str(tmp_path / "artefacts"),
        "env": {}, "mark": str(mark), "hand_on": [],
    }  # fmt: skip
    (tmp_path / "order.json").write_text(json.dumps(order))
    assert run(tmp_path).returncode == 0
    ended = json.loads((tmp_path / "ended.json").read_text())
    assert done.exists() is is_seen
    assert ended["code"] == (0 if is_seen else None)
    assert is_seen or f"does not see the storage of {root}" in ended["error"]


def test_a_folder_that_is_not_there_is_said(tmp_path):
    ended = run(tmp_path / "nowhere")
    assert ended.returncode == NOT_SEEN
    assert "cannot be seen from here" in ended.stderr
