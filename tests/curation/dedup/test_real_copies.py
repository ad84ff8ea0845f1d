"""Copies of real videos as others made them: other codecs, sizes and rates, a large logo, bars."""

import itertools
import os
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pytest

from curation import records
from curation.dedup.footage_match import match_footage
from curation.dedup.letterbox_variants import LetterboxVariants
from curation.listing import entry_at
from curation.records import Signature
from curation.scan.collector import SIGNATURES
from curation.scan.shots import FixedWindows
from curation.scan.stage import Scan, ScanItem
from curation.select.policy import Policy

pytestmark = pytest.mark.data

FOLDER = Path(
    os.environ.get("REELMILL_DATA") or Path(__file__).resolve().parents[4] / "shared" / "data"
)
GROUPS = [
    ("carphone_pristine.mp4", "carphone_distorted.mp4"),
    ("dance_q30.mp4", "dance_q10.mp4"),
    ("flower_bloom.mp4", "flower_bloom.webm"),
    ("rug_hd.mp4", "rug_sd_logo.mp4", "rug_sd_grey.mp4", "rug_longer.mp4"),
    ("toy_frog.mp4", "toy_frog.webm"),
    ("bbb_open_480p_h264.mp4", "bbb_open_720p_vp8.webm"),
]
TAKES = [
    ("robot_bridge_carrot.mp4", "robot_bridge_cloth.mp4", "robot_bridge_sink.mp4",
     "robot_bridge_spoon.mp4"),
    ("sign_again.mkv", "sign_book.mkv", "sign_sister.mkv"),
]  # fmt: skip
"""The same actor before the same camera, each time doing something else."""


@pytest.fixture(scope="module")
def similarity():
    if not FOLDER.is_dir():
        pytest.skip(f"no real videos at {FOLDER}; set REELMILL_DATA")
    scan = Scan(shots=FixedWindows(60.0), max_clip_s=60.0, scores=(), embedders=()).setup()
    names = list(itertools.chain(*GROUPS, *TAKES))
    scanned = [scan(ScanItem(entry_at(str(FOLDER / "videos" / name), {}))) for name in names]
    rows = pa.concat_tables([clips.side_rows[SIGNATURES] for clips in scanned])
    assert rows.schema == records.arrow_schema(Signature)
    variants = LetterboxVariants.of(rows)

    def similarity(one: str, other: str) -> float:
        one_row, other_row = (np.array([names.index(name)]) for name in (one, other))
        return match_footage(variants, one_row, other_row).similarity[0]

    return similarity


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group[0])
def test_real_copies_are_found_and_others_are_far(group, similarity):
    for one, other in itertools.combinations(group, 2):
        assert similarity(one, other) > 0.9
    for other in set(itertools.chain(*GROUPS)) - set(group):
        assert similarity(group[0], other) < 0.6


@pytest.mark.parametrize("takes", TAKES, ids=lambda takes: takes[0])
def test_other_takes_of_a_scene_are_no_duplicates(takes, similarity):
    for one, other in itertools.combinations(takes, 2):
        assert similarity(one, other) < Policy().near_duplicates


def test_the_longer_rug_is_the_same_recording(similarity):
    """Its manifest calls it another take, but no two takes by hand agree in each frame.

    Each frame of the shorter file has one in the longer, at the same place or one later, that
    differs by far less than two frames in a row of one file.
    """
    shorter, longer = (grays(FOLDER / "videos" / name) for name in ("rug_hd.mp4", "rug_longer.mp4"))
    difference = np.stack(
        [np.abs(shorter - longer[late : late + len(shorter)]).mean(axis=(1, 2)) for late in (0, 1)]
    ).min(axis=0)
    moves = np.abs(np.diff(shorter, axis=0)).mean()
    assert len(shorter) < len(longer)
    assert difference.max() < 0.4 * moves
    assert np.median(difference) < 0.2 * moves


def grays(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        frames = [frame.to_image().convert("L") for frame in container.decode(video=0)]
    return np.stack([np.asarray(frame.resize((320, 180)), np.float32) for frame in frames])
