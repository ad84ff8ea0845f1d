"""The runner as a program, where it does not see the folder or the storage of the server."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.run.storage_check import StorageMark
from pipelines.service.jobs.runner import EXIT_FOLDER_NOT_VISIBLE
from tests.outputs import ROOT, environment


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipelines.service.jobs.runner", str(folder)],
        cwd=ROOT, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("is_seen", [True, False])
def test_a_command_runs_only_where_its_storage_is_seen(tmp_path, is_seen):
    root, done = tmp_path / "root", tmp_path / "done"
    mark = StorageMark.create(str(root))
    if not is_seen:
        (root / ".reelmill-storage").write_text("another machine's")
    spec = {
        "command": [sys.executable, "-c", f"open({str(done)!r}, 'w')"],
        "log": str(tmp_path / "log"), "artefacts": str(tmp_path / "artefacts"),
        "env": {}, "storage_mark": str(mark), "pass_fds": [],
    }  # fmt: skip
    (tmp_path / "attempt.json").write_text(json.dumps(spec))
    assert run(tmp_path).returncode == 0
    result = json.loads((tmp_path / "result.json").read_text())
    assert done.exists() is is_seen
    assert result["exit_code"] == (0 if is_seen else None)
    assert is_seen or f"does not see the storage of {root}" in result["error"]


def test_a_missing_folder_is_reported(tmp_path):
    result = run(tmp_path / "nowhere")
    assert result.returncode == EXIT_FOLDER_NOT_VISIBLE
    assert "is not visible on this machine" in result.stderr
