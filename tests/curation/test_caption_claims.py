"""What captions claim of real clips, against what was judged by eye; docs/captions.md counts it.

`tests/golden/caption_claims.csv` has a row for each claim: what the caption says now with its
verdict, and what earlier captions said falsely. The folder of real videos is that of
`test_real_data`, with `footage` beside it.
"""

import csv
import dataclasses
import os
from collections import defaultdict
from multiprocessing import get_context
from pathlib import Path

import pytest

from curation.caption import clip_facts, facts_caption
from curation.listing import entry_at
from curation.records import Clip, from_table
from curation.scan.stage import Scan, ScanItem
from curation.scores import Camera, Kind, Light, Motion, Sharpness
from tests.curation.conftest import GivenShots

pytestmark = pytest.mark.data

DATA = Path(
    os.environ.get("REELMILL_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data"
)
FOLDERS = (DATA / "videos", DATA.parent / "footage" / "videos")
GOLDEN = Path(__file__).parents[1] / "golden" / "caption_claims.csv"
LOST_AT_MOST = 0.05
"""Share of the true claims that a caption may stop making: a value near its bound may move."""

Span = tuple[str, int, int]


def claims() -> dict[Span, list[dict[str, str]]]:
    found = defaultdict(list)
    with open(GOLDEN, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            found[row["file"], int(row["start_frame"]), int(row["end_frame"])].append(row)
    return found


def measured(path: str, spans: list[tuple[int, int]]) -> list[dict]:
    """A row of a clip with its scores for each span of a file."""
    scores = (Camera(), Kind(), Light(), Motion(), Sharpness())
    stage = Scan(shots=GivenShots(tuple(spans)), max_clip_s=1e9, scores=scores, embedders=())
    result = stage.setup()(ScanItem(entry_at(path, {})))
    size = {"width": result.source.width, "height": result.source.height}
    rows = {
        clip.clip_id: dataclasses.asdict(clip) | size for clip in from_table(Clip, result.clips)
    }
    for name, table in result.side_rows.items():
        if name.startswith("scores/"):
            for row in table.to_pylist():
                rows[row["clip_id"]] |= row
    found = {(row["start_frame"], row["end_frame"]): row for row in rows.values()}
    return [found[span] for span in spans]


@pytest.fixture(scope="module")
def clips() -> dict[Span, dict]:
    """The measured row of every judged clip whose file is there."""
    spans = defaultdict(list)
    for name, start, end in claims():
        spans[name].append((start, end))
    paths = {name: next((f / name for f in FOLDERS if (f / name).exists()), None) for name in spans}
    work = [(str(path), spans[name]) for name, path in paths.items() if path]
    if len(work) < len(paths):
        pytest.skip(f"{len(paths) - len(work)} of the judged videos are not under {DATA.parent}")
    with get_context("spawn").Pool(2) as pool:
        rows = pool.starmap(measured, work, chunksize=1)
    return {
        (Path(path).name, *span): row
        for (path, listed), found in zip(work, rows, strict=True)
        for span, row in zip(listed, found, strict=True)
    }


def test_captions_still_say_what_is_true(clips):
    said, lost = 0, []
    for span, rows in claims().items():
        facts = clip_facts(clips[span])
        for row in rows:
            if row["verdict"] == "true":
                said += 1
                if facts.get(row["fact"]) != row["words"]:
                    lost.append((*span, row["fact"], row["words"], facts.get(row["fact"])))
    assert len(clips) == 60
    assert said > 140
    assert len(lost) <= LOST_AT_MOST * said, lost


def test_captions_do_not_say_what_is_false(clips):
    """But for the two false claims that are known."""
    false = []
    for span, rows in claims().items():
        facts = clip_facts(clips[span])
        said = (r["words"] for r in rows if facts.get(r["fact"]) == r["words"])
        judged = {r["words"] for r in rows if r["verdict"] == "false"}
        false += [(span[0], words) for words in said if words in judged]
    assert sorted(set(false)) == [
        ("animal_husky_grass.mp4", "a camera that tilts or moves down"),
        ("sintel_trailer.mp4", "motion all over the picture"),
    ]


def test_captions_claim_no_hour_place_or_weather(clips):
    words = ("day", "night", "indoor", "outdoor", "sun", "rain", "well-lit")
    for row in clips.values():
        assert not [word for word in words if word in facts_caption(row)]
