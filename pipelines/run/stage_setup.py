"""What a worker does before its first item."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable
from typing import Any

import numpy as np  # noqa: F401  loaded first, so that its threads can be limited
from threadpoolctl import threadpool_limits

from curation.errors import InfrastructureError
from curation.stage import Stage


def set_up_stage(
    stage: Stage | bytes, check: Callable[[], None] | None = None
) -> Callable[[Any], Any]:
    """The work of a stage, which may come pickled.

    If it cannot be set up, work that raises `InfrastructureError`. `check` is called first, and
    raises where the stage should not be set up.
    """
    name = "a stage"
    try:
        loaded: Stage = pickle.loads(stage) if isinstance(stage, bytes) else stage
        name = type(loaded).__name__
        if check is not None:
            check()
        return loaded.setup()
    except Exception as error:
        message = f"{name} cannot be set up: {type(error).__name__}: {error}"

        def fail(item: Any) -> Any:
            raise InfrastructureError(message)

        return fail


def limit_threads() -> None:
    """One thread per worker for numeric libraries: results then do not depend on the machine."""
    os.environ["OMP_NUM_THREADS"] = "1"
    threadpool_limits(1)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)
