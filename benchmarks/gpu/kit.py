"""The kit: all that a bare machine lacks, in one folder; `benchmarks/gpu/pack.py` makes it.

clips.json      what each clip is: file, size, digest, frames, group, part, licence
clips/*.mp4     rendered clips, for training and for measuring
wheels/*.whl    packages that the machine may lack, unpacked as needed
"""

from __future__ import annotations

import hashlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

LARGE = ("deltalake",)
"""Packages that modules import at their head and nothing here calls, too large to carry."""
Frames = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class KitClip:
    """A clip of the kit."""

    file: str
    sha256: str
    size_bytes: int
    frames: int
    width: int
    height: int
    fps: float
    group: str
    part: str
    """`train` or `validation`."""
    licence: str


@dataclass(frozen=True, slots=True)
class Kit:
    folder: Path
    clips: list[KitClip]

    @classmethod
    def read(cls, folder: Path) -> Kit:
        """Raises `SystemExit` for a folder without a kit."""
        try:
            listed = json.loads((folder / "clips.json").read_text())
        except OSError as error:
            raise SystemExit(
                f"{folder} holds no kit; make one with `python -m benchmarks.gpu.pack` ({error})"
            ) from error
        return cls(folder, [KitClip(**clip) for clip in listed])

    def write(self) -> None:
        text = json.dumps([asdict(clip) for clip in self.clips], indent=1)
        (self.folder / "clips.json").write_text(text + "\n")

    @property
    def digest(self) -> str:
        """Names what it trains on and measures: another kit resumes nothing."""
        return hashlib.sha256((self.folder / "clips.json").read_bytes()).hexdigest()[:12]

    def part(self, name: str) -> list[KitClip]:
        return [clip for clip in self.clips if clip.part == name]

    def first(self, count: int) -> Kit:
        """The same with so many clips of each part."""
        parts = dict.fromkeys(clip.part for clip in self.clips)
        return Kit(self.folder, [clip for part in parts for clip in self.part(part)[:count]])

    def install(self, site: Path) -> None:
        """Makes importable what this machine lacks: the wheels, and stand-ins for what is large.

        Wheels come last on the path, so that a package of the machine's own is preferred.
        """
        for wheel in sorted((self.folder / "wheels").glob("*.whl")):
            done = site / f".{wheel.name}"
            if not done.exists():
                with zipfile.ZipFile(wheel) as archive:
                    archive.extractall(site)
                done.touch()
        sys.path.append(str(site))
        absent = [name for name in LARGE if importlib.util.find_spec(name) is None]
        sys.meta_path.append(_StandInFinder(absent))

    def reader(self, clip: KitClip, short_side: int) -> Any:
        """The product's reader of a clip, at a short side in pixels and even sizes."""
        from curation.media.clip_reader import ClipReader, read_rendered_file

        data = read_rendered_file(self.folder / clip.file, clip.sha256, clip.size_bytes)
        scale = short_side / min(clip.width, clip.height)
        width, height = (max(16, round(n * scale / 16) * 16) for n in (clip.width, clip.height))
        return ClipReader(data, width=width, height=height, frames=clip.frames)

    def windows(self, part: str, short_side: int, frames: int, count: int) -> list[Frames]:
        """The first window of up to `count` clips of a part, uint8 RGB [frames, H, W, 3]."""
        clips = [clip for clip in self.part(part) if clip.frames >= frames][:count]
        return [self.reader(clip, short_side).read(range(frames)) for clip in clips]


class _StandInFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds modules whose every name is an exception class that nobody raises."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = set(names)

    def find_spec(
        self, name: str, _path: object = None, _target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name.partition(".")[0] not in self._names:
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return _StandIn(spec.name)

    def exec_module(self, _module: ModuleType) -> None:
        pass


class _StandIn(ModuleType):
    def __getattr__(self, name: str) -> type[Exception]:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (Exception,), {})
