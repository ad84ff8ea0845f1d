"""Copies of real videos as others made them: other codecs, sizes and rates, a large logo, bars."""

import itertools
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from curation import records
from curation.dedup.alignment import align
from curation.dedup.framings import Framings
from curation.listing import entry_at
from curation.records import Signature
from curation.scan.shots import FixedWindows
from curation.scan.stage import Scan, ScanItem
from curation.scan.watcher import SIGNATURES

pytestmark = pytest.mark.data

FOLDER = Path(
    os.environ.get("REELMILL_DATA") or Path(__file__).resolve().parents[4] / "shared" / "data"
)
GROUPS = [
    ("carphone_pristine.mp4", "carphone_distorted.mp4"),
    ("dance_q30.mp4", "dance_q10.mp4"),
    ("flower_bloom.mp4", "flower_bloom.webm"),
    ("rug_hd.mp4", "rug_sd_logo.mp4", "rug_sd_grey.mp4"),
]


@pytest.fixture(scope="module")
def similarity():
    if not FOLDER.is_dir():
        pytest.skip(f"no real videos at {FOLDER}; set REELMILL_DATA")
    scan = Scan(shots=FixedWindows(60.0), max_clip_s=60.0, scores=(), embedders=()).setup()
    names = list(itertools.chain(*GROUPS))
    found = [scan(ScanItem(entry_at(str(FOLDER / "videos" / name), {}))) for name in names]
    rows = pa.concat_tables([each.sides[SIGNATURES] for each in found])
    assert rows.schema == records.schema(Signature)
    framings = Framings.of(rows)

    def similarity(one: str, other: str) -> float:
        return align(framings, *(np.array([names.index(n)]) for n in (one, other))).similarity[0]

    return similarity


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group[0])
def test_real_copies_are_found_and_others_are_far(group, similarity):
    for one, other in itertools.combinations(group, 2):
        assert similarity(one, other) > 0.9
    for other in set(itertools.chain(*GROUPS)) - set(group):
        assert similarity(group[0], other) < 0.6
