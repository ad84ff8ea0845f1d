"""Sources whose curation takes a few seconds, and what comes of it undisturbed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from curation.sample import SOURCES, Coding, write_numbered_video
from tests import outputs
from tests.faults.steps import Worker, worker


@pytest.fixture(scope="module")
def run() -> Iterator[Worker]:
    """Runs single steps of a small job."""
    with worker() as run:
        yield run


@pytest.fixture(scope="session")
def job(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder of sources and a profile."""
    folder = tmp_path_factory.mktemp("job")
    videos = folder / "videos"
    videos.mkdir()
    for number in range(4):
        cuts = (20 + 7 * number, 60)
        path = videos / f"n{number}.mp4"
        write_numbered_video(
            path, 110, first=500 * number, cuts=cuts, coding=Coding(crf=26, b_frames=2)
        )
    for name in ("flight.mp4", "flight_copy.mkv", "notes.mp4"):
        SOURCES[name](videos / name)
    profile = folder / "quick.yaml"
    profile.write_text(outputs.QUICK)
    return videos, profile


@pytest.fixture(scope="session")
def undisturbed(job: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same job in one process, start to end."""
    videos, profile = job
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    done = outputs.run("curate", str(videos), "--out", str(out), "--config", str(profile),
               "--set", "executor=in_process")  # fmt: skip
    assert done.returncode == 3, done.stderr
    return out
