"""What a stage gets, and how it reports: figures are on disk as soon as they are measured."""

from __future__ import annotations

import json
import os
import statistics
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.gpu.kit import Kit


@dataclass
class Stage:
    """One stage at work."""

    kit: Kit
    device: str
    """`cpu` or `cuda`."""
    quick: bool
    """Tiny sizes: everything runs, and no figure means anything."""
    work: Path
    """What a stopped stage goes on from."""
    results: Path
    """What is brought back."""
    deadline: float
    """By `time.monotonic`, when the stage is stopped."""
    file: Path
    """Its figures."""
    figures: dict[str, Any] = field(default_factory=dict)
    failures: int = 0
    """Attempts that failed."""

    @property
    def on_gpu(self) -> bool:
        return self.device.startswith("cuda")

    @property
    def seconds_left(self) -> float:
        return self.deadline - time.monotonic()

    def report(self, **figures: Any) -> None:
        """Adds figures; those reported before a stage was stopped are kept."""
        self.figures |= figures
        print(json.dumps(figures), flush=True)
        temporary = self.file.with_suffix(".new")
        temporary.write_text(json.dumps(self.figures, indent=1))
        os.replace(temporary, self.file)

    def attempt(self, name: str, work: Callable[[], dict[str, Any]]) -> None:
        """Reports figures under a name; where they fail, why, and the stage goes on."""
        try:
            figures = work()
        except Exception as error:
            traceback.print_exc()
            self.failures += 1
            figures = {"failed": f"{type(error).__name__}: {error}"[:300]}
        self.report(**{name: figures})

    def synchronize(self) -> None:
        if self.on_gpu:
            import torch

            torch.cuda.synchronize()

    def seconds_of(self, work: Callable[[], object]) -> float:
        """Median seconds of one turn, after one to warm up."""
        work()
        self.synchronize()
        turns: list[float] = []
        while len(turns) < (1 if self.quick else 3) or (not self.quick and sum(turns) < 1):
            start = time.perf_counter()
            work()
            self.synchronize()
            turns.append(time.perf_counter() - start)
        return statistics.median(turns)
