"""What curating costs per unit of video, and what it would cost for more of it.

`measure_rates` reads the runs and tables of an output. The rates that are shipped, `rates.json`,
were measured so on the default settings; they name their machine.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import platform
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from curation.dataset import Dataset
from curation.errors import PrerequisiteError
from curation.id_match import one_chunk
from curation.records import Render

Unit = Literal[
    "frames", "megapixels", "seconds", "clips", "kept_clips", "kept_megapixels"
]  # fmt: skip
PARTS: dict[str, tuple[str, Unit]] = {
    "decode": ("scan", "megapixels"),
    "transfer": ("scan", "frames"),
    "shots": ("scan", "frames"),
    "scores": ("scan", "seconds"),
    "sound": ("scan", "seconds"),
    "select": ("select", "clips"),
    "render": ("render", "kept_megapixels"),
    "caption": ("caption", "kept_clips"),
    "tokenize": ("tokenize", "kept_megapixels"),
}
"""Each part of the work: its step, and what its cost grows with."""
_MIN_CLIPS = 10_000
_SELECT_S = 1.1e-3
"""CPU seconds that select takes for a clip where fewer than `_MIN_CLIPS` were measured, of which
most would be its start: those of a million, the search for duplicates included (docs/dedup.md)."""
_WORKER_STEPS = {step for step, _ in PARTS.values()} - {"select"}
_SHIPPED = Path(__file__).with_name("rates.json")
_COMMIT_S, _MAX_COMMIT_S, _COMMIT_SHARE = 15.0, 300.0, 0.01


@dataclass(frozen=True)
class Footage:
    """Video to be curated: frames of one size at one rate."""

    hours: float
    width: int
    height: int
    fps: float
    sources: int = 0
    """Files; 0 where that is not known."""

    @property
    def units(self) -> dict[str, float]:
        """How much of each unit there is before clips are known."""
        seconds = 3600 * self.hours
        frames = seconds * self.fps
        return {
            "seconds": seconds,
            "frames": frames,
            "megapixels": frames * self.width * self.height / 1e6,
        }


@dataclass(frozen=True)
class CostRates:
    """What one machine took, per unit, and what came out."""

    machine: str
    """Processor, cores and system."""
    settings: str
    """Which settings these were."""
    video_s: float
    """Seconds of video that were measured."""
    cpu_s: Mapping[str, float]
    """CPU seconds by part, per unit of `PARTS`."""
    gpu_s: Mapping[str, float]
    """Seconds of one GPU by step, per second of video scanned, or kept."""
    efficiency: float
    """CPU seconds of all steps, as a share of what the processors could have given."""
    clips_per_hour: float
    kept_share: float
    """Of the seconds that were scanned."""
    kept_clips_share: float
    bytes_per: Mapping[str, tuple[Unit, float]]
    """Bytes stored by kind: the unit, and how many of each."""

    def as_json(self) -> str:
        """To be read by `from_json`."""
        return json.dumps(dataclasses.asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str) -> CostRates:
        """What `as_json` wrote."""
        fields = json.loads(text)
        sizes = {kind: (unit, float(size)) for kind, (unit, size) in fields["bytes_per"].items()}
        return cls(**{**fields, "bytes_per": sizes})

    @classmethod
    def shipped(cls) -> CostRates:
        """Those of the default settings."""
        return cls.from_json(_SHIPPED.read_text(encoding="utf-8"))


@dataclass(frozen=True)
class StepPlan:
    """What one step takes."""

    step: str
    cpu_hours: float
    gpu_hours: float


@dataclass(frozen=True)
class Plan:
    """What curating some footage takes and makes."""

    steps: tuple[StepPlan, ...]
    clips: float
    kept_clips: float
    stored_bytes: dict[str, float]
    """By kind."""
    wall_hours: float
    """On so many processors, and GPUs where one is needed."""
    bottleneck: str
    """The step that takes most of that time."""
    commits: float
    """Of each table that the longest step fills."""


def make_plan(rates: CostRates, footage: Footage, cpus: int, gpus: int) -> Plan:
    """What the footage takes on so many processors and GPUs."""
    units = _all_units(rates, footage)
    cpu_s: defaultdict[str, float] = defaultdict(float)
    for part, each in rates.cpu_s.items():
        step, unit = PARTS[part]
        cpu_s[step] += each * units[unit]
    scanned_s = units["seconds"]
    gpu_s = {
        step: each * scanned_s * (1 if step == "scan" else rates.kept_share)
        for step, each in rates.gpu_s.items()
    }
    steps = tuple(
        StepPlan(step, cpu_s[step] / 3600, gpu_s.get(step, 0.0) / 3600)
        for step in dict.fromkeys(step for step, _ in PARTS.values())
        if step in cpu_s or step in gpu_s
    )
    walls = {
        each.step: max(each.cpu_hours / (cpus * rates.efficiency), each.gpu_hours / max(1, gpus))
        for each in steps
    }
    return Plan(
        steps,
        units["clips"],
        units["kept_clips"],
        {kind: size * units[unit] for kind, (unit, size) in rates.bytes_per.items()},
        sum(walls.values()),
        max(walls, key=lambda step: walls[step]),
        _commits(3600 * max(walls.values())),
    )


def _all_units(rates: CostRates, footage: Footage) -> dict[str, float]:
    units = footage.units
    clips = max(footage.hours * rates.clips_per_hour, footage.sources * rates.kept_clips_share)
    return units | {
        "clips": clips,
        "kept_clips": clips * rates.kept_clips_share,
        "kept_megapixels": units["megapixels"] * rates.kept_share,
    }


def _commits(seconds: float) -> float:
    """One every 15 s; later every hundredth of the time since the start; at last every 300 s."""
    steady_s, slow_s = _COMMIT_S / _COMMIT_SHARE, _MAX_COMMIT_S / _COMMIT_SHARE
    first = min(seconds, steady_s) / _COMMIT_S
    middle = math.log(max(1.0, min(seconds, slow_s) / steady_s)) / _COMMIT_SHARE
    return math.ceil(first + middle + max(0.0, seconds - slow_s) / _MAX_COMMIT_S)


def machine_name() -> str:
    """Processor, cores and system of this machine."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        pass
    return f"{name}, {os.cpu_count()} cores, {platform.system()}"


