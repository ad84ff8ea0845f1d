"""Files cut off at every per cent are truncated, or salvaged and flagged; never complete.

Real videos where there are some, as `tests/curation/test_real_data.py` says; else generated ones.
"""

import os
import shutil
from pathlib import Path

import pytest

from tests.faults.mutated_media import STRICT, Decoded, decode, scan
from tests.sweep.encoders import recipe_for
from tests.sweep.generator import ffmpeg, write

pytestmark = pytest.mark.faults
DATA = Path(os.environ.get("REELMILL_DATA") or Path(__file__).parents[3] / "shared/data")
CUTS = 5
"""Cuts of each file a seed, evenly spread."""
SOURCES = {
    "mp4": ("videos/office_whip_pan.mp4", "h264b"),
    "mkv": ("videos/sign_again.mkv", "hevc"),
    "webm": ("videos/toy_frog.webm", "vp9"),
    "avi": ("awkward/testvideo-169.avi", "mpeg4b"),
    "ts": ("videos/office_walkby.mp4", "h264b"),
}
"""By container a real video, and the codec of the generated one."""
BROKEN = ("truncated", "corrupt", "no_frames", "not_video")
"""Reasons of files that end too early, the last ones of those that hardly begin."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[Path, Decoded]:
    """The files before they are cut off, and their frames."""
    folder = tmp_path_factory.mktemp("whole")
    files = {}
    for container, (name, codec) in SOURCES.items():
        path, real = folder / f"source.{container}", DATA / name
        if not real.exists():
            path = write(folder / "source", recipe_for(container, codec))
        elif real.suffix == path.suffix:
            shutil.copy(real, path)
        else:
            ffmpeg("-i", real, "-map", "0:v:0", "-c", "copy", path)
        files[path] = decode(path, *STRICT)
        assert not files[path].errors, path
    return files


@pytest.mark.parametrize("damage", ["refuse", "salvage"])
@pytest.mark.full_seeds(20)
def test_truncated_files(  # noqa: PLR0917
    damage, fault_seed, run, whole, tmp_path, record_fault
):
    videos = tmp_path / "videos"
    videos.mkdir()
    origins = {}
    for source in whole:
        data = source.read_bytes()
        for percent in range(1 + fault_seed, 100, 100 // CUTS):
            path = videos / f"{percent}{source.suffix}"
            path.write_bytes(data[: len(data) * percent // 100])
            origins[path.name] = source
    control = [*whole][fault_seed % len(whole)]
    shutil.copy(control, videos / f"whole{control.suffix}")
    rows = {Path(row.uri).name: row for row in scan(run, videos, tmp_path / "out", damage)}
    row = rows.pop(f"whole{control.suffix}")
    assert (row.outcome, row.frames) == ("scanned", len(whole[control].frames)), row.detail
    assert rows.keys() == origins.keys()
    complete = [
        (name, row.frames, len(whole[origins[name]].frames))
        for name, row in rows.items() if row.outcome == "scanned" and row.remarks is None
    ]  # fmt: skip
    for name, row in rows.items():
        if row.outcome == "failed":
            assert row.reason in BROKEN, (name, row.reason, row.detail)
        else:
            kept = decode(videos / name).by_time()[: row.frames]
            assert {*kept} <= {*whole[origins[name]].by_time()}, f"{name}: other frames are kept"
    print(f"passed off as complete: {complete}")
    record_fault("truncated file", faults=len(rows), wrong=len(complete))
