"""What short commands and the workers of this machine do not pay for."""

from __future__ import annotations

import os
import sys
from importlib.abc import MetaPathFinder
from typing import Any


class _Absent(MetaPathFinder):
    """Says that pandas is not installed."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError(fullname)


def leave_out_pandas() -> None:
    """Keeps pyarrow from importing pandas, which takes longer than all that a short command does.

    pyarrow looks for it once, when it makes its first array; here it finds none. `to_pandas` still
    imports it when it is called.
    """
    if "pandas" in sys.modules:
        return
    finder = _Absent()
    sys.meta_path.insert(0, finder)
    try:
        import pyarrow

        pyarrow.array([None])
    finally:
        sys.meta_path.remove(finder)


def use_jemalloc() -> None:
    """Lets Arrow allocate with jemalloc: a large table is read in two thirds of the memory.

    Nothing is changed once Arrow is loaded, nor where `ARROW_DEFAULT_MEMORY_POOL` is set. Builds
    for other systems have no jemalloc.
    """
    if sys.platform == "linux" and "pyarrow" not in sys.modules:
        os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "jemalloc")
