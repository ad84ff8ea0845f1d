"""The work of `engine.py`: rows pass two stages that burn CPU, then an accelerator in batches.

Only the standard library, since other engines do the same work in environments of their own. Each
process notes what it does in a file of the folder that `ENGINE_NOTES` names.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

NOTES = "ENGINE_NOTES"
STAGES = ("decode", "measure", "infer")
PAYLOAD_BYTES = 1000


@dataclass(frozen=True)
class Work:
    """What one row costs."""

    rows: int
    decode_s: float
    """CPU seconds."""
    measure_s: float
    infer_s: float
    """Seconds that the accelerator takes for a batch; it waits for it without a processor."""
    batch: int

    @property
    def ideal_s(self) -> float:
        """Seconds from the first batch to the last on one accelerator that never waits."""
        return -(-self.rows // self.batch) * self.infer_s


STREAM = Work(rows=960, decode_s=0.015, measure_s=0.005, infer_s=0.2, batch=8)
"""Two processors give 100 rows a second, the accelerator takes 40."""
EMPTY = Work(rows=4000, decode_s=0.0, measure_s=0.0, infer_s=0.0, batch=8)
"""What an engine itself costs."""


def burn(cpu_s: float) -> None:
    """Computes for so many CPU seconds of this thread."""
    ends = time.thread_time() + cpu_s
    while time.thread_time() < ends:
        pass


def note(stage: str, start: float | None = None) -> None:
    """Notes that a stage was loaded, or what it did from `start` to now."""
    if folder := os.environ.get(NOTES):
        span = "load" if start is None else f"{start:.6f} {time.monotonic():.6f}"
        with open(Path(folder, f"{os.getpid()}"), "a", encoding="utf-8") as file:
            file.write(f"{stage} {span}\n")


def decode(work: Work, number: int) -> bytes:
    """The first stage: a row's payload."""
    start = time.monotonic()
    burn(work.decode_s)
    note("decode", start)
    return number.to_bytes(4, "little") * (PAYLOAD_BYTES // 4)


def measure(work: Work, payload: bytes) -> bytes:
    """The second stage."""
    start = time.monotonic()
    burn(work.measure_s)
    note("measure", start)
    return payload


def infer(work: Work, payloads: list[bytes]) -> list[int]:
    """The last stage: the numbers of a batch of rows."""
    start = time.monotonic()
    time.sleep(work.infer_s)
    note("infer", start)
    return [int.from_bytes(payload[:4], "little") for payload in payloads]


@dataclass(frozen=True)
class Notes:
    """What was noted in one run."""

    loads: dict[str, int]
    """How often each stage was loaded."""
    spans: dict[str, list[tuple[float, float]]]
    """When each stage worked, in seconds of the machine's monotonic clock."""

    @classmethod
    def read(cls, folder: Path) -> Notes:
        """Of all processes."""
        loads = dict.fromkeys(STAGES, 0)
        spans: dict[str, list[tuple[float, float]]] = {stage: [] for stage in STAGES}
        for path in folder.iterdir():
            for line in path.read_text(encoding="utf-8").splitlines():
                stage, *words = line.split()
                if words == ["load"]:
                    loads[stage] += 1
                else:
                    spans[stage].append((float(words[0]), float(words[1])))
        return cls(loads, {stage: sorted(times) for stage, times in spans.items()})

    @property
    def run_s(self) -> float:
        """From the first row's start to the last batch's end."""
        return self.spans["infer"][-1][1] - self.spans["decode"][0][0]

    @property
    def busy_share(self) -> float:
        """Of the time from the first batch to the last, how much the accelerator worked."""
        times = self.spans["infer"]
        return sum(end - start for start, end in times) / (times[-1][1] - times[0][0])