def measure_rates(dataset: Dataset, settings: str, cpus: int = 0) -> CostRates:
    """The rates of an output's runs on this machine, of which they used `cpus` (0: all cores).

    Of each step those count that filled the table that it filled last. Raises `PrerequisiteError`
    if nothing has been scanned and selected.
    """
    sources = dataset.sources()
    scanned = sources.filter(pc.field("outcome") == "scanned")
    selection_id = dataset.latest_selection()
    if not scanned.num_rows or selection_id is None:
        raise PrerequisiteError("rates need an output with scanned sources and a selection")
    clips = dataset.scored_clips(selection_id=selection_id, columns=_CLIP_COLUMNS)
    kept = clips.filter(pc.field("verdict") == "kept")
    kept_s = _sum(pc.subtract(kept["end_s"], kept["start_s"]))
    units = _units(scanned, clips.num_rows, kept)
    runs = _last_results(dataset.runs())
    cpu_s, gpu_s, busy_s = _cost_of_runs(runs)
    used_s = sum(seconds for part, seconds in cpu_s.items() if part != "select")
    if clips.num_rows < _MIN_CLIPS:
        cpu_s["select"] = _SELECT_S * clips.num_rows
    cores = cpus or os.cpu_count() or 1
    return CostRates(
        machine=machine_name(),
        settings=settings,
        video_s=units["seconds"],
        cpu_s={
            part: seconds / units[PARTS[part][1]]
            for part, seconds in cpu_s.items()
            if units[PARTS[part][1]]
        },
        gpu_s={
            step: seconds / (units["seconds"] if step == "scan" else max(kept_s, 1e-9))
            for step, seconds in gpu_s.items()
        },
        efficiency=min(1.0, used_s / (busy_s * cores)) if busy_s else 1.0,
        clips_per_hour=3600 * clips.num_rows / units["seconds"],
        kept_share=kept_s / units["seconds"],
        kept_clips_share=kept.num_rows / max(1, clips.num_rows),
        bytes_per=_sizes(dataset, {run["step"]: run["result"] for run in runs}, units),
    )


