"""The files of tests/golden/media and their ground truth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.sweep import oracle
from tests.sweep.case import Case
from tests.sweep.cases_colour import BT2020, tone_mapped
from tests.sweep.generator import Recipe, Truth
from tests.sweep.pictures import PATCHES, to_rgb, to_yuv

FOLDER = Path(__file__).parents[1] / "golden/media"
COLOURS = np.array(PATCHES, np.float64)
DEEP = replace(BT2020, bits=10)


def even(count: int, step_s: float = 0.04, **overrides: object) -> Truth:
    """Frames at a constant rate."""
    truth = Truth(
        numbers=tuple(range(count)), starts=tuple(n * step_s for n in range(count)),
        duration_s=count * step_s, patches=COLOURS, width=320, height=192,
    )  # fmt: skip
    return replace(truth, **overrides)  # type: ignore[arg-type]


def as_contained(name: str, duration_s: float, **overrides: object) -> dict[str, Truth]:
    """Frames at the container's own times, as an independent reader finds them."""
    decoded = oracle.decode(FOLDER / name)
    starts = [start for start in decoded.starts if start is not None]
    assert len(starts) == len(decoded.numbers)
    truth = even(
        0, numbers=tuple(decoded.numbers), starts=tuple(s - starts[0] for s in starts),
        duration_s=duration_s, duration_tolerance_s=0.101, **overrides,
    )  # fmt: skip
    return {name: truth}


def toned(pq: bool) -> Truth:
    """25 frames whose stored patches are signals of PQ or HLG."""
    signal = to_rgb(np.round(to_yuv(COLOURS, DEEP)), DEEP) / 255
    return even(25, patches=tone_mapped(signal, pq), patch_tolerance=12)


def truths() -> dict[str, Truth]:
    """The ground truth of each file."""
    return {
        "01_ts_mp2_sound.ts": even(75, sound=(0, 3)),
        **as_contained("02_vfr_one_equal_pts.mkv", 6.74, repaired=True),
        **as_contained("02_vfr_one_zero_length_sample.mp4", 6.74, repaired=True),
        "03_audio_keep_dvd.vob": even(200, sound=(0, 8)),
        **as_contained("04_audio_keep_mp3.avi", 4.04, sound=(0, 4)),
        "05_midway_untagged_then_709.mkv": even(100, patches=None),
        "05_midway_420_then_444.ts": even(100),
        "06_vui_ycgco_tag.mp4": even(25),
        "07_pq_primaries_unspecified.mp4": toned(pq=True),
        "08_slides_last_frame_13s.mp4": even(
            8, 1.0, duration_s=20.0, sound=(0, 20), tolerance_s=0.041
        ),
        "09_soft_telecine_dvd.vob": even(
            96, 1001 / 24000, fps=24000 / 1001, duration_tolerance_s=0.05, tolerance_s=0.042
        ),
        "10_thumbnail_track_first.mp4": even(100),
        "11_pid_changes_midway.ts": even(100, may_lose=50),
        "12_cat_of_two_ts.ts": even(100, breaks=(50,)),
        "13_ts_gap_1h.ts": even(100, breaks=(50,)),
        **as_contained("14_avi_dropped_frames_bframes.avi", 3.68),
        "15_hlg_by_sei_only.mp4": toned(pq=False),
        "16_copy_mode_vflip.mp4": even(50, turned="vflip"),
        **as_contained("17_vfr_resampled.mp4", 6.74),
        "18_untagged_hd709.mp4": even(25, width=1280, height=768, patch_tolerance=4),
    }  # fmt: skip


def golden(name: str) -> Case:
    """One of the files, as a case that is compared in every way."""
    truth = truths()[name]
    return Case(
        name.rpartition(".")[2], "golden", name, Recipe(), truth, writer=lambda _: FOLDER / name,
        copies=truth.sound is None, resampled=name.startswith(("02", "17")),
    )  # fmt: skip


NAMES = tuple(sorted(path.name for path in FOLDER.glob("*_*")))
