"""What is settled before a command loads its libraries."""

import os
import sys

from pipelines.run.startup import use_jemalloc

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
