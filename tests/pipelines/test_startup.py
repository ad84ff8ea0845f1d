"""What is settled before a command loads its libraries."""

import os
import subprocess
import sys

import pytest

from pipelines.run.startup import use_jemalloc
from tests.outputs import ROOT, environment

NAME = "ARROW_DEFAULT_MEMORY_POOL"


def test_arrow_allocates_with_jemalloc_unless_told_otherwise(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv(NAME, "")
    monkeypatch.delenv(NAME)
    use_jemalloc()
    assert NAME not in os.environ  # Arrow is loaded here
    monkeypatch.delitem(sys.modules, "pyarrow")
    use_jemalloc()
    assert os.environ[NAME] == "jemalloc"
    monkeypatch.setenv(NAME, "system")
    use_jemalloc()
    assert os.environ[NAME] == "system"


COMMAND = """
import atexit, runpy, sys

@atexit.register
def show():
    import pyarrow
    print(pyarrow.default_memory_pool().backend_name)

sys.argv = ["reelmill", "why", "--help"]
runpy.run_module("pipelines", run_name="__main__")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Arrow has no jemalloc there")
def test_nothing_loads_arrow_before_a_command_has_chosen():
    variables = {name: value for name, value in environment().items() if name != NAME}
    done = subprocess.run(
        [sys.executable, "-c", COMMAND], cwd=ROOT, env=variables, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "jemalloc", done.stderr
