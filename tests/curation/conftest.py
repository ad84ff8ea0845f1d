"""Sources whose frames carry their number, made once a run; scanned and rendered by name."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest

from curation import records
from curation.listing import entry_at
from curation.media import sandbox
from curation.media.decode import Frames
from curation.media.ffmpeg_command import ffmpeg_path as program
from curation.media.timeline import Timeline
from curation.records import Clip, Source
from curation.sample import Coding, write_numbered_video
from curation.scan.shots import FixedWindows, Shot
from curation.scan.stage import Scan, ScanItem


@dataclass(frozen=True)
class GivenShots:
    """A shot detector that says what it was told; an end of None is the end of the source."""

    spans: tuple[tuple[int, int | None], ...]
    backend: str = "given"

    def load(self) -> Callable[[], _GivenFinder]:
        return lambda: _GivenFinder(self.spans)


class _GivenFinder:
    reads_frames = False

    def __init__(self, spans: tuple[tuple[int, int | None], ...]) -> None:
        self._spans = spans

    def feed(self, frames: Frames) -> None:
        pass

    def finish(self, timeline: Timeline) -> list[Shot]:
        return [(a, timeline.frames if b is None else b) for a, b in self._spans]


@dataclass(frozen=True)
class Scanned:
    """A source and the clips of the spans that were asked for, in that order."""

    source: Source
    clips: list[Clip]


@pytest.fixture(scope="session")
def ffmpeg() -> Callable[..., None]:
    """Runs the ffmpeg program; a test writes with it what `numbered` cannot."""

    def run(*arguments: object) -> None:
        head = [program(), "-v", "error", "-nostdin", "-y"]
        subprocess.run([*head, *map(str, arguments)], check=True)

    return run


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Callable[..., Path]:
    """Path of a numbered source, made when it is first asked for."""
    folder = tmp_path_factory.mktemp("numbered")
    known: dict[str, tuple] = {}

    def make(name: str, frames: int, coding: Coding | None = None, **more: object) -> Path:
        said = (frames, coding, more)
        if known.setdefault(name, said) != said:
            raise ValueError(f"{name} is already made otherwise: {known[name]}")
        path = folder / name
        return path if path.exists() else write_numbered_video(path, frames, coding=coding, **more)

    return make


@pytest.fixture(scope="session")
def scan_spans() -> Callable[..., Scanned]:
    """Scans a file, with the given spans as its shots; the scan has to succeed."""

    def scan(path: Path, *spans: tuple[int, int | None]) -> Scanned:
        stage = Scan(shots=GivenShots(spans), max_clip_s=1e9, scores=())
        result = stage.setup()(ScanItem(entry_at(str(path), {})))
        assert (result.source.outcome, result.source.detail) == ("scanned", None)
        return Scanned(result.source, records.from_table(Clip, result.clips))

    return scan


@pytest.fixture(scope="session")
def verdict() -> Callable[..., Source]:
    """The row that scan writes for a path."""

    def scan(path: object, limits: sandbox.Limits | None = None) -> Source:
        stage = Scan(shots=FixedWindows(), limits=limits or sandbox.Limits())
        return stage.setup()(ScanItem(entry_at(str(path), {}))).source

    return scan


@pytest.fixture(scope="session")
def pictures() -> Callable[[Path], list[np.ndarray]]:
    """All frames of a file as PyAV decodes them, RGB and as stored."""

    def read(path: Path) -> list[np.ndarray]:
        with av.open(str(path)) as container:
            return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]

    return read


@pytest.fixture(scope="session")
def packets() -> Callable[[Path], list[bytes]]:
    """The video packets of a file, in file order."""

    def read(path: Path) -> Iterator[bytes]:
        with av.open(str(path)) as container:
            for packet in container.demux(video=0):
                if packet.size:
                    yield bytes(packet)

    return lambda path: list(read(path))


@pytest.fixture(scope="session")
def spell() -> Callable[[Sequence[int]], str]:
    """Frame numbers as ranges, so that a difference can be read."""

    def words(numbers: Sequence[int]) -> str:
        parts: list[list[int]] = []
        for number in numbers:
            if parts and number == parts[-1][1] + 1:
                parts[-1][1] = number
            else:
                parts.append([number, number])
        return " ".join(f"{a}-{b}" for a, b in parts)

    return words
