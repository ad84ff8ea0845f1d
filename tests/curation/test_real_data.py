"""Real videos: hand-checked cuts, awkward files, and frames that have no number to read.

The folder is named by REELMILL_DATA, or lies as `shared/data` beside the checkout.
"""

import csv
import json
import multiprocessing
import os
from collections import Counter
from pathlib import Path

import av
import numpy as np
import pytest

from curation.listing import entry_at
from curation.render.stage import RenderBatch, RenderClips
from curation.scan.shots import ContentChange
from curation.scan.stage import Scan, ScanItem

pytestmark = pytest.mark.data

FOLDER = Path(
    os.environ.get("REELMILL_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data"
)
MISSED_AT_MOST = 3
JUDGED_STREAMS = {"nasa_13013.mp4": "0"}  # its cuts were marked on the proxy


@pytest.fixture(scope="module", autouse=True)
def data():
    if not FOLDER.is_dir():
        pytest.skip(f"no real videos at {FOLDER}; set REELMILL_DATA")
    return FOLDER


_work = {}


def _load():
    import torch

    torch.set_num_threads(1)
    _work["scan"] = Scan(scores=()).setup()


def _starts(path):
    """Outcome, number of frames and first frame of each shot of the stream that was judged."""
    row = {"stream": JUDGED_STREAMS[Path(path).name]} if Path(path).name in JUDGED_STREAMS else {}
    result = _work["scan"](ScanItem(entry_at(path, row)))
    starts = sorted(set(result.clips["shot_start_frame"].to_pylist()))
    return result.source.outcome, result.source.frames, starts


@pytest.fixture(scope="module")
def shot_starts(data):
    """Shot starts of every judged video by file name, found in two processes."""
    names = [*cut_lists(), *single_shots()]
    with multiprocessing.get_context("spawn").Pool(2, _load) as pool:
        found = pool.map(_starts, [str(data / "videos" / name) for name in names], chunksize=1)
    return dict(zip(names, found, strict=True))


def cut_lists():
    files = (json.loads(path.read_text()) for path in sorted((FOLDER / "cuts").glob("[!_]*.json")))
    return {said["file"]: said for said in files}


def single_shots():
    return json.loads((FOLDER / "cuts" / "_single_shot_files.json").read_text())["no_hard_cut"]


def near(frame, others):
    return any(abs(frame - other) <= 1 for other in others)


def first_and_last(place):
    if isinstance(place, int):
        return place, place
    return (place["start"], place["end"]) if isinstance(place, dict) else tuple(place)


def is_excused(start, said):
    """Whether a start is neither right nor wrong: in a fade or a flash, or a change of text."""
    spans = [first_and_last(place) for key in ("gradual", "ignore") for place in said.get(key, [])]
    cards = [first_and_last(place)[0] for place in said.get("optional_cuts", [])]
    return near(start, cards) or any(a - 2 <= start <= b + 2 for a, b in spans)


def test_hand_checked_cuts(shot_starts):
    """Of 43 cuts at most three are missed, and none is found where there is none."""
    missed, false, cuts = [], [], 0
    for name, said in cut_lists().items():
        outcome, frames, starts = shot_starts[name]
        assert (outcome, frames) == ("scanned", said["frames"])
        cuts += len(said["hard_cuts"])
        missed += [(name, cut) for cut in said["hard_cuts"] if not near(cut, starts[1:])]
        wrong = (s for s in starts[1:] if not near(s, said["hard_cuts"]))
        false += [(name, start) for start in wrong if not is_excused(start, said)]
    assert cuts == 43
    assert false == []
    assert len(missed) <= MISSED_AT_MOST, missed


def test_of_two_default_streams_the_larger_is_watched(data):
    work = Scan(shots=ContentChange(), scores=()).setup()
    source = work(ScanItem(entry_at(str(data / "videos" / "nasa_13013.mp4"), {}))).source
    assert (source.stream_index, source.frames, source.width) == (3, 390, 480)


def test_single_shots_stay_whole(shot_starts):
    assert len(single_shots()) > 30
    assert {n: shot_starts[n][2] for n in single_shots() if shot_starts[n][2] != [0]} == {}


FAILING = {
    "audio_only.mp4": "no_video_stream",
    "broken.mp4": "truncated",
    "corrupted.mp4": "corrupt",
    "ffprobe-json-text.mp4": "not_video",
    "fixture-corrupt.mkv": "corrupt",
    "fragment_without_init.mp4": "corrupt",
    "lego_robot.rm": "container_not_allowed",
    "lfs_pointer_woman.mp4": "not_video",
    "mov-frag-encrypted.mp4": "corrupt",
    "mpeg2_field_encoding.ts": "corrupt",
    "quicktime-jpeg_undecodable.mov": "no_frames",
    "res_change.h264": "size_changes",
    "truncated_1331s.mkv": "truncated",
    "video-3s_indeo4.avi": "codec_not_allowed",
    "zero_bytes_result.webm": "empty",
}


@pytest.fixture(scope="module")
def awkward(data):
    work = Scan(shots=ContentChange(), scores=()).setup()
    files = sorted(p for p in (data / "awkward").iterdir() if p.suffix not in (".csv", ".txt"))
    return {path.name: work(ScanItem(entry_at(str(path), {}))) for path in files}


def test_every_awkward_file_has_its_outcome(awkward):
    failed = {
        name: found.source.reason
        for name, found in awkward.items()
        if found.source.outcome == "failed"
    }
    assert failed == FAILING
    assert len(awkward) == 56
    for name, found in awkward.items():
        if name in FAILING:
            assert found.source.detail, name
            assert found.source.detail.isprintable(), name
            assert found.clips.num_rows == 0
        else:
            assert found.source.clips == found.clips.num_rows > 0, name


def test_awkward_files_have_the_frames_that_another_decoder_finds(awkward, data):
    with open(data / "awkward" / "MANIFEST.csv", encoding="utf-8", newline="") as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    scanned = {n: found.source for n, found in awkward.items() if n not in FAILING}
    frames = {name: int(rows[name]["frames"]) for name in scanned}
    assert {name: source.frames for name, source in scanned.items()} == frames
    variable = {name for name, source in scanned.items() if source.variable_rate}
    assert {"nasa_13013_vfr.mp4", "var_fps_video.mp4"} <= variable
    assert Counter(source.rotation for source in scanned.values())[0] == len(scanned) - 6


def stored_frames(path):
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def psnr(one, other):
    error = np.square(one.astype(np.float32) - other).mean()
    return 10 * np.log10(255**2 / max(float(error), 1e-9))


@pytest.mark.parametrize(
    ("name", "codec", "start"),
    [("robot_cup_hevc.mp4", "hevc", 37), ("flower_bloom.webm", "vp8", 41),
     ("cars_topdown.mp4", "h264", 53), ("bbb_trailer_vp8.mkv", "vp8", 345)],
)  # fmt: skip
def test_renders_of_real_clips_hold_their_frames(*, name, codec, start, data, scan_spans, tmp_path):
    """Each frame is more like its own in the source than like the one before or after it."""
    path = data / "videos" / name
    result = scan_spans(path, (start, start + 12))
    assert result.source.codec == codec
    work = RenderClips(output=str(tmp_path)).setup()
    (row,) = work(RenderBatch(result.source, (result.clips[0],)))
    originals, rendered = stored_frames(path), stored_frames(tmp_path / row.path)
    assert len(rendered) == row.frames == 12
    for place, picture in enumerate(rendered):
        around = [originals[start + place + step] for step in (-1, 0, 1)]
        before, own, after = (psnr(picture, original) for original in around)
        assert own > max(before, after), place
        assert own > 30, place


@pytest.mark.parametrize("name", ["firstpts_10_sec.mp4", "var_fps_video.mp4", "portrait.MOV",
                                  "awesome movie with subtitles.m4v", "rotated_video.mp4",
                                  "cars_320x240.h264", "sample_vvc.mp4", "testvideo-169.avi",
                                  "odd_321x240_vp9.mp4", "cars_128x96_av1.ivf"])  # fmt: skip
def test_awkward_files_are_cut_to_the_frame(name, data, scan_spans, tmp_path):
    """A span in the middle holds what the same frames of the whole render hold."""
    path = data / "awkward" / name
    frames = scan_spans(path, (0, None)).source.frames
    start = frames // 2
    result = scan_spans(path, (0, None), (start, start + 4))
    work = RenderClips(output=str(tmp_path)).setup()
    rows = work(RenderBatch(result.source, tuple(result.clips)))
    whole, part = (stored_frames(tmp_path / row.path) for row in rows)
    assert (len(whole), len(part)) == (frames, 4)
    assert part[0].shape[:2] == (rows[1].height, rows[1].width)
    for place, picture in enumerate(part):
        around = whole[start + place - 1 : start + place + 2]
        likeness = [psnr(picture, frame) for frame in around]
        assert likeness[1] == max(likeness), place
        assert likeness[1] > 30, place
