"""The recorder of the fault matrix; sources whose curation takes seconds, and what comes of it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from curation.sample import SOURCES, Coding, write_numbered_video
from tests.fault_table import PROPERTY
from tests.outputs import QUICK, run


@pytest.fixture
def record_fault(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Records faults of one row and seed; a failure of the test says how to replay the seed."""
    parameters = getattr(request.node, "callspec", None)
    seed = parameters.params.get("fault_seed", 0) if parameters else 0
    request.node.add_report_section(
        "call", "seed",
        f"seed {seed}; replay: pytest '{request.node.nodeid}' --fault-seeds {seed + 1}",
    )  # fmt: skip

    def record(
        row: str, *, faults: int = 1, lost: int = 0, doubled: int = 0, wrong: int = 0,
        recovery_s: float = 0.0,
    ) -> None:  # fmt: skip
        values = {"faults": faults, "lost": lost, "doubled": doubled, "wrong": wrong}
        entry = {"row": row, "seed": seed, **values, "recovery_s": recovery_s}
        request.node.user_properties.append((PROPERTY, entry))
        assert lost == doubled == wrong == 0, f"{row}, seed {seed}: {values}"

    return record


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
    profile.write_text(QUICK)
    return videos, profile


@pytest.fixture(scope="session")
def undisturbed(job: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same job in one process, start to end."""
    videos, profile = job
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    done = run("curate", str(videos), "--out", str(out), "--config", str(profile),
               "--set", "executor=in_process")  # fmt: skip
    assert done.returncode == 3, done.stderr
    return out
