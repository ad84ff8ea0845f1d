"""A decoder that does its worst on one source of three, through the whole command line.

The stand-in for ffmpeg becomes the real one for the other sources. Each time the poisoned source
fails by name, in time and after at most two attempts, the others come out as without it, and no
process is left.
"""

import stat
import sys
import time
from pathlib import Path

import pytest

from curation import records
from curation.dataset import Dataset
from curation.media import sandbox
from curation.media.ffmpeg_command import ffmpeg_path
from curation.records import Render, Source
from curation.sample import write_numbered_video
from tests.outputs import media
from tests.pipelines.conftest import command, profile

pytestmark = pytest.mark.faults

STAND_IN = """#!{python}
import os, signal, sys, time
command, deed = " ".join(sys.argv), {deed!r}
if "poisoned.mp4" not in command or ("libx264" in command) != ({step!r} == "render"):
    os.execv({ffmpeg!r}, [{ffmpeg!r}, *sys.argv[1:]])

def everywhere(*ends):
    block = bytes(1 << 16)
    while True:
        for end in ends:
            try:
                os.write(end, block)
            except OSError:
                pass

if deed == "crash":
    os.abort()
if deed == "hang":
    time.sleep(600)
if deed == "close and hang":
    os.closerange(1, 64)
    time.sleep(600)
if deed == "ignore TERM":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGXCPU, signal.SIG_IGN)
    while True:
        pass
if deed == "eat memory":
    hoard = []
    try:
        while True:
            hoard.append(bytearray(b"x" * (64 << 20)))
    except MemoryError:
        sys.exit("[error] Cannot allocate memory")
if deed == "flood its log":
    everywhere(2)
if deed == "flood its pipes":
    everywhere(*range(3, 64))
if deed == "fork":
    for _ in range(100):
        if os.fork() == 0:
            os.setsid()
            time.sleep(600)
    os._exit(0)
if deed == "write files":
    folder = os.path.dirname(next(a for a in sys.argv if "poisoned.mp4" in a).removeprefix("file:"))
    for place in (folder, "/tmp", "/var/tmp", "/dev/shm", "."):
        with open(os.path.join(place, "endless-file"), "wb") as file:
            while True:
                file.write(bytes(1 << 20))
if deed == "write without end":
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    with open(next(a for a in reversed(sys.argv) if a.endswith(".mp4")), "wb") as file:
        while True:
            file.write(bytes(1 << 20))
"""
LIMITS = ("memory_mb=1024", "cpu_s=4", "wall_s=8", "max_frames=2000")
DEEDS = {
    "crash": ("scan", "decoder_died", 2),
    "hang": ("scan", "time_limit", 1),
    "close and hang": ("scan", "time_limit", 1),
    "ignore TERM": ("scan", "time_limit", 1),
    "eat memory": ("scan", "memory_limit", 1),
    "flood its log": ("scan", "time_limit", 1),
    "flood its pipes": ("scan", "too_many_frames", 1),
    "fork": ("scan", "corrupt", 1),
    "write files": ("scan", "corrupt", 1),
    "write without end": ("render", "decoder_died", 2),
}
"""What the decoder does, in which step, the reason that this gets, and attempts."""


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """Three sources, their profile, and what is made of the two good ones undisturbed."""
    folder = tmp_path_factory.mktemp("poison")
    for number, name in enumerate(("first", "poisoned", "last")):
        write_numbered_video(folder / f"videos/{name}.mp4", 30, first=500 * number, size=(160, 96))
    file = folder / "profile.yaml"
    file.write_text(profile())
    ended = curate(folder / "videos", folder / "quiet", file)
    assert ended.code == 0, ended.err
    return folder / "videos", file, folder / "quiet"


def curate(videos, out, file, *settings):
    more = [part for setting in settings for part in ("--set", f"sandbox.{setting}")]
    return command("curate", videos, "--out", out, "--config", file, *more)


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Puts a stand-in in ffmpeg's place; returns its path."""
    real = ffmpeg_path()

    def place(deed, step):
        path = tmp_path / "stand-in"
        path.write_text(STAND_IN.format(python=sys.executable, ffmpeg=real, deed=deed, step=step))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(path))
        ffmpeg_path.cache_clear()
        return path

    yield place
    monkeypatch.undo()
    ffmpeg_path.cache_clear()


@pytest.fixture
def attempts(monkeypatch):
    """Command lines of the children that were started."""
    commands, spawn = [], sandbox.spawn

    def recorded(line, limits, **options):
        commands.append(" ".join(line))
        return spawn(line, limits, **options)

    monkeypatch.setattr(sandbox, "spawn", recorded)
    return commands


def processes_of(path: Path) -> list[str]:
    """Running processes whose command line names the path."""
    lines = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(place.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
        except OSError:
            continue
    return [line for line in lines if str(path) in line]


@pytest.mark.parametrize("deed", DEEDS)
def test_a_poisoned_source_fails_alone(job, stand_in, attempts, tmp_path, deed):
    step, reason, expected_attempts = DEEDS[deed]
    videos, file, quiet = job
    out, program = tmp_path / "out", stand_in(deed, step)
    start = time.monotonic()
    ended = curate(videos, out, file, *LIMITS)
    assert time.monotonic() - start < 120
    assert (ended.code, ended.err) == (3, ""), ended

    dataset = Dataset(out)
    sources = {Path(s.uri).stem: s for s in records.from_table(Source, dataset.sources())}
    outcomes = {name: (source.outcome, source.reason) for name, source in sources.items()}
    good = ("scanned", None)
    bad = ("failed", reason) if step == "scan" else good
    assert outcomes == {"first": good, "poisoned": bad, "last": good}
    if step == "render":
        (table,) = dataset.catalog.names("renders")
        renders = records.from_table(Render, dataset.catalog.read(table, Render))
        poisoned = sources["poisoned"].source_id
        assert {r.reason for r in renders if r.source_id == poisoned} == {reason}
        assert {r.outcome for r in renders if r.source_id != poisoned} == {"rendered"}
    assert media(out).items() < media(quiet).items()
    assert len(media(out)) == 2
    assert command("verify", out).code == 0

    tried = [line for line in attempts if line.startswith(str(program)) and "poisoned.mp4" in line]
    assert sum(("libx264" in line) == (step == "render") for line in tried) == expected_attempts
    assert processes_of(program) == []
    assert [p for p in (videos, Path("/tmp"), Path()) if (p / "endless-file").exists()] == []
    assert list(out.rglob(".*-*.mp4")) == []