_CLIP_COLUMNS = ("clip_id", "source_id", "start_frame", "end_frame", "start_s", "end_s", "verdict")


def _sum(values: pa.ChunkedArray) -> float:
    return float(pc.sum(values).as_py() or 0)


def _units(scanned: pa.Table, num_clips: int, kept: pa.Table) -> dict[str, float]:
    """How much of each unit there is in an output."""
    megapixels = pc.divide(pc.multiply(scanned["width"], scanned["height"]), 1e6)
    source = pc.index_in(kept["source_id"], value_set=one_chunk(scanned["source_id"]))
    kept_frames = pc.subtract(kept["end_frame"], kept["start_frame"])
    return {
        "frames": _sum(scanned["frames"]),
        "megapixels": _sum(pc.multiply(scanned["frames"], megapixels)),
        "seconds": _sum(scanned["duration_s"]),
        "clips": num_clips,
        "kept_clips": kept.num_rows,
        "kept_megapixels": _sum(pc.multiply(kept_frames, megapixels.take(source))),
    }


def _last_results(table: pa.Table) -> list[dict[str, Any]]:
    """The runs of each step that filled what its last one filled; of select the last alone."""
    runs = table.sort_by("started").to_pylist()
    last = {run["step"]: run for run in runs}
    return [
        run
        for run in runs
        if run["result"] == last[run["step"]]["result"]
        and (run["step"] != "select" or run is last["select"])
    ]


def _cost_of_runs(
    runs: Sequence[Mapping[str, Any]],
) -> tuple[Counter[str], Counter[str], float]:
    """CPU seconds by part, GPU seconds by step, and wall seconds of all steps on workers."""
    cpu_s: Counter[str] = Counter()
    gpu_s: Counter[str] = Counter()
    walls: dict[str, float] = {}
    for run in runs:
        step, seconds = run["step"], run["seconds"]
        parts = {"select": seconds} if step == "select" else json.loads(run["cpu_seconds"])
        cpu_s.update({part: used for part, used in parts.items() if part in PARTS})
        if step in _WORKER_STEPS:  # those of one stream start, and run, at the same time
            walls[run["started"]] = max(seconds, walls.get(run["started"], 0.0))
            if "cuda" in json.dumps(json.loads(run["config"]).get(step, {})):
                gpu_s[step] += seconds
    return cpu_s, gpu_s, sum(walls.values())


def _sizes(
    dataset: Dataset, results: Mapping[str, str], units: Mapping[str, float]
) -> dict[str, tuple[Unit, float]]:
    """Bytes of renders, tokens and other tables, per unit; `results` are tables by step."""
    catalog = dataset.catalog
    sizes: Counter[str] = Counter()
    tokens = results.get("tokenize", "").replace("tokenized", "tokens", 1)
    for name in catalog.table_names():
        if name.startswith("tokens/") and name != tokens:
            continue
        table_bytes = sum(size for _, size in catalog.files(name))
        sizes["tokens" if name.startswith("tokens/") else "tables"] += table_bytes
    if "render" in results:
        renders = catalog.read(results["render"], Render, ["size_bytes"])
        sizes["renders"] = int(_sum(renders["size_bytes"]))
    kinds: dict[str, Unit] = {
        "renders": "kept_megapixels", "tokens": "kept_megapixels", "tables": "clips",
    }  # fmt: skip
    return {kind: (unit, sizes[kind] / units[unit]) for kind, unit in kinds.items() if units[unit]}
