"""What `reelmill plan --calibrate` says of a folder of videos, and what curating it then takes.

    python benchmarks/plan.py FOLDER [--set KEY=VALUE ...]

Prints both, and the measured as a share of the planned: CPU hours of each step, wall time, clips
and bytes. Run on an otherwise idle machine, whose processors the job has to itself.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from curation.dataset import Dataset
from pipelines.run.rates import PARTS, measure_rates


def reelmill(*words: str) -> str:
    """What a command prints; inputs that fail are no failure."""
    command = [sys.executable, "-m", "pipelines", *words]
    ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if ran.returncode not in (0, 3):
        raise SystemExit(ran.returncode)
    return ran.stdout


def planned(folder: str, options: list[str]) -> dict[str, Any]:
    """The plan's figures by name."""
    rows = [
        json.loads(line)
        for line in reelmill("plan", folder, "--calibrate", "--json", *options).splitlines()
    ]
    figures = {f"{row['step']}, CPU s": 3600 * row["cpu_hours"] for row in rows if "step" in row}
    (totals,) = (row for row in rows if "wall_hours" in row)
    figures |= {"wall s": 3600 * totals["wall_hours"], "clips": totals["clips"]}
    figures |= {kind: totals[kind] for kind in totals if kind.endswith("_bytes")}
    return figures


def measured(folder: str, options: list[str]) -> dict[str, Any]:
    """The same of the job itself."""
    with tempfile.TemporaryDirectory() as place:
        out = str(Path(place, "out"))
        start = time.perf_counter()
        reelmill("curate", folder, "--out", out, *options)
        wall_s = time.perf_counter() - start
        dataset = Dataset(out)
        figures: dict[str, Any] = {}
        for run in dataset.runs().to_pylist():
            parts = json.loads(run["cpu_seconds"]) or {"select": run["seconds"]}
            used = sum(seconds for part, seconds in parts.items() if part in PARTS)
            name = f"{run['step']}, CPU s"
            figures[name] = figures.get(name, 0.0) + used
        rates = measure_rates(dataset, "measured")
        units = {
            "kept_megapixels": figures["render, CPU s"] / rates.cpu_s["render"],
            "clips": dataset.scored_clips(columns=["clip_id"]).num_rows,
        }
        figures |= {"wall s": wall_s, "clips": units["clips"]}
        for kind, (unit, each) in rates.bytes_per.items():
            figures[f"{kind}_bytes"] = each * units[unit]
        return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    options = [word for change in arguments.set for word in ("--set", change)]
    plan, job = planned(arguments.folder, options), measured(arguments.folder, options)
    print("| | planned | measured | measured / planned |")
    print("|---|---|---|---|")
    for name, value in plan.items():
        found = job.get(name, 0.0)
        ratio = f"{found / value:.2f}" if value else "–"
        print(f"| {name} | {value:,.4g} | {found:,.4g} | {ratio} |")


if __name__ == "__main__":
    main()
